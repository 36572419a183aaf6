"""What a CustomResourceDefinition may say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.conftest import Api
from tests.apiserver.crds import CRDS, define, definition, until, version

AT = "spec.versions[0].schema.openAPIV3Schema"
NAME = "crontabs.stable.example.com"


def with_schema(**properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return definition({**version(), "schema": {"openAPIV3Schema": schema}})


def with_spec(**spec: Any) -> dict[str, Any]:
    made = definition()
    return {**made, "spec": {**made["spec"], **spec}}


def with_version(**more: Any) -> dict[str, Any]:
    return definition(version(**more))


LIST = {"type": "array", "x-kubernetes-list-type": "map"}
COLUMN = {"name": "A", "type": "string", "jsonPath": ".a"}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {**definition(), "metadata": {"name": "other.stable.example.com"}},
            'metadata.name: Invalid value: "other.stable.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (with_spec(scope="Galaxy"), 'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
        (definition(version(), version("v2")), "must have exactly one version marked as storage version"),
        (definition(version(), version(storage=False)), "must contain unique version names"),
        (definition({**version(), "schema": {}}), f"{AT}: Required value: schemas are required"),
        (
            definition({**version(), "schema": {"openAPIV3Schema": {"type": "string"}}}),
            f'{AT}.type: Invalid value: "string": must be object at the root',
        ),
        (
            with_schema(spec={"properties": {"a": {"type": "string"}}}),
            f"{AT}.properties[spec].type: Required value: must not be empty for specified object fields",
        ),
        (
            with_schema(a={"type": "array", "items": {}}),
            f"{AT}.properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        (with_schema(a={"type": "array"}), f"{AT}.properties[a].items: Required value: must be specified"),
        (
            with_schema(a={"type": "string", "pattern": "("}),
            f'{AT}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t',
        ),
        (
            with_schema(a={"type": "integer", "default": "x"}),
            f"{AT}.properties[a].default in body must be of type integer",
        ),
        (
            with_schema(a={"type": "object", "properties": {"b": {"type": "string"}}, "default": {"c": 1}}),
            "must be pruned: has unknown fields c",
        ),
        (
            with_schema(a={"type": "array", "uniqueItems": True, "items": {"type": "string"}}),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            with_schema(a={**LIST, "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
            "must not be empty if x-kubernetes-list-type is map",
        ),
        (
            with_schema(
                a={
                    **LIST,
                    "x-kubernetes-list-map-keys": ["n"],
                    "items": {"type": "object", "properties": {"n": {"type": "string"}}},
                }
            ),
            "it must have a default or be a required property",
        ),
        (
            with_schema(a={"type": "object", "anyOf": [{"type": "object"}]}),
            f"{AT}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            with_version(additionalPrinterColumns=[{**COLUMN, "type": "text"}]),
            'type: Invalid value: "text": must be one of integer,number,string,boolean,date',
        ),
        (with_version(additionalPrinterColumns=[{**COLUMN, "jsonPath": ".a[?"}]), "is an invalid jsonpath"),
        (
            with_version(subresources={"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.r"}}),
            'specReplicasPath: Invalid value: ".a": should be a json path under .spec',
        ),
        (definition(kind="Tab", listKind="Tab"), "kind and listKind may not be the same"),
        (
            {**with_spec(group="x.k8s.io"), "metadata": {"name": "crontabs.x.k8s.io"}},
            'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval',
        ),
    ],
)  # fmt: skip
async def test_what_is_refused(api: Api, made: dict[str, Any], message: str) -> None:
    refused = await api.post(CRDS, made)
    assert (refused.status, refused["reason"]) == (422, "Invalid"), refused.body
    assert refused.message.startswith("CustomResourceDefinition.apiextensions.k8s.io ")
    assert message in refused.message


async def test_what_may_not_change(api: Api) -> None:
    await define(api, definition(version(), version("v2", storage=False)))
    refused = await api.patch(f"{CRDS}/{NAME}", {"spec": {"scope": "Cluster"}})
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in refused.message
    dropped = await api.patch(f"{CRDS}/{NAME}", {"spec": {"versions": [version("v2")]}})
    assert 'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions' in dropped.message


async def test_a_built_in_resource_is_not_taken_over(api: Api) -> None:
    made = definition(plural="deployments", singular="deployment", kind="Deployment", shortNames=[])
    made["metadata"]["name"] = "deployments.apps.example.com"
    made["spec"]["group"] = "apps.example.com"
    assert (await api.post(CRDS, made)).status == 201
    roles = definition(plural="roles", singular="role", kind="Role", shortNames=[])
    group = "rbac.authorization.k8s.io"
    roles["metadata"] = {"name": f"roles.{group}", "annotations": {"api-approved.kubernetes.io": "yes"}}
    roles["spec"]["group"] = group
    assert (await api.post(CRDS, roles)).status == 201

    def told(answer: Any) -> bool:
        return any("built into" in each["message"] for each in answer["status"].get("conditions", ()))

    await until(api, f"{CRDS}/roles.{group}", told)
    before = len((await api.get(f"/apis/{group}/v1/roles"))["items"])
    assert before > 0
    await api.delete(f"{CRDS}/roles.{group}")
    await until(api, f"{CRDS}/roles.{group}", lambda answer: answer.status == 404)
    assert len((await api.get(f"/apis/{group}/v1/roles"))["items"]) == before


async def test_what_is_not_enforced_is_said(api: Api) -> None:
    rule = {"rule": "self.a > 1", "message": "too small"}
    spec = {"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [rule]}
    answer = await api.post(CRDS, with_schema(spec=spec))
    assert answer.status == 201
    assert "x-kubernetes-validations" in answer.headers["warning"]

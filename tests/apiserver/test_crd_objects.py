"""Custom resources as objects: what their schema keeps, adds and refuses; patches, subresources, columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.apiserver.conftest import Answer, Api
from tests.apiserver.crds import CRDS, TABS, define, definition, tab, until, version
from tests.covers import covers

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SUBRESOURCES = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}


@pytest.fixture
async def tabs(api: Api) -> Api:
    await define(api, definition(version(subresources=SUBRESOURCES)))
    return api


async def wish(api: Api, body: dict[str, Any], manager: str = "me", **query: str) -> Answer:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    target = f"{TABS}/{body['metadata']['name']}?fieldManager={manager}{more}"
    return await api.send("PATCH", target, body, type="application/apply-patch+yaml")


@covers(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting "
    "for requests and from storage works [Conformance]"
)
async def test_defaults_come_at_writing_and_at_reading(tabs: Api) -> None:
    made = await tabs.post(TABS, tab("a", ports=[{"name": "x"}]))
    assert made.status == 201
    assert made["spec"] == {"cronSpec": "* * * * */5", "image": "app:1", "ports": [{"name": "x", "port": 80}]}
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/default"
    change = [{"op": "add", "path": path, "value": 2}]
    await tabs.patch(f"{CRDS}/crontabs.stable.example.com", change, "json")
    read = await until(tabs, f"{TABS}/a", lambda answer: "replicas" in answer["spec"])
    assert read["spec"]["replicas"] == 2
    assert (await tabs.get(TABS))["items"][0]["spec"]["replicas"] == 2


async def test_unknown_fields_go(tabs: Api) -> None:
    body = tab("a", foo=1, free={"any": {"thing": 1}}, ports=[{"name": "x", "y": 1}])
    body["more"] = 1
    made = await tabs.post(TABS, body)
    assert made.status == 201
    assert "foo" not in made["spec"] and "more" not in made.json and made["spec"]["free"] == {"any": {"thing": 1}}
    assert made["spec"]["ports"] == [{"name": "x", "port": 80}]
    strict = await tabs.post(f"{TABS}?fieldValidation=Strict", {**body, "metadata": {"name": "b"}})
    assert strict.status == 400
    assert strict.message == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "more", '
        'unknown field "spec.foo", unknown field "spec.ports[0].y"'
    )
    response = await tabs.open("POST", TABS, {**body, "metadata": {"name": "c"}})
    warnings = [value for name, value in response.headers if name == "Warning"]
    assert warnings[0] == '299 - "unknown field \\"more\\""' and len(warnings) == 3


def _type(path: str, given: str, wanted: str) -> str:
    return f'{path}: Invalid value: "{given}": {path} in body must be of type {wanted}: "{given}"'


def _body(path: str, value: int, words: str) -> str:
    return f"{path}: Invalid value: {value}: {path} in body {words}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replicas": "3"}, _type("spec.replicas", "string", "integer")),
        ({"replicas": 0}, _body("spec.replicas", 0, "should be greater than or equal to 1")),
        ({"replicas": 11}, _body("spec.replicas", 11, "should be less than or equal to 10")),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"cronSpec": None}, _type("spec.cronSpec", "null", "string")),
        (
            {"cronSpec": "x"},
            'spec.cronSpec: Invalid value: "x": spec.cronSpec in body should match '
            r"'^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'",
        ),
        ({"image": "x" * 21}, "spec.image: Too long: may not be more than 20 bytes"),
        ({"tags": ["a", "b", "a"]}, 'spec.tags[2]: Duplicate value: "a"'),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, 'spec.ports[1]: Duplicate value: {"name":"a"}'),
        ({"ports": [{}]}, "spec.ports[0].name: Required value"),
        ({"labels": {"a": 1}}, _type("spec.labels.a", "integer", "string")),
        ({"template": {"kind": "Pod"}}, "spec.template.apiVersion: Required value: must not be empty"),
    ],
)  # fmt: skip
async def test_what_the_schema_refuses(tabs: Api, spec: dict[str, Any], message: str) -> None:
    refused = await tabs.post(TABS, tab("a", **spec))
    assert (refused.status, refused["reason"]) == (422, "Invalid")
    assert refused.message == f'CronTab.stable.example.com "a" is invalid: {message}'


async def test_what_the_schema_lets_pass(tabs: Api) -> None:
    spec = {"nothing": None, "limit": "50%", "template": {"apiVersion": "v1", "kind": "Pod", "spec": {"x": 1}}}
    made = await tabs.post(TABS, tab("a", **spec))
    assert made.status == 201, made.body
    assert made["spec"]["nothing"] is None and made["spec"]["limit"] == "50%"
    assert made["spec"]["template"] == spec["template"]
    missing = await tabs.post(TABS, {"metadata": {"name": "b"}, "spec": {}})
    assert "spec.cronSpec: Required value" in missing.message
    named = await tabs.post(TABS, tab("Not_A_Name"))
    assert named.status == 422 and "metadata.name: Invalid value" in named.message


async def test_patches(tabs: Api) -> None:
    await tabs.post(TABS, tab("a"))
    merged = await tabs.patch(f"{TABS}/a", {"spec": {"replicas": 2, "image": None}})
    assert merged["spec"] == {"cronSpec": "* * * * */5", "replicas": 2, "image": "app:1"}
    replaced = await tabs.patch(f"{TABS}/a", [{"op": "replace", "path": "/spec/replicas", "value": 3}], "json")
    assert replaced["spec"]["replicas"] == 3
    refused = await tabs.patch(f"{TABS}/a", {"spec": {"replicas": 4}}, "strategic")
    assert (refused.status, refused["reason"]) == (415, "UnsupportedMediaType")
    assert refused.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert (await tabs.patch(f"{TABS}/a", {"spec": {"replicas": 40}})).status == 422


async def test_server_side_apply(tabs: Api) -> None:
    made = await wish(tabs, tab("a", replicas=1, ports=[{"name": "x", "port": 1}]))
    assert made.status == 201, made.body
    theirs = tab("a", ports=[{"name": "y", "port": 2}])
    del theirs["spec"]["cronSpec"]
    both = await wish(tabs, theirs, "other")
    assert [port["name"] for port in both["spec"]["ports"]] == ["x", "y"]
    conflict = await wish(tabs, tab("a", replicas=5), "third")
    assert conflict.message == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
    gone = await wish(tabs, tab("a"))
    assert [port["name"] for port in gone["spec"]["ports"]] == ["y"] and "replicas" not in gone["spec"]


async def test_status_and_generation(tabs: Api) -> None:
    made = await tabs.post(TABS, {**tab("a"), "status": {"replicas": 9}})
    assert "status" not in made.json and made["metadata"]["generation"] == 1
    set_ = await tabs.patch(f"{TABS}/a/status", {"status": {"replicas": 2}, "spec": {"replicas": 7}})
    assert set_.status == 200 and set_["status"] == {"replicas": 2} and "replicas" not in set_["spec"]
    assert set_["metadata"]["generation"] == 1
    wrong = await tabs.patch(f"{TABS}/a/status", {"status": {"replicas": "x"}})
    assert "status.replicas in body must be of type integer" in wrong.message
    body = {**tab("a", replicas=3), "status": {"replicas": 1}}
    blind = await tabs.put(f"{TABS}/a", body)
    assert blind.status == 422 and "metadata.resourceVersion" in blind.message
    body["metadata"]["resourceVersion"] = set_["metadata"]["resourceVersion"]
    changed = await tabs.put(f"{TABS}/a", body)
    assert changed["status"] == {"replicas": 2} and changed["metadata"]["generation"] == 2
    assert (await tabs.get(f"{TABS}/a/status"))["status"] == {"replicas": 2}


async def test_without_a_status_subresource_status_is_like_any_part(api: Api) -> None:
    await define(api, definition(version()))
    made = await api.post(TABS, {**tab("a"), "status": {"replicas": 9}})
    assert made["status"] == {"replicas": 9}
    assert (await api.patch(f"{TABS}/a", {"status": {"replicas": 8}}))["metadata"]["generation"] == 2
    assert (await api.get(f"{TABS}/a/status")).status == 404


async def test_scale(tabs: Api) -> None:
    await tabs.post(TABS, tab("a", replicas=2))
    await tabs.patch(f"{TABS}/a/status", {"status": {"replicas": 1, "selector": "app=a"}})
    scale = await tabs.get(f"{TABS}/a/scale")
    assert scale["kind"] == "Scale" and scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 1, "selector": "app=a"}
    scaled = await tabs.put(f"{TABS}/a/scale", {**scale.json, "spec": {"replicas": 5}})
    assert scaled["spec"] == {"replicas": 5} and (await tabs.get(f"{TABS}/a"))["spec"]["replicas"] == 5
    assert (await tabs.patch(f"{TABS}/a/scale", {"spec": {"replicas": 6}}))["spec"] == {"replicas": 6}
    assert (await tabs.put(f"{TABS}/a/scale", scale.json)).status == 409


async def test_columns(api: Api) -> None:
    columns = [
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "when"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await define(api, definition(version(additionalPrinterColumns=columns)))
    status = {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}
    await api.post(TABS, {**tab("a", replicas=2), "status": status})
    await api.post(TABS, tab("b"))
    table = (await api.get(TABS, accept=TABLE)).json
    heads = [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]]
    assert heads == [("Name", "string", 0), ("Spec", "string", 0), ("Replicas", "integer", 1), ("Ready", "string", 0),
                     ("Age", "date", 0)]  # fmt: skip
    cells = [row["cells"][:4] for row in table["rows"]]
    assert cells == [["a", "* * * * */5", 2, "True"], ["b", "* * * * */5", None, None]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


@covers(
    "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST "
    "list and watch custom resources matching the field selector [Conformance]"
)
async def test_selectable_fields(api: Api) -> None:
    await define(api, definition(version(selectableFields=[{"jsonPath": ".spec.color"}])))
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        await api.post(TABS, tab(name, color=color))
    found = await api.get(f"{TABS}?fieldSelector=spec.color=red")
    assert [each["metadata"]["name"] for each in found["items"]] == ["a", "c"]
    watched = await api.get(f"{TABS}?watch=1&timeoutSeconds=1&fieldSelector=spec.color=blue")
    assert [(line["type"], line["object"]["metadata"]["name"]) for line in watched.lines] == [("ADDED", "b")]
    refused = await api.get(f"{TABS}?fieldSelector=spec.image=x")
    assert (refused.status, refused.message) == (400, "field label not supported: spec.image")


async def test_deprecated_versions_warn(api: Api) -> None:
    await define(api, definition(version(deprecated=True)))
    answer = await api.get(TABS)
    assert answer.headers["warning"] == '299 - "stable.example.com/v1 CronTab is deprecated"'


async def test_anything_at_the_root_is_kept_where_the_schema_says_so(api: Api) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await define(api, definition({**version(), "schema": {"openAPIV3Schema": schema}}))
    body = {**tab("a"), "class": {"is": [1, None, {"x": "y"}]}, "with-dash": 1.5}
    made = await api.post(f"{TABS}?fieldValidation=Strict", body)
    assert made.status == 201, made.body
    assert made["class"] == {"is": [1, None, {"x": "y"}]} and made["with-dash"] == 1.5
    assert (await api.get(f"{TABS}/a")).json == made.json


async def test_deletion_and_collections(tabs: Api) -> None:
    for name in "abc":
        await tabs.post(TABS, tab(name))
    gone = await tabs.delete(f"{TABS}/a")
    assert gone["status"] == "Success" and gone["details"]["kind"] == "crontabs"
    assert len((await tabs.delete(TABS))["items"]) == 2
    assert (await tabs.get(TABS))["items"] == []
    everywhere = await tabs.get("/apis/stable.example.com/v1/crontabs")
    assert everywhere["kind"] == "CronTabList"


async def test_cluster_wide_objects(api: Api) -> None:
    made = definition()
    made["spec"]["scope"] = "Cluster"
    await define(api, made)
    target = "/apis/stable.example.com/v1/crontabs"
    created = await api.post(target, tab("a"))
    assert created.status == 201 and "namespace" not in created["metadata"]
    assert (await api.get(TABS)).status == 404
    assert (await api.get(f"{target}/a"))["spec"]["image"] == "app:1"


async def test_quotas_count_custom_objects(tabs: Api) -> None:
    quotas = "/api/v1/namespaces/default/resourcequotas"
    hard = {"count/crontabs.stable.example.com": "1"}
    await tabs.post(quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    used = {"count/crontabs.stable.example.com": "0"}
    await tabs.patch(f"{quotas}/q/status", {"status": {"hard": hard, "used": used}})
    assert (await tabs.post(TABS, tab("a"))).status == 201
    refused = await tabs.post(TABS, tab("b"))
    assert "exceeded quota: q, requested: count/crontabs.stable.example.com=1" in refused.message


@covers(
    "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch "
    "watch on custom resource definition objects [Conformance]"
)
async def test_a_watch_sees_objects_come_and_go_and_ends_with_the_definition(tabs: Api) -> None:
    response = await tabs.open("GET", f"{TABS}?watch=1")
    await tabs.post(TABS, tab("a"))
    await tabs.patch(f"{TABS}/a", {"spec": {"replicas": 2}})
    await tabs.delete(f"{CRDS}/crontabs.stable.example.com")
    lines = [json.loads(line) for line in (await response.read()).splitlines()]
    assert [line["type"] for line in lines] == ["ADDED", "MODIFIED", "DELETED"]
    assert lines[1]["object"]["spec"]["replicas"] == 2


async def test_the_older_form_of_openapi_has_no_newer_words(tabs: Api) -> None:
    made = (await tabs.get("/openapi/v2"))["definitions"]["com.example.stable.v1.CronTab"]
    spec = made["properties"]["spec"]["properties"]
    assert "nullable" not in spec["nothing"] and spec["limit"]["x-kubernetes-int-or-string"] is True
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    binary = await tabs.get("/openapi/v2", accept=accept)
    assert binary.status == 200 and b"cronSpec" in binary.body
    v3 = (await tabs.get("/openapi/v3/apis/stable.example.com/v1"))["components"]["schemas"]
    assert v3["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"]["nothing"]["nullable"] is True


async def test_what_an_update_leaves_alone_may_stay_wrong(tabs: Api) -> None:
    await tabs.post(TABS, tab("a", color="red", replicas=9))
    at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    changes = [
        {"op": "replace", "path": f"{at}/color/enum", "value": ["blue"]},
        {"op": "replace", "path": f"{at}/replicas/maximum", "value": 5},
        {"op": "add", "path": f"{at}/size", "value": {"type": "integer", "default": 1}},
    ]
    await tabs.patch(f"{CRDS}/crontabs.stable.example.com", changes, "json")
    await until(tabs, f"{TABS}/a", lambda answer: "size" in answer["spec"])
    assert (await tabs.patch(f"{TABS}/a", {"spec": {"image": "app:2"}})).status == 200
    refused = await tabs.patch(f"{TABS}/a", {"spec": {"replicas": 8}})
    assert refused.status == 422 and "spec.replicas" in refused.message and "spec.color" not in refused.message
    assert (await tabs.post(TABS, tab("b", color="red"))).status == 422

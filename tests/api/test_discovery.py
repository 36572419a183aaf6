from __future__ import annotations

import json
from typing import Any

from sampan.api import discovery, openapi
from sampan.api.kinds import ALL, apps, core
from sampan.api.kinds.kind import Kind

NAMED = tuple(kind for kind in ALL if kind.group)


def read(body: bytes | None) -> Any:
    assert body is not None
    return json.loads(body)


def test_versions_and_groups() -> None:
    assert read(discovery.api_versions("127.0.0.1:6443"))["versions"] == ["v1"]
    groups = {group["name"]: group for group in read(discovery.groups(ALL))["groups"]}
    assert "" not in groups
    assert [v["version"] for v in groups["autoscaling"]["versions"]] == ["v2", "v1"]
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert read(discovery.group(ALL, "apps"))["kind"] == "APIGroup"
    assert discovery.group(ALL, "nothing") is None
    assert discovery.group(ALL, "") is None


def test_resources() -> None:
    made = read(discovery.resources(ALL, "", "v1"))
    names = [row["name"] for row in made["resources"]]
    assert names[:3] == ["bindings", "componentstatuses", "configmaps"]
    rows = {row["name"]: row for row in made["resources"]}
    assert rows["pods"]["shortNames"] == ["po"]
    assert rows["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "kind": "Eviction",
        "verbs": ["create"],
        "group": "policy",
        "version": "v1",
    }
    assert discovery.resources(ALL, "apps", "v2") is None


def test_aggregated() -> None:
    for version in discovery.AGGREGATED_VERSIONS:
        made = read(discovery.aggregated(NAMED, version))
        assert made["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        found = {item["metadata"]["name"]: item for item in made["items"]}
        deployments = next(r for r in found["apps"]["versions"][0]["resources"] if r["resource"] == "deployments")
        assert deployments["responseKind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
        scale = next(s for s in deployments["subresources"] if s["subresource"] == "scale")
        assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert (deployments["scope"], deployments["categories"]) == ("Namespaced", ["all"])
    assert "v=v2beta1" in discovery.media_type("v2beta1")
    assert discovery.etag(b"x") == discovery.etag(b"x") != discovery.etag(b"y")


def test_versions_rank_as_upstream_ranks_them() -> None:
    order = ["v10", "v2", "v1", "v3beta1", "v1beta2", "v1beta1", "v1alpha1", "foo"]
    assert sorted(order, key=discovery.version_rank, reverse=True) == order


def test_openapi_v2() -> None:
    made = read(openapi.v2(ALL))
    assert made["swagger"] == "2.0"
    pod = made["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    quantity = made["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["type"] == "string"
    patch = made["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert {"body", "fieldValidation", "dryRun"} <= {parameter["name"] for parameter in patch["parameters"]}
    identifiers = [
        operation["operationId"]
        for item in made["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(set(identifiers)) == len(identifiers)
    assert_closed(made, made["definitions"], "#/definitions/")


def assert_closed(node: Any, definitions: Any, prefix: str) -> None:
    """Every reference leads somewhere, and no type is a list (the validation form)."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix(prefix) in definitions
        assert not isinstance(node.get("type"), list)
        for member in node.values():
            assert_closed(member, definitions, prefix)
    elif isinstance(node, list):
        for member in node:
            assert_closed(member, definitions, prefix)


def test_openapi_v3() -> None:
    index = read(openapi.v3_index(ALL))["paths"]
    assert index["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    for kind in ALL:
        assert kind.prefix.removeprefix("/") in index
    made = read(openapi.v3(ALL, "apps", "v1"))
    schemas = made["components"]["schemas"]
    template = schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"]
    assert template["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"}]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    patch = made["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert_closed(made, schemas, "#/components/schemas/")
    assert openapi.v3(ALL, "apps", "v2") is None


def test_openapi_of_custom_resources() -> None:
    foo = Kind(core.CONFIG_MAP.type, "example.com", "v1", "foos", name="Foo")
    schema = {"type": "object", "properties": {"spec": {"type": "object", "description": "what is wanted"}}}
    custom = {("example.com", "v1", "Foo"): schema}
    made = read(openapi.v3((foo,), "example.com", "v1", custom))
    assert made["components"]["schemas"]["com.example.v1.Foo"]["properties"]["spec"]["description"] == "what is wanted"
    assert_closed(made, made["components"]["schemas"], "#/components/schemas/")
    assert_closed(two := read(openapi.v2((foo, apps.DEPLOYMENT), custom)), two["definitions"], "#/definitions/")
    changed = {("example.com", "v1", "Foo"): {**schema, "description": "new"}}
    assert openapi.v3_index((foo,), custom) != openapi.v3_index((foo,), changed)
    assert openapi.v3_index((foo,), custom) == openapi.v3_index((foo,), custom)
    bare = read(openapi.v3((foo,), "example.com", "v1"))
    assert bare["paths"]["/apis/example.com/v1/foos"]["get"]

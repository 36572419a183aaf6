"""Custom resources as a person meets them: with the stock kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampan.testing.thread import ServedCluster
from tests.apiserver.crds import definition, tab, version
from tests.apiserver.person import KUBECTL, Person
from tests.covers import covers

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(KUBECTL is None, reason="the stock kubectl is not installed")]

COLUMNS = [
    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
SUBRESOURCES = {
    "status": {},
    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
}


def test_a_definition_in_the_hands_of_kubectl(served_cluster: ServedCluster, tmp_path: Path) -> None:
    me = Person(served_cluster.kubeconfig, tmp_path)
    made = definition(version(additionalPrinterColumns=COLUMNS, subresources=SUBRESOURCES))
    me.types("apply", "-f", "-", given=made)
    me.types("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=30s")
    assert "crontabs" in me.types("api-resources", "--api-group=stable.example.com")
    explained = me.types("explain", "crontab.spec")
    assert "cronSpec" in explained and "GROUP:      stable.example.com" in explained

    me.types("apply", "--server-side", "-f", "-", given=tab("a", replicas=2))
    me.types("apply", "-f", "-", given=tab("b", replicas=1))
    assert "configured" in me.types("apply", "-f", "-", given=tab("b", replicas=3))
    head, first, second = me.types("get", "ct").splitlines()
    assert head.split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
    assert first.split()[0] == "a" and second.split()[-2] == "3"
    assert "cronSpec" in me.types("describe", "crontab", "a").replace("Cron Spec", "cronSpec")

    assert "spec.replicas in body must be of type integer" in me.types(
        "apply", "-f", "-", given=tab("c", replicas="many"), fails=True
    )
    assert 'unknown field "spec.foo"' in me.types("create", "-f", "-", given=tab("c", foo=1), fails=True)
    me.types("scale", "ct/a", "--replicas=5")
    assert me.types("get", "ct/a", "-o", "jsonpath={.spec.replicas}") == "5"
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    me.types("patch", "ct/a", "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    me.types("wait", "--for=condition=Ready", "ct/a", "--timeout=30s")
    me.types("label", "ct/a", "of=test")
    assert me.types("get", "ct", "-l", "of=test", "-o", "name") == "crontab.stable.example.com/a\n"

    me.types("delete", "ct", "b")
    me.types("delete", "crd", "crontabs.stable.example.com", "--timeout=30s")
    assert "the server could not find the requested resource" in me.types("get", "ct", fails=True)


def test_what_follows_from_discovery(served_cluster: ServedCluster, tmp_path: Path) -> None:
    """Owners take custom objects along, and so do namespaces; roles give and keep access."""
    me = Person(served_cluster.kubeconfig, tmp_path)
    me.types("apply", "-f", "-", given=definition())
    me.types("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=30s")
    owner = json.loads(me.types("create", "configmap", "owner", "-o", "json"))
    owned = tab("owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned["metadata"]["ownerReferences"] = [reference]
    me.types("create", "-f", "-", given=owned)
    me.types("create", "namespace", "brief")
    me.types("create", "-n", "brief", "-f", "-", given=tab("a"))
    me.types("delete", "configmap", "owner")
    me.types("wait", "--for=delete", "ct/owned", "--timeout=30s")
    me.types("delete", "namespace", "brief", "--timeout=60s")
    assert me.types("get", "ct", "-A", "-o", "name") == ""

    me.types("create", "role", "reader", "--verb=get,list", "--resource=crontabs.stable.example.com")
    me.types("create", "rolebinding", "reader", "--role=reader", "--user=jane")
    assert me.types("auth", "can-i", "list", "crontabs.stable.example.com", "--as=jane") == "yes\n"
    refused = me.types("delete", "ct", "x", "--as=jane", fails=True)
    assert 'cannot delete resource "crontabs" in API group "stable.example.com"' in refused


PUBLISH = "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def person_with(cluster: ServedCluster, home: Path, schema: dict[str, object]) -> Person:
    me = Person(cluster.kubeconfig, home)
    me.types("apply", "-f", "-", given=definition(version(schema={"openAPIV3Schema": schema})))
    me.types("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=30s")
    return me


def test_a_published_schema_checks_and_explains(served_cluster: ServedCluster, tmp_path: Path) -> None:
    bars = {
        "type": "array",
        "description": "List of Bars and their specs.",
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "description": "Name of Bar."}, "age": {"type": "string"}},
        },
    }
    spec = {"type": "object", "description": "Specification of Foo", "properties": {"bars": bars}}
    schema = {"type": "object", "description": "Foo CRD for Testing", "properties": {"spec": spec}}
    me = person_with(served_cluster, tmp_path, schema)
    known = {**tab("known"), "spec": {"bars": [{"name": "one", "age": "10"}]}}
    for verb in ("create", "apply"):
        me.types(verb, "-f", "-", given=known)
        me.types("delete", "ct", "known")
        unknown = {**tab("unknown"), "spec": {"foo": True}}
        assert 'unknown field "spec.foo"' in me.types(verb, "-f", "-", given=unknown, fails=True)
        lacking = {**tab("lacking"), "spec": {"bars": [{"age": "10"}]}}
        assert "spec.bars[0].name" in me.types(verb, "-f", "-", given=lacking, fails=True)
    assert "Foo CRD for Testing" in me.types("explain", "crontabs")
    assert "Specification of Foo" in me.types("explain", "crontabs.spec")
    explained = me.types("explain", "crontabs.spec.bars", "--recursive")
    assert "List of Bars and their specs." in explained and "-required-" in explained and "age" in explained
    assert 'field "age2" does not exist' in me.types("explain", "crontabs.spec.bars.age2", fails=True)


@covers(
    f"{PUBLISH} CRD without validation schema [Conformance]",
    f"{PUBLISH} CRD preserving unknown fields at the schema root [Conformance]",
)
def test_a_root_that_takes_any_fields(served_cluster: ServedCluster, tmp_path: Path) -> None:
    me = person_with(served_cluster, tmp_path, OPEN)
    for verb in ("create", "apply"):
        me.types(verb, "-f", "-", given={**tab("any"), "a": {"b": [{"c": "d"}]}})
        assert me.types("get", "ct/any", "-o", "jsonpath={.a.b[0].c}") == "d"
        me.types("delete", "ct", "any")
    assert "<empty>" in me.types("explain", "crontabs")


@covers(f"{PUBLISH} CRD preserving unknown fields in an embedded object [Conformance]")
def test_an_embedded_object_that_takes_any_fields(served_cluster: ServedCluster, tmp_path: Path) -> None:
    embedded = {**OPEN, "x-kubernetes-embedded-resource": True, "description": "Any object"}
    fields = {"spec": {**OPEN, "description": "Specification of Waldo"}, "template": embedded}
    me = person_with(served_cluster, tmp_path, {"type": "object", "properties": fields})
    inner = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "in"}, "odd": "kept"}
    for verb in ("create", "apply"):
        me.types(verb, "-f", "-", given={**tab("any", dummy="x"), "template": inner})
        assert me.types("get", "ct/any", "-o", "jsonpath={.spec.dummy}{.template.odd}") == "xkept"
        me.types("delete", "ct", "any")
    assert "Specification of Waldo" in me.types("explain", "crontabs")

"""Lives of services, events, pods, settings and accounts; and fields that a type does not know."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod
from tests.apiserver.crds import TABS, define, definition, tab, version
from tests.covers import covers

NAMESPACE = "/api/v1/namespaces/default"
SERVICES = f"{NAMESPACE}/services"
SECRETS = f"{NAMESPACE}/secrets"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NETWORK, NODE, INSTRUMENTATION = "[sig-network] Services should", "[sig-node]", "[sig-instrumentation]"
FIELDS = "[sig-api-machinery] FieldValidation should"


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"set": "one"}}, "spec": {"ports": [{"port": 80}], **spec}}


# --- services


@covers(
    f"{NETWORK} be able to change the type from ExternalName to ClusterIP [Conformance]",
    f"{NETWORK} be able to change the type from ClusterIP to ExternalName [Conformance]",
    f"{NETWORK} be able to change the type from ExternalName to NodePort [Conformance]",
    f"{NETWORK} be able to change the type from NodePort to ExternalName [Conformance]",
)
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
async def test_a_service_becomes_a_name_and_back(api: Api, kind: str) -> None:
    made = (await api.post(SERVICES, service(type="ExternalName", externalName="a.example.com"))).json
    assert "clusterIP" not in made["spec"]
    made["spec"] |= {"type": kind, "externalName": ""}
    found = (await api.put(f"{SERVICES}/s", made)).json
    assert found["spec"]["clusterIP"].startswith("10.96.") and not found["spec"]["externalName"]
    assert ("nodePort" in found["spec"]["ports"][0]) == (kind == "NodePort")
    for name in ("clusterIP", "clusterIPs"):
        del found["spec"][name]
    found["spec"]["ports"][0].pop("nodePort", None)
    found["spec"] |= {"type": "ExternalName", "externalName": "b.example.com"}
    named = (await api.put(f"{SERVICES}/s", found)).json
    assert named["spec"]["externalName"] == "b.example.com" and "clusterIP" not in named["spec"]
    assert "nodePort" not in named["spec"]["ports"][0]


@covers(f"{NETWORK} complete a service status lifecycle [Conformance]")
async def test_the_status_of_a_service(api: Api) -> None:
    await api.post(SERVICES, service(type="LoadBalancer"))
    ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    patched = await api.patch(f"{SERVICES}/s/status", {"metadata": {"annotations": {"a": "b"}}, "status": ingress})
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    assert patched["metadata"]["annotations"] == {"a": "b"}
    wanted = patched.json
    condition = {
        "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    wanted["status"]["conditions"] = [condition]
    assert (await api.put(f"{SERVICES}/s/status", wanted))["status"]["conditions"] == [condition]
    assert (await api.get(f"{SERVICES}/s/status"))["status"]["conditions"] == [condition]
    plain = await api.patch(f"{SERVICES}/s", {"status": {"conditions": []}})
    assert plain["status"]["conditions"] == [condition], "the status has a door of its own"


@covers(
    f"{NETWORK} delete a collection of services [Conformance]",
    f"{NETWORK} find a service from listing all namespaces [Conformance]",
)
async def test_services_of_all_namespaces_and_their_end(api: Api) -> None:
    for name in "abc":
        await api.post(SERVICES, service(name))
    other = service("d")
    other["metadata"]["labels"] = {"set": "two"}
    await api.post(SERVICES, other)
    everywhere = (await api.get("/api/v1/services"))["items"]
    assert {"kubernetes", "a", "b", "c", "d"} >= {item["metadata"]["name"] for item in everywhere} >= {"a", "d"}
    assert (await api.delete(f"{SERVICES}?labelSelector=set=one")).status == 200
    assert [item["metadata"]["name"] for item in (await api.get(f"{SERVICES}?labelSelector=set"))["items"]] == ["d"]


# --- events


def event(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"set": "one"}},
        "eventTime": "2026-01-02T03:04:05.000001Z",
        "reportingController": "example.com/c",
        "reportingInstance": "i",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "note": "this is a test",
        "regarding": {"namespace": "default"},
    }


@covers(
    f"{INSTRUMENTATION} Events API should ensure that an event can be fetched, patched, deleted, and listed "
    "[Conformance]"
)
async def test_an_event_in_the_new_form(api: Api) -> None:
    made = await api.post(EVENTS, event("e"))
    for target in (EVENTS, "/apis/events.k8s.io/v1/events"):
        found = (await api.get(f"{target}?labelSelector=set=one"))["items"]
        assert [item["metadata"]["uid"] for item in found] == [made["metadata"]["uid"]]
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:05:05.000000Z"}
    patched = await api.patch(f"{EVENTS}/e", {"series": series}, "strategic")
    assert patched["series"] == series and patched["note"] == "this is a test"
    wanted = patched.json
    wanted["series"]["count"] = 100
    assert (await api.put(f"{EVENTS}/e", wanted))["series"]["count"] == 100
    assert (await api.delete(f"{EVENTS}/e")).status == 200
    assert (await api.get(f"{EVENTS}?labelSelector=set=one"))["items"] == []


@covers(
    f"{INSTRUMENTATION} Events API should delete a collection of events [Conformance]",
    f"{INSTRUMENTATION} Events should delete a collection of events [Conformance]",
)
@pytest.mark.parametrize("target", [EVENTS, f"{NAMESPACE}/events"])
async def test_a_collection_of_events(api: Api, target: str) -> None:
    for name in "abc":
        await api.post(EVENTS, event(name))
    assert (await api.delete(f"{target}?labelSelector=set=one")).status == 200
    assert (await api.get(f"{target}?labelSelector=set=one"))["items"] == []


@covers(f"{INSTRUMENTATION} Events should manage the lifecycle of an event [Conformance]")
async def test_an_event_in_the_old_form(api: Api) -> None:
    target = f"{NAMESPACE}/events"
    about = {"kind": "Node", "name": "n", "namespace": "default"}
    body = {"metadata": {"name": "e"}, "message": "first", "reason": "Test", "type": "Normal", "involvedObject": about}
    assert (await api.post(target, body)).status == 201
    everywhere = (await api.get("/api/v1/events?fieldSelector=reason=Test,involvedObject.kind=Node"))["items"]
    assert [item["message"] for item in everywhere] == ["first"]
    assert (await api.patch(f"{target}/e", {"message": "patched"}, "strategic"))["message"] == "patched"
    wanted = (await api.get(f"{target}/e")).json
    wanted["series"] = {"count": 5, "lastObservedTime": "2026-01-02T03:05:05.000000Z"}
    assert (await api.put(f"{target}/e", wanted))["series"]["count"] == 5
    await api.delete(f"{target}/e")
    assert (await api.get(f"{target}/e")).status == 404


# --- pods, settings, accounts


@covers(f"{NODE} Pods should delete a collection of pods [Conformance]")
async def test_a_collection_of_pods(api: Api) -> None:
    for name in "abc":
        await api.post(PODS, {**pod(name), "metadata": {"name": name, "labels": {"set": "one"}}})
    await api.post(PODS, pod("other"))
    assert (await api.delete(f"{PODS}?labelSelector=set=one")).status == 200
    assert [item["metadata"]["name"] for item in (await api.get(PODS))["items"]] == ["other"]


@covers(f"{NODE} Pods should patch a pod status [Conformance]")
async def test_the_status_of_a_pod(api: Api) -> None:
    await api.post(PODS, pod("p"))
    patched = await api.patch(
        f"{PODS}/p/status", {"status": {"message": "patched by me", "reason": "Test"}}, "strategic"
    )
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("patched by me", "Test")
    assert (await api.get(f"{PODS}/p/status"))["status"]["message"] == "patched by me"


@covers(
    f"{NODE} ConfigMap should update ConfigMap successfully [Conformance] [NodeConformance]",
    f"{NODE} ConfigMap should fail to create ConfigMap with empty key [Conformance]",
)
async def test_a_configmap(api: Api) -> None:
    made = (await api.post(CONFIGS, config("c", a="1"))).json
    made["data"] = {"b": "2"}
    assert (await api.put(f"{CONFIGS}/c", made))["data"] == {"b": "2"}
    empty = await api.post(CONFIGS, {"metadata": {"name": "d"}, "data": {"": "value"}})
    assert empty.status == 422 and empty["details"]["causes"][0]["field"] == "data[]"


@covers(
    f"{NODE} Secrets should fail to create secret due to empty secret key [Conformance]",
    f"{NODE} Secrets should patch a secret [Conformance]",
)
async def test_a_secret(api: Api) -> None:
    empty = await api.post(SECRETS, {"metadata": {"name": "s"}, "data": {"": "dmFsdWU="}})
    assert empty.status == 422 and empty["details"]["causes"][0]["field"] == "data[]"
    labels = {"metadata": {"name": "s", "labels": {"set": "one"}}, "type": "Opaque"}
    await api.post(SECRETS, {**labels, "stringData": {"key": "value"}})
    patch = {"metadata": {"labels": {"set": "two"}}, "data": {"key": "dmFsdWUx"}}
    await api.patch(f"{SECRETS}/s", patch, "strategic")
    (found,) = (await api.get("/api/v1/secrets?labelSelector=set=two"))["items"]
    assert found["data"] == {"key": "dmFsdWUx"} and "stringData" not in found
    assert (await api.delete(f"{SECRETS}?labelSelector=set=two")).status == 200
    assert (await api.get(f"{SECRETS}/s")).status == 404


@covers("[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]")
async def test_a_service_account(api: Api) -> None:
    accounts = f"{NAMESPACE}/serviceaccounts"
    made = (await api.post(accounts, {"metadata": {"name": "a"}})).json
    assert "automountServiceAccountToken" not in made
    made["automountServiceAccountToken"] = True
    assert (await api.put(f"{accounts}/a", made))["automountServiceAccountToken"] is True
    assert (await api.get(f"{accounts}/a"))["automountServiceAccountToken"] is True


@covers(
    f"{NODE} PodTemplates should delete a collection of pod templates [Conformance]",
    f"{NODE} PodTemplates should replace a pod template [Conformance]",
)
async def test_pod_templates(api: Api) -> None:
    templates = f"{NAMESPACE}/podtemplates"
    for name in "abc":
        body = {"metadata": {"name": name, "labels": {"set": "one"}}, "template": {"spec": pod("x")["spec"]}}
        assert (await api.post(templates, body)).status == 201
    wanted = (await api.get(f"{templates}/a")).json
    wanted["metadata"]["annotations"] = {"updated": "true"}
    assert (await api.put(f"{templates}/a", wanted))["metadata"]["annotations"] == {"updated": "true"}
    await api.delete(f"{templates}?labelSelector=set=one")
    assert (await api.get(templates))["items"] == []


# --- fields that a type does not know

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d%s}
spec:
  %s
  replicas: 1
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "i:1"}]}}
"""


@covers(
    f"{FIELDS} detect unknown and duplicate fields of a typed object [Conformance]",
    f"{FIELDS} detect unknown metadata fields of a typed object [Conformance]",
)
@pytest.mark.parametrize(
    ("meta", "spec", "says"),
    [
        ("", "unknownField: foo", 'unknown field "spec.unknownField"'),
        ("", "paused: true\n  paused: true", 'line 7: key "paused" already set in map'),
        (", unknownMeta: foo", "paused: true", 'unknown field "metadata.unknownMeta"'),
    ],
)
async def test_unknown_fields_of_a_deployment(api: Api, meta: str, spec: str, says: str) -> None:
    body = (DEPLOYMENT % (meta, spec)).encode()
    refused = await api.post(f"{DEPLOYMENTS}?fieldValidation=Strict", body, type="application/yaml")
    assert refused.status == 400
    assert refused.message.startswith(
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error'
    )
    assert says.removeprefix("duplicate field ") in refused.message
    apply = await api.send(
        "PATCH", f"{DEPLOYMENTS}/d?fieldManager=me&fieldValidation=Strict", body, type="application/apply-patch+yaml"
    )
    assert apply.status == 400 and says in apply.message
    warned = await api.post(DEPLOYMENTS, body, type="application/yaml")
    assert warned.status == 201
    assert warned.headers["warning"] == '299 - "{}"'.format(says.replace('"', '\\"'))


@covers(
    f"{FIELDS} create/apply a valid CR for CRD with validation schema [Conformance]",
    f"{FIELDS} create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]",
)
async def test_fields_of_a_custom_resource(api: Api) -> None:
    await define(api)
    assert (await api.post(f"{TABS}?fieldValidation=Strict", tab("good"))).status == 201
    applied = await apply(api, tab("better"))
    assert applied.status == 201, applied.body
    for refused in (
        await api.post(f"{TABS}?fieldValidation=Strict", tab("bad", extra=1)),
        await apply(api, tab("bad", extra=1)),
    ):
        assert refused.status == 400 and 'unknown field "spec.extra"' in refused.message, refused.message


async def apply(api: Api, body: dict[str, Any]) -> Any:
    import json

    target = f"{TABS}/{body['metadata']['name']}?fieldManager=me&fieldValidation=Strict"
    return await api.send("PATCH", target, json.dumps(body).encode(), type="application/apply-patch+yaml")


@covers(f"{FIELDS} create/apply a CR with unknown fields for CRD with no validation schema [Conformance]")
async def test_without_a_schema_every_field_is_known(api: Api) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    await define(api, definition({**version(), "schema": schema}))
    assert (await api.post(f"{TABS}?fieldValidation=Strict", tab("a", whatever=1)))["spec"]["whatever"] == 1
    applied = await apply(api, tab("b", whatever=2))
    assert applied.status == 201 and applied["spec"]["whatever"] == 2


@covers(f"{FIELDS} detect duplicates in a CR when preserving unknown fields [Conformance]")
async def test_repeated_fields_of_a_custom_resource(api: Api) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    await define(api, definition({**version(), "schema": schema}))
    body = b'{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"a"},"spec":{"x":1,"x":2}}'
    refused = await api.post(f"{TABS}?fieldValidation=Strict", body)
    assert refused.status == 400 and 'duplicate field "spec.x"' in refused.message


@covers(f"{FIELDS} detect unknown metadata fields in both the root and embedded object of a CR [Conformance]")
async def test_unknown_metadata_of_a_custom_resource(api: Api) -> None:
    await define(api)
    inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknownInner": "1"}}
    body = tab("a", template=inner)
    body["metadata"]["unknownOuter"] = "1"
    refused = await api.post(f"{TABS}?fieldValidation=Strict", body)
    assert refused.status == 400
    assert 'unknown field "metadata.unknownOuter"' in refused.message
    assert 'unknown field "spec.template.metadata.unknownInner"' in refused.message


# --- priority classes


@covers(
    "[sig-scheduling] SchedulerPreemption PriorityClass endpoints verify PriorityClass endpoints can be operated with "
    "different HTTP methods [Conformance] [Serial]"
)
async def test_a_priority_class_keeps_its_value(api: Api) -> None:
    place = "/apis/scheduling.k8s.io/v1/priorityclasses"
    for name, value in (("p1", 1), ("p2", 2)):
        made = {"metadata": {"name": name}, "value": value, "description": "old"}
        assert (await api.post(place, made)).status == 201
    listed = (await api.get(place))["items"]
    assert {"p1": 1, "p2": 2}.items() <= {each["metadata"]["name"]: each["value"] for each in listed}.items()
    refused = await api.patch(f"{place}/p1", {"value": 10})
    assert refused.status in (403, 422) and "may not be changed in an update" in refused.message
    found = (await api.get(f"{place}/p2")).json
    assert (await api.put(f"{place}/p2", {**found, "value": 20})).status == refused.status
    assert (await api.patch(f"{place}/p1", {"description": "patched"}))["description"] == "patched"
    assert (await api.put(f"{place}/p2", {**found, "description": "put"}))["description"] == "put"
    assert {(await api.get(f"{place}/{name}"))["value"] for name in ("p1", "p2")} == {1, 2}
    for name in ("p1", "p2"):
        assert (await api.delete(f"{place}/{name}")).status == 200
        assert (await api.get(f"{place}/{name}")).status == 404

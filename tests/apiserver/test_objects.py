"""Creating, reading, changing and deleting objects of any kind."""

from __future__ import annotations

import asyncio

import pytest

from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod


async def test_created_objects_get_what_the_server_owns(api: Api) -> None:
    made = await api.post(CONFIGS, {"metadata": {"name": "a", "uid": "mine", "selfLink": "/x"}, "data": {"k": "v"}})
    assert made.status == 201
    meta = made["metadata"]
    assert meta["uid"] != "mine" and "selfLink" not in meta
    assert meta["namespace"] == "default" and meta["resourceVersion"].isdigit() and meta["creationTimestamp"]
    assert (await api.get(f"{CONFIGS}/a")).json == made.json


async def test_a_name_can_be_taken_once(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    again = await api.post(CONFIGS, config("a"))
    assert (again.status, again["reason"]) == (409, "AlreadyExists")
    assert again.message == 'configmaps "a" already exists'
    assert again["details"] == {"name": "a", "kind": "configmaps"}


async def test_generated_names_differ(api: Api) -> None:
    names = {(await api.post(CONFIGS, {"metadata": {"generateName": "x-"}}))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


async def test_what_is_not_there(api: Api) -> None:
    missing = await api.get("/apis/apps/v1/namespaces/default/deployments/web")
    assert missing.status == 404
    assert missing.message == 'deployments.apps "web" not found'
    assert missing["details"] == {"name": "web", "group": "apps", "kind": "deployments"}
    unknown = await api.get("/apis/nope/v1/things")
    assert unknown.message == "the server could not find the requested resource"


async def test_an_update_needs_the_newest_version_if_it_names_one(api: Api) -> None:
    first = await api.post(CONFIGS, config("a", k="1"))
    version = first["metadata"]["resourceVersion"]
    body = {**config("a", k="2"), "metadata": {"name": "a", "resourceVersion": version}}
    assert (await api.put(f"{CONFIGS}/a", body)).status == 200
    late = await api.put(f"{CONFIGS}/a", body)
    assert (late.status, late["reason"]) == (409, "Conflict")
    assert late.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes '
        "to the latest version and try again"
    )
    assert (await api.put(f"{CONFIGS}/a", config("a", k="3")))["data"] == {"k": "3"}


async def test_an_update_that_changes_nothing_writes_nothing(api: Api) -> None:
    first = await api.post(CONFIGS, config("a", k="1"))
    again = await api.put(f"{CONFIGS}/a", config("a", k="1"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_the_name_in_the_body_must_be_that_of_the_path(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    wrong = await api.put(f"{CONFIGS}/a", config("b"))
    assert wrong.message == "the name of the object (b) does not match the name on the URL (a)"
    elsewhere = await api.post(CONFIGS, {"metadata": {"name": "c", "namespace": "kube-system"}})
    assert elsewhere.message == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"a": None, "c": "3"}}),
        ("strategic", {"data": {"a": None, "c": "3"}}),
        ("json", [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/c", "value": "3"}]),
    ],
)
async def test_patches(api: Api, kind: str, patch: object) -> None:
    await api.post(CONFIGS, config("a", a="1", b="2"))
    assert (await api.patch(f"{CONFIGS}/a", patch, kind))["data"] == {"b": "2", "c": "3"}


async def test_patches_that_do_not_fit(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    assert (await api.patch(f"{CONFIGS}/a", [{"op": "remove", "path": "/data/x"}], "json")).status == 422
    assert (await api.patch(f"{CONFIGS}/a", {"data": 1})).status == 400
    assert (await api.send("PATCH", f"{CONFIGS}/a", {})).status == 415
    assert (await api.patch(f"{CONFIGS}/a", {"metadata": {"resourceVersion": "1"}})).status == 409


async def test_concurrent_patches_all_arrive(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    answers = await asyncio.gather(*(api.patch(f"{CONFIGS}/a", {"data": {f"k{i}": "v"}}) for i in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len((await api.get(f"{CONFIGS}/a"))["data"]) == 10


async def test_a_dry_run_checks_and_keeps_nothing(api: Api) -> None:
    tried = await api.post(f"{CONFIGS}?dryRun=All", config("a"))
    assert tried.status == 201 and tried["metadata"]["uid"]
    assert (await api.get(f"{CONFIGS}/a")).status == 404
    await api.post(CONFIGS, config("a", k="1"))
    assert (await api.post(f"{CONFIGS}?dryRun=All", config("a"))).status == 409
    assert (await api.put(f"{CONFIGS}/a?dryRun=All", config("a", k="2")))["data"] == {"k": "2"}
    assert (await api.delete(f"{CONFIGS}/a?dryRun=All")).status == 200
    assert (await api.get(f"{CONFIGS}/a"))["data"] == {"k": "1"}
    assert (await api.post(f"{CONFIGS}?dryRun=Some", config("b"))).status == 422


async def test_field_validation(api: Api) -> None:
    body = {**config("a"), "dta": {}}
    strict = await api.post(f"{CONFIGS}?fieldValidation=Strict", body)
    assert strict.status == 400
    assert strict.message.endswith('strict decoding error: unknown field "dta"')
    warned = await api.post(CONFIGS, body)
    assert warned.status == 201 and warned.headers["warning"] == '299 - "unknown field \\"dta\\""'
    ignored = await api.put(f"{CONFIGS}/a?fieldValidation=Ignore", body)
    assert ignored.status == 200 and "warning" not in ignored.headers
    twice = await api.post(f"{CONFIGS}?fieldValidation=Strict", b'{"metadata":{"name":"b"},"data":{},"data":{}}')
    assert 'duplicate field "data"' in twice.message


async def test_invalid_objects_say_every_cause(api: Api) -> None:
    answer = await api.post(PODS, {"metadata": {"name": "A"}, "spec": {"containers": [{"name": "c"}]}})
    assert (answer.status, answer["reason"]) == (422, "Invalid")
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert fields == ["metadata.name", "spec.containers[0].image"]
    assert answer.message.startswith('Pod "A" is invalid: [metadata.name: Invalid value: "A":')


async def test_deleting(api: Api) -> None:
    made = await api.post(CONFIGS, config("a"))
    gone = await api.delete(f"{CONFIGS}/a")
    assert gone["status"] == "Success"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api.delete(f"{CONFIGS}/a")).status == 404


async def test_deleting_under_conditions(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    wrong = await api.delete(f"{CONFIGS}/a", {"preconditions": {"uid": "other"}})
    assert wrong.status == 409
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in wrong.message
    assert (await api.delete(f"{CONFIGS}/a", {"propagationPolicy": "Sideways"})).status == 422


async def test_finalizers_hold_an_object(api: Api) -> None:
    await api.post(CONFIGS, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    held = await api.delete(f"{CONFIGS}/a")
    assert held["metadata"]["deletionTimestamp"]
    more = await api.patch(f"{CONFIGS}/a", {"metadata": {"finalizers": ["example.com/hold", "example.com/b"]}})
    assert more.status == 422 and "no new finalizers can be added if the object is being deleted" in more.message
    assert (await api.patch(f"{CONFIGS}/a", {"metadata": {"finalizers": []}})).status == 200
    assert (await api.get(f"{CONFIGS}/a")).status == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_becomes_a_finalizer(api: Api, policy: str, finalizer: str) -> None:
    await api.post(CONFIGS, config("a"))
    answer = await api.delete(f"{CONFIGS}/a", {"propagationPolicy": policy})
    assert answer["metadata"]["finalizers"] == [finalizer]


async def test_pods_are_given_time_to_end(api: Api) -> None:
    await api.post(PODS, pod("waits", nodeName="n1"))
    answer = await api.delete(f"{PODS}/waits")
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await api.delete(f"{PODS}/waits?gracePeriodSeconds=5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    longer = await api.delete(f"{PODS}/waits?gracePeriodSeconds=60")
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    await api.delete(f"{PODS}/waits", {"gracePeriodSeconds": 0})
    assert (await api.get(f"{PODS}/waits")).status == 404


async def test_unscheduled_pods_go_at_once(api: Api) -> None:
    await api.post(PODS, pod("new"))
    assert (await api.delete(f"{PODS}/new"))["metadata"]["name"] == "new"
    assert (await api.get(f"{PODS}/new")).status == 404


async def test_deleting_a_collection(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.post(CONFIGS, {"metadata": {"name": name, "labels": {"x": str(name != "c")}}})
    answer = await api.delete(f"{CONFIGS}?labelSelector=x%3DTrue")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    left = await api.get(CONFIGS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


async def test_status_and_spec_have_doors_of_their_own(api: Api) -> None:
    await api.post(PODS, pod("p"))
    body = (await api.get(f"{PODS}/p")).json
    body["status"] = {"phase": "Running"}
    assert (await api.put(f"{PODS}/p", body))["status"]["phase"] == "Pending"
    body["spec"]["nodeName"] = "elsewhere"
    body["metadata"].pop("resourceVersion")
    answer = await api.put(f"{PODS}/p/status", body)
    assert answer["status"]["phase"] == "Running" and "nodeName" not in answer["spec"]


async def test_generation_counts_changes_of_the_spec(api: Api) -> None:
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert (await api.post(deployments, body))["metadata"]["generation"] == 1
    assert (await api.patch(f"{deployments}/d", {"metadata": {"labels": {"x": "y"}}}))["metadata"]["generation"] == 1
    assert (await api.patch(f"{deployments}/d", {"spec": {"replicas": 3}}))["metadata"]["generation"] == 2
    scale = await api.get(f"{deployments}/d/scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 3}, "a=b")
    assert (await api.patch(f"{deployments}/d/scale", {"spec": {"replicas": 5}}))["spec"] == {"replicas": 5}
    scaled = await api.get(f"{deployments}/d")
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (5, 3)


async def test_binding_a_pod(api: Api) -> None:
    await api.post(PODS, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api.post(f"{PODS}/p/binding", binding)).status == 201
    bound = await api.get(f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = await api.post(f"{PODS}/p/binding", binding)
    assert again.status == 409 and 'pod p is already assigned to node "n1"' in again.message


async def test_eviction_respects_the_budget(api: Api) -> None:
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    await api.post(PODS, {**pod("p", nodeName="n1"), "metadata": {"name": "p", "labels": {"a": "b"}}})
    await api.patch(
        f"{PODS}/p/status", {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    )
    await api.post(
        budgets, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    )
    await api.patch(
        f"{budgets}/b/status", {"status": {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1}}
    )
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    refused = await api.post(f"{PODS}/p/eviction", eviction)
    assert refused.status == 429
    assert refused.message == "Cannot evict pod as it would violate the pod's disruption budget."
    cause = refused["details"]["causes"][0]
    assert cause == {
        "reason": "DisruptionBudget",
        "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
    }
    await api.patch(f"{budgets}/b/status", {"status": {"disruptionsAllowed": 1}})
    assert (await api.post(f"{PODS}/p/eviction", eviction)).status == 201
    assert (await api.get(f"{PODS}/p"))["metadata"]["deletionTimestamp"]
    assert "disruptionsAllowed" not in str((await api.get(f"{budgets}/b"))["status"]["disruptedPods"])


async def test_a_namespace_waits_for_its_finalizer(api: Api) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "ns"}})
    ending = await api.delete("/api/v1/namespaces/ns")
    assert ending["status"]["phase"] == "Terminating"
    refused = await api.post("/api/v1/namespaces/ns/configmaps", config("late"))
    assert refused.status == 403 and "because it is being terminated" in refused.message
    body = (await api.get("/api/v1/namespaces/ns")).json
    body["spec"]["finalizers"] = []
    assert (await api.put("/api/v1/namespaces/ns/finalize", body)).status == 200
    assert (await api.get("/api/v1/namespaces/ns")).status == 404


async def test_services_get_addresses_and_ports(api: Api) -> None:
    services = "/api/v1/namespaces/default/services"
    first = await api.post(services, {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    ip, port = first["spec"]["clusterIP"], first["spec"]["ports"][0]["nodePort"]
    assert ip.startswith("10.96.") and 30000 <= port <= 32767
    taken = await api.post(services, {"metadata": {"name": "b"}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}})
    assert f"failed to allocate IP {ip}: provided IP is already allocated" in taken.message
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}
    taken = await api.post(services, {"metadata": {"name": "b"}, "spec": spec})
    assert taken["details"]["causes"][0] == {
        "reason": "FieldValueInvalid",
        "message": f"Invalid value: {port}: provided port is already allocated",
        "field": "spec.ports[0].nodePort",
    }
    headless = await api.post(
        services, {"metadata": {"name": "c"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    )
    assert headless["spec"]["clusterIPs"] == ["None"]
    await api.delete(f"{services}/a")
    assert (await api.post(services, {"metadata": {"name": "d"}, "spec": spec})).status == 201


async def test_events_are_one_store_in_two_versions(api: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "test",
        "reportingInstance": "one",
        "action": "Look",
        "reason": "Seen",
        "type": "Normal",
        "note": "something happened",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    }
    made = await api.post("/apis/events.k8s.io/v1/namespaces/default/events", event)
    assert made.status == 201 and made["note"] == "something happened"
    core = await api.get("/api/v1/namespaces/default/events/e")
    assert core["message"] == "something happened" and core["involvedObject"]["name"] == "p"

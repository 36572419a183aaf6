"""Webhooks of admission: what they are asked, what they change and refuse, and what happens when they fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod
from tests.apiserver.crds import CRDS, TABS, define, definition, tab, version
from tests.apiserver.hooks import (
    CONFORMANCE,
    DENIED,
    VALIDATING,
    Document,
    Hooks,
    add,
    allow,
    mutating,
    patch,
    rule,
    validating,
)
from tests.covers import covers


async def set_policy(api: Api, name: str, value: str) -> None:
    operations = [{"op": "add", "path": f"/webhooks/0/{name}", "value": value}]
    assert (await api.patch(f"{VALIDATING}/v", operations, "json")).status == 200


# --- refusing


@covers(f"{CONFORMANCE} should be able to deny pod and configmap creation [Conformance]")
async def test_pods_and_configmaps_are_refused(api: Api, hooks: Hooks) -> None:
    await api.post(CONFIGS, config("old", a="1"))
    assert (await validating(api, hooks.webhook("/deny", rule("pods configmaps")))).status == 201
    for answer in (
        await api.post(PODS, pod("p")),
        await api.post(CONFIGS, config("c")),
        await api.put(f"{CONFIGS}/old", config("old", a="2")),
        await api.patch(f"{CONFIGS}/old", {"data": {"a": "3"}}),
        await api.delete(f"{CONFIGS}/old"),
    ):
        assert (answer.status, answer.message) == (400, DENIED)
        assert answer["status"] == "Failure"
    assert (await api.get(f"{PODS}/p")).status == 404
    assert (await api.get(f"{CONFIGS}/old"))["data"] == {"a": "1"}
    await api.delete(f"{VALIDATING}/v")
    assert (await api.post(CONFIGS, config("c"))).status == 201


@pytest.mark.parametrize(
    ("status", "code", "reason", "says"),
    [
        (None, 400, None, " without explanation"),
        ({"reason": "Because"}, 400, "Because", ": Because"),
        ({"message": "no", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", ": no"),
        ({"message": "no", "code": 200, "status": "Success"}, 400, None, ": no"),
        ({"message": "no", "details": "odd"}, 400, None, ": no"),
    ],
)
async def test_the_status_of_a_refusal(api: Api, hooks: Hooks, status: Any, code: int, reason: Any, says: str) -> None:
    hooks.judges["/no"] = lambda request: {"allowed": False, **({"status": status} if status else {})}
    await validating(api, hooks.webhook("/no"))
    answer = await api.post(CONFIGS, config("c"))
    assert (answer.status, answer["code"], answer.json.get("reason")) == (code, code, reason)
    assert answer.message == f'admission webhook "no.hooks.example.com" denied the request{says}'


@covers(f"{CONFORMANCE} should be able to deny attaching pod [Conformance]")
async def test_attaching_is_refused(api: Api, hooks: Hooks) -> None:
    await api.post(PODS, pod("p", nodeName="n"))
    await validating(api, hooks.webhook("/deny", rule("pods/attach pods/exec", "CONNECT")))
    answer = await api.post(f"{PODS}/p/attach?stdin=1&stdout=true&container=main", None)
    assert answer.message == DENIED
    await api.post(f"{PODS}/p/exec?command=ls&command=-l&stdout=true", None)
    attach, execute = hooks.asked
    assert attach["operation"] == "CONNECT" and attach["subResource"] == "attach"
    assert attach["kind"] == {"group": "", "version": "v1", "kind": "PodAttachOptions"}
    assert attach["object"] == {
        "kind": "PodAttachOptions", "apiVersion": "v1", "stdin": True, "stdout": True, "container": "main",
    }  # fmt: skip
    assert execute["object"]["command"] == ["ls", "-l"] and execute["oldObject"] is None


@covers(
    f"{CONFORMANCE} should be able to deny custom resource creation, update and deletion [Conformance]",
    f"{CONFORMANCE} should deny crd creation [Conformance]",
)
async def test_custom_resources_and_definitions_are_refused(api: Api, hooks: Hooks) -> None:
    await define(api)
    assert (await api.post(TABS, tab("kept"))).status == 201
    custom = rule("crontabs", "*", "stable.example.com")
    crds = rule("customresourcedefinitions", "CREATE", "apiextensions.k8s.io")
    await validating(api, hooks.webhook("/deny", custom, crds))
    assert (await api.post(TABS, tab("new"))).message == DENIED
    assert (await api.patch(f"{TABS}/kept", {"spec": {"image": "x"}})).message == DENIED
    assert (await api.delete(f"{TABS}/kept")).message == DENIED
    assert (await api.get(f"{TABS}/kept")).status == 200
    assert (await api.post(CRDS, definition(plural="others", kind="Other"))).message == DENIED
    created, changed, deleted = hooks.asked[:3]
    assert created["kind"] == {"group": "stable.example.com", "version": "v1", "kind": "CronTab"}
    assert changed["object"]["spec"]["image"] == "x" and "image" in changed["oldObject"]["spec"]
    assert deleted["object"] is None and deleted["oldObject"]["metadata"]["name"] == "kept"


# --- changing


@covers(f"{CONFORMANCE} should mutate configmap [Conformance]")
async def test_a_configmap_is_changed_by_one_after_the_other(api: Api, hooks: Hooks) -> None:
    hooks.judges |= {"/one": patch(add("/data/one", "1")), "/two": patch(add("/data/two", "2"))}
    assert (await mutating(api, hooks.webhook("/one"), hooks.webhook("/two"))).status == 201
    made = await api.post(CONFIGS, config("c", start="0"))
    assert made["data"] == {"start": "0", "one": "1", "two": "2"}
    assert (await api.get(f"{CONFIGS}/c"))["data"] == made["data"]
    assert hooks.asked[1]["object"]["data"] == {"start": "0", "one": "1"}, "the second sees what the first did"


@covers(f"{CONFORMANCE} should mutate pod and apply defaults after mutation [Conformance]")
async def test_defaults_come_after_the_change_of_a_pod(api: Api, hooks: Hooks) -> None:
    hooks.judges["/pod"] = patch(add("/spec/initContainers", [{"name": "added", "image": "init:1"}]))
    await mutating(api, hooks.webhook("/pod", rule("pods", "CREATE")))
    (added,) = (await api.post(PODS, pod("p")))["spec"]["initContainers"]
    assert added["terminationMessagePolicy"] == "File"
    assert added["imagePullPolicy"] == "IfNotPresent"
    assert added["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount", (
        "the plugins before the webhooks see what was added, too"
    )


@covers(
    f"{CONFORMANCE} should mutate custom resource [Conformance]",
    f"{CONFORMANCE} should mutate custom resource with pruning [Conformance]",
)
async def test_a_custom_resource_is_changed_and_pruned(api: Api, hooks: Hooks) -> None:
    await define(api)
    hooks.judges["/tab"] = patch(add("/spec/color", "red"), add("/spec/unknown", "x"))
    await mutating(api, hooks.webhook("/tab", rule("crontabs", "CREATE", "stable.example.com")))
    spec = (await api.post(TABS, tab()))["spec"]
    assert spec["color"] == "red" and "unknown" not in spec
    hooks.judges["/tab"] = patch(add("/spec/color", "green"))
    refused = await api.post(TABS, tab("wrong"))
    assert refused.status == 422 and "spec.color" in refused.message


@covers(f"{CONFORMANCE} should mutate custom resource with different stored version [Conformance]")
async def test_a_webhook_sees_the_version_it_knows(api: Api, hooks: Hooks) -> None:
    await define(api, definition(version("v1", storage=False), version("v2")))
    hooks.judges["/tab"] = patch(add("/spec/color", "red"))
    await mutating(api, hooks.webhook("/tab", rule("crontabs", "CREATE UPDATE", "stable.example.com", "v2")))
    made = await api.post(TABS, tab())
    assert made["apiVersion"] == "stable.example.com/v1" and made["spec"]["color"] == "red"
    (asked,) = hooks.asked
    assert asked["kind"]["version"] == asked["resource"]["version"] == "v2"
    assert asked["object"]["apiVersion"] == "stable.example.com/v2"
    assert asked["requestKind"]["version"] == asked["requestResource"]["version"] == "v1"


async def test_exact_webhooks_are_not_asked_about_other_versions(api: Api, hooks: Hooks) -> None:
    scalers = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    scaler = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}}
    wanted = rule("horizontalpodautoscalers", "CREATE", "autoscaling", "v2")
    await validating(api, hooks.webhook("/deny", wanted, matchPolicy="Exact"))
    assert (await api.post(f"{scalers}?dryRun=All", scaler)).status == 201
    await set_policy(api, "matchPolicy", "Equivalent")
    assert (await api.post(scalers, scaler)).message == DENIED
    assert hooks.asked[0]["object"]["spec"]["maxReplicas"] == 3
    assert hooks.asked[0]["object"]["apiVersion"] == "autoscaling/v2"


async def test_who_wants_to_sees_later_changes(api: Api, hooks: Hooks) -> None:
    hooks.judges |= {
        "/never": patch(add("/metadata/labels", {"never": "1"})),
        "/again": allow,
        "/last": patch(add("/data/last", "1")),
    }
    await mutating(
        api,
        hooks.webhook("/never"),
        hooks.webhook("/again", reinvocationPolicy="IfNeeded"),
        hooks.webhook("/last", reinvocationPolicy="IfNeeded"),
    )
    await api.post(CONFIGS, config("c", a="1"))
    assert [target.partition("?")[0] for target in hooks.targets] == ["/never", "/again", "/last", "/again"]
    assert hooks.asked[3]["object"]["data"] == {"a": "1", "last": "1"}


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (add("/metadata/name", "other"), "attempted to give the object another name"),
        (add("/data", "text"), "cannot unmarshal string"),
        ({"op": "remove", "path": "/none/there"}, "the server rejected our request"),
        (add("/kind", "Secret"), 'no kind "Secret" is registered'),
    ],
)
async def test_changes_that_do_not_fit(api: Api, hooks: Hooks, operation: Document, says: str) -> None:
    hooks.judges["/odd"] = patch(operation)
    await mutating(api, hooks.webhook("/odd", failurePolicy="Ignore"))
    answer = await api.post(CONFIGS, config("c", a="1"))
    assert answer.status == 500 and answer["reason"] == "InternalError"
    assert says in answer.message
    assert (await api.get(f"{CONFIGS}/c")).status == 404


async def test_what_is_deleted_cannot_be_changed(api: Api, hooks: Hooks) -> None:
    await api.post(CONFIGS, config("c"))
    hooks.judges["/late"] = patch(add("/data", {}))
    await mutating(api, hooks.webhook("/late", rule("configmaps", "DELETE")))
    answer = await api.delete(f"{CONFIGS}/c")
    assert answer.message == (
        'Internal error occurred: admission webhook "late.hooks.example.com" attempted to modify the object, '
        "which is not supported for this operation"
    )


# --- failing


@covers(f"{CONFORMANCE} should unconditionally reject operations on fail closed webhook [Conformance]")
async def test_a_webhook_that_nobody_serves(api: Api, hooks: Hooks) -> None:
    closed = hooks.webhook("/x") | {"clientConfig": {"url": "https://127.0.0.1:1/x", "caBundle": hooks.bundle}}
    await validating(api, closed)
    answer = await api.post(CONFIGS, config("c"))
    assert (answer.status, answer["reason"]) == (500, "InternalError")
    start = 'Internal error occurred: failed calling webhook "x.hooks.example.com": failed to call webhook: Post '
    assert answer.message.startswith(f'{start}"https://127.0.0.1:1/x?timeout=10s": ')
    await set_policy(api, "failurePolicy", "Ignore")
    assert (await api.post(CONFIGS, config("c"))).status == 201


@covers(f"{CONFORMANCE} should honor timeout [Conformance]")
async def test_a_webhook_that_never_answers(api: Api, hooks: Hooks) -> None:
    await validating(api, hooks.webhook("/silent", timeoutSeconds=1))
    answer = await asyncio.wait_for(api.post(CONFIGS, config("c")), 20)
    assert answer.status == 500
    assert answer.message.endswith('/silent?timeout=1s": context deadline exceeded')
    assert hooks.targets == ["/silent?timeout=1s"]
    await set_policy(api, "failurePolicy", "Ignore")
    assert (await asyncio.wait_for(api.post(CONFIGS, config("c")), 20)).status == 201


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "the answer is no JSON"),
        (b"{}", "webhook response was absent"),
        (b'{"response": {"allowed": true}}', "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview"),
        (
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x"}}',
            'got "x"',
        ),
        (b"[" * 5000, "the answer is no JSON"),
    ],
)
async def test_answers_that_are_none(api: Api, hooks: Hooks, body: bytes, says: str) -> None:
    hooks.raw["/odd"] = lambda review: body
    await validating(api, hooks.webhook("/odd"))
    answer = await api.post(CONFIGS, config("c"))
    assert answer.status == 500 and says in answer.message
    assert 'failed calling webhook "odd.hooks.example.com": received invalid webhook response: ' in answer.message


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ({"patch": "W10=", "patchType": "Merge"}, 'webhook returned invalid response.patchType of "Merge"'),
        ({"patch": "!", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
        ({"patch": "e30=", "patchType": "JSONPatch"}, "it is no list of operations"),
    ],
)
async def test_patches_that_are_none(api: Api, hooks: Hooks, response: Document, says: str) -> None:
    hooks.judges["/odd"] = lambda request: {"allowed": True, **response}
    await mutating(api, hooks.webhook("/odd"))
    assert says in (await api.post(CONFIGS, config("c"))).message


async def test_a_validating_webhook_changes_nothing(api: Api, hooks: Hooks) -> None:
    hooks.judges["/odd"] = patch(add("/data/x", "1"))
    await validating(api, hooks.webhook("/odd"))
    answer = await api.post(CONFIGS, config("c", a="1"))
    assert "validating webhook may not return response.patch" in answer.message


async def test_a_certificate_of_somebody_else(api: Api, hooks: Hooks) -> None:
    trusting = hooks.webhook("/allow")
    del trusting["clientConfig"]["caBundle"]
    await validating(api, trusting)
    answer = await api.post(CONFIGS, config("c"))
    assert answer.status == 500 and "certificate" in answer.message
    assert hooks.asked == []


# --- what is asked


async def test_the_question(api: Api, hooks: Hooks) -> None:
    await validating(api, hooks.webhook("/allow"))
    await api.post(f"{CONFIGS}?dryRun=All", config("c", a="1"))
    (review,) = hooks.reviews
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    request = review["request"]
    assert request["uid"]
    assert request["kind"] == request["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (request["name"], request["namespace"], request["operation"]) == ("c", "default", "CREATE")
    assert request["userInfo"] == {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]}
    assert request["object"]["data"] == {"a": "1"} and request["oldObject"] is None
    assert request["object"]["kind"] == "ConfigMap" and request["object"]["metadata"]["uid"]
    assert request["dryRun"] is True and request["options"]["dryRun"] == ["All"]
    assert "subResource" not in request
    assert hooks.targets == ["/allow?timeout=10s"]


async def test_an_older_review(api: Api, hooks: Hooks) -> None:
    await validating(api, hooks.webhook("/allow", admissionReviewVersions=["v9", "v1beta1", "v1"]))
    assert (await api.post(CONFIGS, config("c"))).status == 201
    assert hooks.reviews[0]["apiVersion"] == "admission.k8s.io/v1beta1"


async def test_subresources_are_asked_about_by_their_names(api: Api, hooks: Hooks) -> None:
    sets = "/apis/apps/v1/namespaces/default/replicasets"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.post(sets, {"metadata": {"name": "r"}, "spec": spec})
    await api.post(PODS, pod("p"))
    await validating(
        api, hooks.webhook("/allow", rule("replicasets/scale pods/*", "*", "*"), rule("replicasets", "DELETE", "apps"))
    )
    await api.put(f"{sets}/r/scale", {"metadata": {"name": "r"}, "spec": {"replicas": 5}})
    await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running"}})
    await api.post(f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
    await api.post(f"{PODS}/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}})
    seen = [(a.get("subResource"), a["operation"], a["kind"]["kind"]) for a in hooks.asked]
    assert seen == [
        ("scale", "UPDATE", "Scale"),
        ("status", "UPDATE", "Pod"),
        ("binding", "CREATE", "Binding"),
        ("eviction", "CREATE", "Eviction"),
    ]
    assert hooks.asked[0]["object"]["spec"] == {"replicas": 5} and hooks.asked[0]["oldObject"]["spec"] == {
        "replicas": 1
    }


async def test_selectors_choose(api: Api, hooks: Hooks) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "watched", "labels": {"hooks": "on"}}})
    await validating(
        api,
        hooks.webhook("/deny", rule("configmaps namespaces"), namespaceSelector={"matchLabels": {"hooks": "on"}}),
    )
    assert (await api.post(CONFIGS, config("c"))).status == 201
    assert (await api.post("/api/v1/namespaces/watched/configmaps", config("c"))).message == DENIED
    labelled = {"metadata": {"name": "more", "labels": {"hooks": "on"}}}
    assert (await api.post("/api/v1/namespaces", labelled)).message == DENIED
    await api.delete(f"{VALIDATING}/v")
    await api.post(CONFIGS, {"metadata": {"name": "mine", "labels": {"app": "x"}}})
    await validating(api, hooks.webhook("/deny", objectSelector={"matchLabels": {"app": "x"}}))
    assert (await api.post(CONFIGS, config("d"))).status == 201
    assert (await api.patch(f"{CONFIGS}/mine", {"metadata": {"labels": None}})).message == DENIED


@pytest.mark.parametrize(
    ("scope", "configmap", "namespace"),
    [("*", 400, 400), ("Namespaced", 400, 201), ("Cluster", 201, 400)],
)
async def test_scopes(api: Api, hooks: Hooks, scope: str, configmap: int, namespace: int) -> None:
    await validating(api, hooks.webhook("/deny", rule("*", "CREATE", scope=scope)))
    assert (await api.post(CONFIGS, config("c"))).status == configmap
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}})).status == namespace


async def test_warnings_reach_the_client(api: Api, hooks: Hooks) -> None:
    hooks.judges["/warn"] = lambda request: {"allowed": True, "warnings": ["mind the gap"]}
    await validating(api, hooks.webhook("/warn"))
    assert (await api.post(CONFIGS, config("c"))).headers["warning"] == '299 - "mind the gap"'
    assert (await api.delete(f"{CONFIGS}/c")).headers["warning"] == '299 - "mind the gap"'


async def test_apply_and_delete_collection_pass_webhooks(api: Api, hooks: Hooks) -> None:
    hooks.judges["/one"] = patch(add("/data/one", "1"))
    await mutating(api, hooks.webhook("/one", rule("configmaps", "CREATE")))
    wish = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    target = f"{CONFIGS}/c?fieldManager=me"
    applied = await api.send("PATCH", target, wish, type="application/apply-patch+yaml")
    assert applied["data"] == {"a": "1", "one": "1"}
    await validating(api, hooks.webhook("/deny", rule("configmaps", "DELETE")))
    assert (await api.delete(CONFIGS)).message == DENIED
    assert (await api.get(f"{CONFIGS}/c")).status == 200


# --- what a webhook may not decide


async def test_what_the_server_alone_decides_no_webhook_changes(api: Api, hooks: Hooks) -> None:
    """A deletionTimestamp that nobody asked for would make an object that never ends."""
    hooks.judges["/greedy"] = patch(
        add("/metadata/creationTimestamp", "2001-01-01T00:00:00Z"),
        add("/metadata/deletionTimestamp", "2001-01-01T00:00:00Z"),
        add("/metadata/deletionGracePeriodSeconds", 0),
        add("/metadata/generation", 77),
        add("/metadata/resourceVersion", "1"),
        add("/metadata/selfLink", "/x"),
        add("/status", {"phase": "Succeeded", "podIP": "10.1.2.3"}),
    )
    await mutating(api, hooks.webhook("/greedy", rule("pods", "CREATE")))
    made = await api.post(PODS, pod("p"))
    assert made.status == 201, made.message
    meta = made["metadata"]
    assert not {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"} & set(meta)
    assert meta["creationTimestamp"] > "2020" and meta["generation"] == 1 and meta["resourceVersion"] != "1"
    assert made["status"]["phase"] == "Pending" and "podIP" not in made["status"]


async def test_a_webhook_about_a_status_changes_the_status_alone(api: Api, hooks: Hooks) -> None:
    await api.post(PODS, pod("p"))
    hooks.judges["/greedy"] = patch(
        {"op": "replace", "path": "/spec/containers/0/image", "value": "another:1"},
        add("/status/message", "told"),
    )
    await mutating(api, hooks.webhook("/greedy", rule("pods/status", "UPDATE")))
    changed = await api.patch(f"{PODS}/p/status", {"status": {"reason": "Because"}})
    assert changed.status == 200, changed.message
    assert changed["spec"]["containers"][0]["image"] == "app:1"
    assert (changed["status"]["reason"], changed["status"]["message"]) == ("Because", "told")
    hooks.judges["/other"] = patch(add("/status", {"phase": "Failed"}), add("/metadata/labels", {"a": "b"}))
    await mutating(api, hooks.webhook("/other", rule("pods", "UPDATE")), name="n")
    changed = await api.patch(f"{PODS}/p", {"metadata": {"annotations": {"c": "d"}}})
    assert (changed["metadata"]["labels"], changed["status"]["phase"]) == ({"a": "b"}, "Pending")

"""Server-side apply: wishes of several managers in one object."""

from __future__ import annotations

from typing import Any

from tests.apiserver.conftest import CONFIGS, Answer, Api, config

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def wish(api: Api, target: str, body: dict[str, Any], manager: str = "me", **query: str) -> Answer:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return await api.send("PATCH", f"{target}?fieldManager={manager}{more}", body, type="application/apply-patch+yaml")


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", **config(name, **data)}


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": list(items)}},
    }


async def test_an_apply_makes_the_object_and_says_who_owns_what(api: Api) -> None:
    made = await wish(api, f"{CONFIGS}/a", configmap("a", k="v"))
    assert made.status == 201
    entry = made["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("me", "Apply", "v1")
    assert entry["fieldsV1"] == {"f:data": {"f:k": {}}}
    again = await wish(api, f"{CONFIGS}/a", configmap("a", k="v"))
    assert again.status == 200
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_what_a_manager_leaves_out_goes(api: Api) -> None:
    await wish(api, f"{CONFIGS}/a", configmap("a", mine="1", old="1"))
    await wish(api, f"{CONFIGS}/a", configmap("a", theirs="1"), "other")
    left = await wish(api, f"{CONFIGS}/a", configmap("a", mine="2"))
    assert left["data"] == {"mine": "2", "theirs": "1"}


async def test_two_wishes_for_one_field_are_a_conflict(api: Api) -> None:
    await wish(api, f"{CONFIGS}/a", configmap("a", k="1"))
    refused = await wish(api, f"{CONFIGS}/a", configmap("a", k="2"), "other")
    assert (refused.status, refused["reason"]) == (409, "Conflict")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "me": .data.k'
    assert refused["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": ".data.k"}
    ]
    agreed = await wish(api, f"{CONFIGS}/a", configmap("a", k="1"), "other")
    assert agreed.status == 200
    forced = await wish(api, f"{CONFIGS}/a", configmap("a", k="3"), "third", force="true")
    assert forced["data"] == {"k": "3"}
    assert [entry["manager"] for entry in forced["metadata"]["managedFields"]] == ["third"]


async def test_an_update_takes_fields_over(api: Api) -> None:
    await wish(api, f"{CONFIGS}/a", configmap("a", k="1", l="1"))
    await api.send("PATCH", f"{CONFIGS}/a?fieldManager=hand", {"data": {"k": "2"}}, type="application/merge-patch+json")
    refused = await wish(api, f"{CONFIGS}/a", configmap("a", k="1", l="1"))
    assert refused.message == 'Apply failed with 1 conflict: conflict with "hand" using v1: .data.k'
    dropped = await wish(api, f"{CONFIGS}/a", configmap("a", l="1"))
    assert dropped["data"] == {"k": "2", "l": "1"}


async def test_objects_that_nobody_applied_carry_no_owners(api: Api) -> None:
    await api.post(CONFIGS, config("a", k="1"))
    plain = await api.put(f"{CONFIGS}/a", config("a", k="2"))
    assert "managedFields" not in plain["metadata"]
    refused = await wish(api, f"{CONFIGS}/a", configmap("a", k="3"))
    assert refused.message == 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.k'
    assert (await wish(api, f"{CONFIGS}/a", configmap("a", k="3"), force="true"))["data"] == {"k": "3"}


async def test_lists_with_keys_are_shared(api: Api) -> None:
    first = {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}
    made = await wish(api, f"{DEPLOYMENTS}/web", deployment(replicas=2, **containers(first)))
    assert made.status == 201, made.body
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:1"}]}}}}
    both = await wish(api, f"{DEPLOYMENTS}/web", {**deployment(), **sidecar}, "injector")
    names = [c["name"] for c in both["spec"]["template"]["spec"]["containers"]]
    assert names == ["a", "b"]
    scaled = await wish(api, f"{DEPLOYMENTS}/web", deployment(replicas=3, **containers({"name": "a", "image": "a:2"})))
    assert scaled.status == 200, scaled.body
    web = scaled["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"], "ports" in c) for c in web] == [("a", "a:2", False), ("b", "b:1", False)]
    gone = await wish(api, f"{DEPLOYMENTS}/web", deployment(), "injector")
    assert [c["name"] for c in gone["spec"]["template"]["spec"]["containers"]] == ["a"]


async def test_the_owners_can_be_forgotten(api: Api) -> None:
    await wish(api, f"{CONFIGS}/a", configmap("a", k="1"))
    cleared = await api.patch(f"{CONFIGS}/a", {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in cleared["metadata"]


async def test_what_an_apply_must_say(api: Api) -> None:
    media = "application/apply-patch+yaml"
    unnamed = await api.send("PATCH", f"{CONFIGS}/a", configmap("a"), type=media)
    assert unnamed.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    other = await wish(api, f"{CONFIGS}/a", configmap("b"))
    assert other.status == 400
    strict = await wish(api, f"{CONFIGS}/a", {**configmap("a"), "dta": {}}, fieldValidation="Strict")
    assert 'unknown field "dta"' in strict.message
    tried = await wish(api, f"{CONFIGS}/a", configmap("a", k="1"), dryRun="All")
    assert tried.status == 201 and (await api.get(f"{CONFIGS}/a")).status == 404

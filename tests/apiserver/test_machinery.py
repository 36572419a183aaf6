"""Behaviours of the API machinery that clients count on: pages, discovery, forms of answers, namespaces, versions."""

from __future__ import annotations

import pytest

from tests.apiserver.conftest import CONFIGS, PODS, Api, config, pod
from tests.apiserver.crds import define, definition, version
from tests.covers import covers

CONFORMANCE = "[sig-api-machinery]"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NAMESPACES = "/api/v1/namespaces"


def names(answer: dict[str, object]) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]  # type: ignore[attr-defined,index]


# --- pages


@covers(
    f"{CONFORMANCE} Servers with support for API chunking should return chunks of results for list calls [Conformance]"
)
@pytest.mark.parametrize("limit", [1, 7, 40, 41, 1000])
async def test_pages_together_are_the_list(api: Api, limit: int) -> None:
    templates = "/api/v1/namespaces/default/podtemplates"
    wanted = [f"template-{number:04}" for number in range(40)]
    for name in wanted:
        await api.post(templates, {"metadata": {"name": name}, "template": {"spec": pod("x")["spec"]}})
    found: list[str] = []
    token, revisions = "", set()
    while True:
        page = (await api.get(f"{templates}?limit={limit}{f'&continue={token}' if token else ''}")).json
        found += names(page)
        revisions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        left = len(wanted) - len(found)
        assert len(page["items"]) <= limit and page["metadata"].get("remainingItemCount", 0) == left
        if not token:
            break
    assert found == wanted and len(revisions) == 1


@covers(
    f"{CONFORMANCE} Servers with support for API chunking should support continue listing from the last key if the "
    "original version has been compacted away, though the list is inconsistent [Conformance] [Slow]"
)
async def test_a_list_goes_on_after_its_version_is_forgotten(api: Api) -> None:
    for name in "abcdef":
        await api.post(CONFIGS, config(name))
    first = (await api.get(f"{CONFIGS}?limit=2")).json
    await api.delete(f"{CONFIGS}/e")
    await api.post(CONFIGS, config("cc"))
    store = api.server.resources.store
    await store.compact(store.revision)
    expired = await api.get(f"{CONFIGS}?limit=2&continue={first['metadata']['continue']}")
    assert (expired.status, expired["reason"]) == (410, "Expired")
    second = (await api.get(f"{CONFIGS}?limit=2&continue={expired['metadata']['continue']}")).json
    assert names(second) == ["c", "cc"]
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    third = (await api.get(f"{CONFIGS}?limit=9&continue={second['metadata']['continue']}")).json
    assert names(third) == ["d", "f"] and "continue" not in third["metadata"]


# --- discovery


@covers(
    f"{CONFORMANCE} Discovery should validate PreferredVersion for each APIGroup [Conformance]",
    f"{CONFORMANCE} Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]",
)
async def test_every_group_leads_to_its_resources(api: Api) -> None:
    for group in (await api.get("/apis"))["groups"]:
        alone = (await api.get(f"/apis/{group['name']}")).json
        assert alone["preferredVersion"] == group["preferredVersion"] and alone["versions"] == group["versions"]
        assert group["preferredVersion"] in group["versions"]
        for each in group["versions"]:
            assert each["groupVersion"] == f"{group['name']}/{each['version']}"
            found = (await api.get(f"/apis/{each['groupVersion']}")).json
            assert found["kind"] == "APIResourceList" and found["groupVersion"] == each["groupVersion"]
            assert all(resource["name"] and resource["kind"] and resource["verbs"] for resource in found["resources"])


@covers(
    f"{CONFORMANCE} AggregatedDiscovery should support aggregated discovery interface [Conformance]",
    f"{CONFORMANCE} AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]",
)
async def test_aggregated_discovery_says_the_same(api: Api) -> None:
    answer = await api.get("/apis", accept=AGGREGATED)
    assert answer.headers["content-type"] == AGGREGATED
    groups = {item["metadata"]["name"]: item["versions"] for item in answer["items"]}
    for group in (await api.get("/apis"))["groups"]:
        assert [each["version"] for each in groups[group["name"]]] == [each["version"] for each in group["versions"]]
        for each in groups[group["name"]]:
            plain = (await api.get(f"/apis/{group['name']}/{each['version']}"))["resources"]
            theirs = {r["name"]: sorted(r["verbs"]) for r in plain}
            ours = {r["resource"]: sorted(r["verbs"]) for r in each["resources"]}
            parts = [
                (f"{r['resource']}/{part['subresource']}", sorted(part["verbs"]))
                for r in each["resources"]
                for part in r.get("subresources") or ()
            ]
            assert {**ours, **dict(parts)} == theirs
    core = (await api.get("/api", accept=AGGREGATED))["items"]
    assert [version["version"] for version in core[0]["versions"]] == ["v1"]
    plain = await api.get("/apis", accept="application/json")
    assert plain["kind"] == "APIGroupList"
    fallback = await api.get("/apis", accept="application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,*/*")
    assert fallback["kind"] == "APIGroupList"


@covers(
    f"{CONFORMANCE} AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]",
    f"{CONFORMANCE} AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]",
)
async def test_aggregated_discovery_knows_custom_resources(api: Api) -> None:
    before = await api.get("/apis", accept=AGGREGATED)
    await define(api, definition(version("v1", storage=False), version("v2", subresources={"status": {}})))
    after = await api.get("/apis", accept=AGGREGATED)
    assert before.headers["etag"] != after.headers["etag"]
    found = {item["metadata"]["name"]: item["versions"] for item in after["items"]}["stable.example.com"]
    assert [each["version"] for each in found] == ["v2", "v1"]
    (resource,) = found[0]["resources"]
    assert resource["resource"] == "crontabs" and resource["scope"] == "Namespaced"
    assert resource["responseKind"] == {"group": "stable.example.com", "version": "v2", "kind": "CronTab"}
    assert [part["subresource"] for part in resource["subresources"]] == ["status"]


@covers(f"{CONFORMANCE} server version should find the server version [Conformance]")
async def test_the_version(api: Api) -> None:
    found = (await api.get("/version")).json
    assert (found["major"], found["minor"]) == ("1", "37")
    assert found["gitVersion"].startswith("v1.37.") and found["platform"].startswith("linux/")


@covers(
    f"{CONFORMANCE} Servers with support for Table transformation should return a 406 for a backend which does not "
    "implement metadata [Conformance]"
)
async def test_what_has_no_metadata_is_no_table(api: Api) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await api.post(target, review, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (answer.status, answer["reason"]) == (406, "NotAcceptable")


# --- namespaces


@covers(f"{CONFORMANCE} Namespaces should patch a Namespace [Conformance] [Serial]")
async def test_a_namespace_is_patched(api: Api) -> None:
    await api.post(NAMESPACES, {"metadata": {"name": "n"}})
    await api.patch(f"{NAMESPACES}/n", {"metadata": {"labels": {"test": "value"}}}, "strategic")
    labels = (await api.get(f"{NAMESPACES}/n"))["metadata"]["labels"]
    assert labels == {"test": "value", "kubernetes.io/metadata.name": "n"}


@covers(f"{CONFORMANCE} Namespaces should apply an update to a Namespace [Conformance] [Serial]")
async def test_a_namespace_is_updated(api: Api) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).json
    made["metadata"]["labels"]["test"] = "value"
    assert (await api.put(f"{NAMESPACES}/n", made))["metadata"]["labels"]["test"] == "value"


@covers(f"{CONFORMANCE} Namespaces should apply changes to a namespace status [Conformance] [Serial]")
async def test_conditions_of_a_namespace(api: Api) -> None:
    await api.post(NAMESPACES, {"metadata": {"name": "n"}})
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched"}
    patched = await api.patch(f"{NAMESPACES}/n/status", {"status": {"conditions": [condition]}})
    assert patched["status"] == {"phase": "Active", "conditions": [condition]}
    wanted = patched.json
    wanted["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
    await api.put(f"{NAMESPACES}/n/status", wanted)
    found = (await api.get(f"{NAMESPACES}/n"))["status"]["conditions"]
    assert [each["type"] for each in found] == ["StatusPatch", "StatusUpdate"]


@covers(f"{CONFORMANCE} Namespaces should apply a finalizer to a Namespace [Conformance] [Serial]")
async def test_finalizers_of_a_namespace(api: Api) -> None:
    made = (await api.post(NAMESPACES, {"metadata": {"name": "n"}})).json
    assert made["spec"]["finalizers"] == ["kubernetes"]
    made["spec"]["finalizers"].append("example.com/more")
    both = (await api.put(f"{NAMESPACES}/n/finalize", made)).json
    assert both["spec"]["finalizers"] == ["kubernetes", "example.com/more"]
    await api.delete(f"{NAMESPACES}/n")
    ending = (await api.get(f"{NAMESPACES}/n")).json
    ending["spec"]["finalizers"] = ["example.com/more"]
    assert (await api.put(f"{NAMESPACES}/n/finalize", ending))["status"]["phase"] == "Terminating"
    ending = (await api.get(f"{NAMESPACES}/n")).json
    ending["spec"]["finalizers"] = []
    await api.put(f"{NAMESPACES}/n/finalize", ending)
    assert (await api.get(f"{NAMESPACES}/n")).status == 404


# --- generation of pods


@covers(
    "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per "
    "update [MinimumKubeletVersion:1.34] [Conformance]",
    "[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete "
    "[Conformance]",
)
async def test_generations_of_a_pod(api: Api) -> None:
    body = pod("p", nodeName="n")
    body["metadata"]["generation"] = 100
    assert (await api.post(PODS, body))["metadata"]["generation"] == 1
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "app:2"}]
    assert (await api.patch(f"{PODS}/p", image, "json"))["metadata"]["generation"] == 2
    labels = await api.patch(f"{PODS}/p", {"metadata": {"labels": {"a": "b"}, "generation": 7}})
    assert labels["metadata"]["generation"] == 2
    tolerations = [{"key": "x", "operator": "Exists"}]
    kept = (await api.get(f"{PODS}/p"))["spec"]["tolerations"]
    more = await api.patch(f"{PODS}/p", {"spec": {"tolerations": kept + tolerations}})
    assert more["metadata"]["generation"] == 3
    assert (await api.delete(f"{PODS}/p"))["metadata"]["generation"] == 4, "its end is a wish, too"

"""Lists, watches and forms of answers."""

from __future__ import annotations

from typing import Any

from sampan.apiserver.cacher import WINDOW_EVENTS
from tests.apiserver.conftest import CONFIGS, PODS, Api, Lines, config, pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


async def test_lists_in_pages_are_one_snapshot(api: Api) -> None:
    for name in "abcde":
        await api.post(CONFIGS, config(name))
    first = await api.get(f"{CONFIGS}?limit=2")
    assert names(first) == ["a", "b"] and first["metadata"]["remainingItemCount"] == 3
    await api.delete(f"{CONFIGS}/d")
    await api.post(CONFIGS, config("cc"))
    second = await api.get(f"{CONFIGS}?limit=2&continue={first['metadata']['continue']}")
    assert names(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = await api.get(f"{CONFIGS}?limit=2&continue={second['metadata']['continue']}")
    assert names(third) == ["e"] and "continue" not in third["metadata"]


async def test_a_compacted_page_says_so(api: Api) -> None:
    for name in "abc":
        await api.post(CONFIGS, config(name))
    first = await api.get(f"{CONFIGS}?limit=1")
    await api.post(CONFIGS, config("d"))
    store = api.server.resources.store
    await store.compact(store.revision)
    late = await api.get(f"{CONFIGS}?limit=1&continue={first['metadata']['continue']}")
    assert (late.status, late["reason"]) == (410, "Expired")
    assert late["metadata"]["continue"]
    assert (await api.get(f"{CONFIGS}?continue=nonsense")).status == 400


async def test_selectors(api: Api) -> None:
    await api.post(PODS, {**pod("a", nodeName="n1"), "metadata": {"name": "a", "labels": {"tier": "web"}}})
    await api.post(PODS, pod("b"))
    assert names(await api.get(f"{PODS}?labelSelector=tier+in+(web,db)")) == ["a"]
    assert names(await api.get(f"{PODS}?fieldSelector=spec.nodeName=n1")) == ["a"]
    assert names(await api.get(f"{PODS}?fieldSelector=metadata.name=b")) == ["b"]
    assert names(await api.get(f"{PODS}?fieldSelector=status.phase!=Pending")) == []
    wrong = await api.get(f"{PODS}?fieldSelector=spec.foo=b")
    assert (wrong.status, wrong.message) == (400, "field label not supported: spec.foo")
    assert (await api.get(f"{PODS}?labelSelector=a+b")).status == 400


async def test_a_list_at_a_revision(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    then = (await api.get(CONFIGS))["metadata"]["resourceVersion"]
    await api.post(CONFIGS, config("b"))
    exact = await api.get(f"{CONFIGS}?resourceVersion={then}&resourceVersionMatch=Exact")
    assert names(exact) == ["a"] and exact["metadata"]["resourceVersion"] == then
    assert names(await api.get(f"{CONFIGS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")) == ["a", "b"]
    assert (await api.get(f"{CONFIGS}?resourceVersionMatch=Exact")).status == 422
    assert (await api.get(f"{CONFIGS}?resourceVersion=x")).status == 422


async def test_tables_and_metadata(api: Api) -> None:
    await api.post(PODS, pod("p"))
    table = await api.get(PODS, accept=TABLE)
    assert table["kind"] == "Table"
    assert [c["name"] for c in table["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:3] == ["p", "0/1", "Pending"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    bare = await api.get(PODS, accept=METADATA)
    assert bare["kind"] == "PartialObjectMetadataList" and "spec" not in bare["items"][0]
    assert (await api.get(PODS, accept="text/html")).status == 406
    text = await api.get(f"{PODS}/p", accept="application/yaml")
    assert text.headers["content-type"] == "application/yaml" and b"kind: Pod" in text.body


async def test_a_watch_tells_every_change_in_order(api: Api) -> None:
    version = (await api.get(CONFIGS))["metadata"]["resourceVersion"]
    watch = Lines(await api.open("GET", f"{CONFIGS}?watch=1&resourceVersion={version}"))
    await api.post(CONFIGS, config("a", k="1"))
    await api.put(f"{CONFIGS}/a", config("a", k="2"))
    deleted = await api.delete(f"{CONFIGS}/a")
    assert deleted.status == 200
    seen = [await watch.next() for _ in range(3)]
    assert [type for type, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(object["metadata"]["resourceVersion"]) for _, object in seen]
    assert versions == sorted(set(versions))
    await watch.close()


async def test_a_watch_with_a_selector_sees_objects_come_and_go(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    version = (await api.get(CONFIGS))["metadata"]["resourceVersion"]
    watch = Lines(await api.open("GET", f"{CONFIGS}?watch=1&resourceVersion={version}&labelSelector=on=yes"))
    await api.patch(f"{CONFIGS}/a", {"metadata": {"labels": {"on": "yes"}}})
    await api.patch(f"{CONFIGS}/a", {"metadata": {"labels": {"on": "no"}}})
    assert (await watch.next())[0] == "ADDED"
    type, object = await watch.next()
    assert type == "DELETED" and object["metadata"]["labels"] == {"on": "yes"}
    await watch.close()


async def test_a_watch_may_begin_with_what_there_is(api: Api) -> None:
    await api.post(CONFIGS, config("a"))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    watch = Lines(await api.open("GET", f"{CONFIGS}?{query}"))
    seen = [await watch.next()]
    while seen[-1][0] == "ADDED":
        seen.append(await watch.next())
    assert "a" in [object["metadata"]["name"] for type, object in seen if type == "ADDED"]
    assert seen[-1][0] == "BOOKMARK"
    assert seen[-1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await watch.close()


async def test_a_watch_ends_after_its_time_with_a_bookmark(api: Api) -> None:
    answer = await api.get(f"{CONFIGS}?watch=1&resourceVersion=0&timeoutSeconds=1&allowWatchBookmarks=true")
    assert answer.lines[-1]["type"] == "BOOKMARK"


async def test_a_watch_from_too_long_ago(api: Api) -> None:
    version = (await api.post(CONFIGS, config("a")))["metadata"]["resourceVersion"]
    for turn in range(WINDOW_EVENTS + 1):
        await api.put(f"{CONFIGS}/a", config("a", turn=str(turn)))
    event = (await api.get(f"{CONFIGS}?watch=1&resourceVersion={version}")).lines[0]
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_version_from_the_future(api: Api) -> None:
    answer = await api.get(f"{CONFIGS}?watch=1&resourceVersion=999999")
    assert answer.status == 504 and answer.message.startswith("Too large resource version: 999999, current: ")


async def test_a_closed_watch_leaves_no_subscription(api: Api) -> None:
    cache = next(c for c in api.server.cacher.resources.values() if c.plural == "configmaps")
    before = cache.watchers
    response = await api.open("GET", f"{CONFIGS}?watch=1&resourceVersion=0")
    assert cache.watchers == before + 1
    await Lines(response).close()
    assert cache.watchers == before


async def test_discovery_and_health(api: Api) -> None:
    assert (await api.get("/version"))["gitVersion"].startswith("v1.37")
    assert (await api.get("/readyz")).body == b"ok"
    assert b"readyz check passed" in (await api.get("/readyz?verbose")).body
    groups = {group["name"] for group in (await api.get("/apis"))["groups"]}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups
    aggregated = await api.get("/api", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    assert aggregated["kind"] == "APIGroupDiscoveryList"
    assert "apis/apps/v1" in (await api.get("/openapi/v3"))["paths"]
    assert b"apiserver_request_total" in (await api.get("/metrics")).body


async def test_methods_that_a_path_does_not_have(api: Api) -> None:
    assert (await api.post(f"{CONFIGS}/a", config("a"))).status == 405
    assert (await api.put(CONFIGS, config("a"))).status == 405
    assert (await api.post("/api/v1/configmaps", config("a"))).status == 405
    assert (await api.send("BREW", CONFIGS)).status == 405


async def test_the_store_is_a_component(api: Api) -> None:
    listed = await api.get("/api/v1/componentstatuses")
    assert [(i["metadata"]["name"], i["conditions"][0]["status"]) for i in listed["items"]] == [("etcd-0", "True")]
    table = await api.get("/api/v1/componentstatuses/etcd-0", accept=TABLE)
    assert table["rows"][0]["cells"][:3] == ["etcd-0", "Healthy", "ok"]
    assert (await api.get("/api/v1/componentstatuses/other")).status == 404

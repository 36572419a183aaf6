"""What watchers are told, and in what order, however many there are and whenever they begin."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.apiserver.conftest import CONFIGS, Api, Lines, config
from tests.covers import covers

CONFORMANCE = "[sig-api-machinery] Watchers should"


def labelled(name: str, label: str, **data: str) -> dict[str, Any]:
    return {**config(name, **data), "metadata": {"name": name, "labels": {"watch": label}}}


async def watching(api: Api, selector: str = "", version: str = "0") -> Lines:
    chosen = f"&labelSelector={selector}" if selector else ""
    return Lines(await api.open("GET", f"{CONFIGS}?watch=1&resourceVersion={version}{chosen}"))


async def told(watch: Lines, count: int) -> list[tuple[str, str, dict[str, str]]]:
    seen = [await watch.next() for _ in range(count)]
    return [(type, object["metadata"]["name"], object.get("data") or {}) for type, object in seen]


@covers(f"{CONFORMANCE} observe add, update, and delete watch notifications on configmaps [Conformance]")
async def test_each_watcher_is_told_of_what_it_selects(api: Api) -> None:
    one, two, both = [await watching(api, each) for each in ("watch=a", "watch=b", "watch+in+(a,b)")]
    await api.post(CONFIGS, labelled("a", "a"))
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "1"}})
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "2"}})
    await api.delete(f"{CONFIGS}/a")
    await api.post(CONFIGS, labelled("b", "b"))
    await api.delete(f"{CONFIGS}/b")
    first = [
        ("ADDED", "a", {}),
        ("MODIFIED", "a", {"n": "1"}),
        ("MODIFIED", "a", {"n": "2"}),
        ("DELETED", "a", {"n": "2"}),
    ]
    second = [("ADDED", "b", {}), ("DELETED", "b", {})]
    assert await told(one, 4) == first
    assert await told(two, 2) == second
    assert await told(both, 6) == first + second
    for watch in (one, two, both):
        await watch.close()


@covers(f"{CONFORMANCE} be able to start watching from a specific resource version [Conformance]")
async def test_a_watch_from_a_version_in_the_middle(api: Api) -> None:
    await api.post(CONFIGS, labelled("a", "x"))
    version = (await api.patch(f"{CONFIGS}/a", {"data": {"n": "1"}}))["metadata"]["resourceVersion"]
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "2"}})
    await api.delete(f"{CONFIGS}/a")
    watch = await watching(api, "watch=x", version)
    assert await told(watch, 2) == [("MODIFIED", "a", {"n": "2"}), ("DELETED", "a", {"n": "2"})]
    await watch.close()


@covers(
    f"{CONFORMANCE} be able to restart watching from the last resource version observed by the previous watch "
    "[Conformance]"
)
async def test_a_watch_goes_on_where_another_ended(api: Api) -> None:
    watch = await watching(api, "watch=x")
    await api.post(CONFIGS, labelled("a", "x"))
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "1"}})
    await watch.next()
    _, last = await watch.next()
    await watch.close()
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "2"}})
    await api.delete(f"{CONFIGS}/a")
    again = await watching(api, "watch=x", last["metadata"]["resourceVersion"])
    assert await told(again, 2) == [("MODIFIED", "a", {"n": "2"}), ("DELETED", "a", {"n": "2"})]
    await again.close()


@covers(f"{CONFORMANCE} observe an object deletion if it stops meeting the requirements of the selector [Conformance]")
async def test_what_no_longer_fits_is_deleted_for_the_watcher(api: Api) -> None:
    watch = await watching(api, "watch=on")
    await api.post(CONFIGS, labelled("a", "on"))
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "1"}})
    await api.patch(f"{CONFIGS}/a", {"metadata": {"labels": {"watch": "off"}}})
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "2"}})
    await api.patch(f"{CONFIGS}/a", {"metadata": {"labels": {"watch": "on"}}})
    await api.patch(f"{CONFIGS}/a", {"data": {"n": "3"}})
    await api.delete(f"{CONFIGS}/a")
    assert await told(watch, 6) == [
        ("ADDED", "a", {}),
        ("MODIFIED", "a", {"n": "1"}),
        ("DELETED", "a", {"n": "1"}),
        ("ADDED", "a", {"n": "2"}),
        ("MODIFIED", "a", {"n": "3"}),
        ("DELETED", "a", {"n": "3"}),
    ]
    await watch.close()


@covers(f"{CONFORMANCE} receive events on concurrent watches in same order [Conformance]")
async def test_all_watchers_are_told_in_the_same_order(api: Api) -> None:
    """Watches begin at every version while several writers work: each sees just what came after its own."""
    writers, turns = 5, 20

    async def write(name: str) -> None:
        await api.post(CONFIGS, labelled(name, "x"))
        for turn in range(turns - 2):
            await api.patch(f"{CONFIGS}/{name}", {"data": {"n": str(turn)}})
        await api.delete(f"{CONFIGS}/{name}")

    async def read(watch: Lines, until: int) -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] < until:
            _, object = await watch.next()
            seen.append(int(object["metadata"]["resourceVersion"]))
        return seen

    start = (await api.get(CONFIGS))["metadata"]["resourceVersion"]
    first = await watching(api, "watch=x", start)
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(f"w{number}"))
    everything = [int((await first.next())[1]["metadata"]["resourceVersion"]) for _ in range(writers * turns)]
    assert everything == sorted(set(everything))
    watches = [await watching(api, "watch=x", str(version)) for version in everything[:-1]]
    orders = await asyncio.gather(*(read(watch, everything[-1]) for watch in watches))
    assert orders == [everything[position:] for position in range(1, len(everything))]
    for watch in (first, *watches):
        await watch.close()

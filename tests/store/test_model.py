"""Random histories against the simplest store that could be right: a list of everything that happened."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore
from sampan.store.types import Compacted, Conflict, Entry, Event, Store
from tests.store.reading import take

KEY = st.sampled_from(["/a/1", "/a/2", "/a/3", "/b/1", "/b"])
EXPECT = st.sampled_from(["any", "absent", "current", "stale"])
STEP = st.one_of(
    st.tuples(st.just("put"), KEY, st.binary(max_size=3), EXPECT),
    st.tuples(st.just("delete"), KEY, st.just(b""), EXPECT),
    st.tuples(st.just("compact"), st.just(""), st.just(b""), st.integers(0, 5)),
    st.tuples(st.just("reopen"), st.just(""), st.just(b""), st.just(0)),
)


class Model:
    def __init__(self) -> None:
        self.states: list[dict[str, Entry]] = [{}]
        self.events: list[Event] = []
        self.compacted = 0

    @property
    def revision(self) -> int:
        return len(self.events)

    def change(self, key: str, value: bytes | None, expect: int | None) -> int:
        state = self.states[-1]
        current = state.get(key)
        if (expect is not None and expect != (current.revision if current else 0)) or (value is None and not current):
            raise Conflict(key, current)
        revision = self.revision + 1
        after = dict(state)
        if value is None:
            del after[key]
        else:
            after[key] = Entry(key, value, revision, current.created if current else revision)
        self.states.append(after)
        self.events.append(Event(revision, key, value, current.value if current else None))
        return revision

    def expectation(self, key: str, how: str) -> int | None:
        current = self.states[-1].get(key)
        found = current.revision if current else 0
        return {"any": None, "absent": 0, "current": found, "stale": max(found - 1, 0)}[how]


async def attempt(action) -> int | Conflict:
    try:
        return await action
    except Conflict as conflict:
        return conflict


async def step(store: Store, model: Model, what: str, key: str, value: bytes, how) -> None:
    expect = model.expectation(key, how)
    new = value if what == "put" else None
    try:
        expected: int | Conflict = model.change(key, new, expect)
    except Conflict as conflict:
        expected = conflict
    answer = await attempt(store.put(key, value, expect=expect) if what == "put" else store.delete(key, expect=expect))
    if isinstance(expected, Conflict):
        assert isinstance(answer, Conflict)
        assert answer.entry == expected.entry
    else:
        assert answer == expected


async def compare(store: Store, model: Model) -> None:
    assert store.revision == model.revision
    for revision, state in enumerate(model.states):
        for prefix in ("/", "/a/"):
            entries = [state[key] for key in sorted(state) if key.startswith(prefix)]
            if revision < model.compacted and revision:
                with pytest.raises(Compacted):
                    await store.range(prefix, revision=revision)
            elif revision:
                assert await store.range(prefix, revision=revision) == (entries, revision, 0)
                page = await store.range(prefix, start="/a/2", limit=1, revision=revision)
                rest = [entry for entry in entries if entry.key >= "/a/2"]
                assert page == (rest[:1], revision, len(rest[1:]))
    for after in range(model.compacted, model.revision):
        assert await take(store.watch("/", after=after), model.revision - after) == model.events[after:]
    for key in ("/a/1", "/b"):
        assert await store.get(key) == model.states[-1].get(key)


async def run(steps, path: Path | None) -> None:
    store: Store = await SqliteStore.open(path) if path else MemoryStore()
    model = Model()
    live = store.watch("/", after=0)
    for what, key, value, how in steps:
        if what == "compact":
            model.compacted = max(model.compacted, model.revision - how)
            await store.compact(model.compacted)
        elif what == "reopen":
            if path:
                await store.close()
                store = await SqliteStore.open(path)
                live = store.watch("/", after=model.compacted)
        else:
            await step(store, model, what, key, value, how)
    await compare(store, model)
    live.close()
    await store.close()


@given(st.lists(STEP, max_size=30))
@settings(max_examples=150, deadline=None)
def test_memory(steps) -> None:
    asyncio.run(run(steps, None))


@given(st.lists(STEP, max_size=30))
@settings(max_examples=60, deadline=None)
def test_sqlite(steps) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(steps, Path(directory) / "store.db"))

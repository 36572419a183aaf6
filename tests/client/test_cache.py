"""The cache that controllers plan over: what the watch says, what our own writes were answered, whichever is newer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.types import core_v1, meta_v1
from sampan.client.cache import Cache


def thing(name: str = "a", revision: int = 1, uid: str = "1", **labels: str) -> core_v1.ConfigMap:
    metadata = meta_v1.ObjectMeta(name=name, namespace="default", uid=uid, resourceVersion=str(revision), labels=labels)
    return core_v1.ConfigMap(metadata=metadata)


def cache() -> Cache[core_v1.ConfigMap]:
    return Cache(core_v1.ConfigMap, {"app": lambda each: [each.metadata.labels.get("app", "")]})


def told(of: Cache[Any]) -> list[str]:
    """What subscribers hear."""
    heard: list[str] = []

    def hear(type: str, old: Any, new: Any) -> None:
        heard.append(f"{type} {(new or old).metadata.resourceVersion}")

    of.subscribe(hear)
    return heard


def test_the_watch_is_followed() -> None:
    found = cache()
    heard = told(found)
    found.apply("ADDED", thing(revision=1))
    found.apply("MODIFIED", thing(revision=2))
    found.apply("BOOKMARK", thing(name="", revision=7))
    found.apply("DELETED", thing(revision=8))
    assert heard == ["ADDED 1", "MODIFIED 2", "DELETED 2"]
    assert (len(found), found.revision) == (0, 8)


def test_an_answer_is_there_before_the_watch_brings_it() -> None:
    found = cache()
    heard = told(found)
    found.assume(thing(revision=5))
    assert found.get("a", "default") == thing(revision=5)
    found.apply("ADDED", thing(revision=5))
    assert heard == ["ADDED 5"], "it is not told twice"


def test_an_old_event_does_not_undo_an_answer() -> None:
    found = cache()
    found.apply("ADDED", thing(revision=1))
    found.assume(thing(revision=5, app="new"))
    found.apply("MODIFIED", thing(revision=3, app="old"))
    assert found.get("a", "default") == thing(revision=5, app="new")


def test_an_answer_that_the_watch_has_come_past_is_old() -> None:
    found = cache()
    found.apply("ADDED", thing(revision=9))
    found.apply("DELETED", thing(revision=10))
    found.assume(thing(revision=9))
    assert len(found) == 0


def test_what_was_deleted_does_not_come_back_by_old_events() -> None:
    found = cache()
    found.apply("ADDED", thing(revision=1))
    found.assume_deleted(thing(revision=1))
    found.apply("MODIFIED", thing(revision=2))
    assert len(found) == 0
    found.apply("DELETED", thing(revision=3))
    found.apply("ADDED", thing(revision=4, uid="2"))
    assert found.get("a", "default") is not None


def test_deleting_another_of_the_same_name_changes_nothing() -> None:
    found = cache()
    found.apply("ADDED", thing(revision=4, uid="2"))
    found.assume_deleted(thing(uid="1"))
    found.apply("DELETED", thing(revision=3, uid="1"))
    assert found.get("a", "default") is not None


def test_one_that_takes_a_name_is_another_one() -> None:
    found = cache()
    heard = told(found)
    found.apply("ADDED", thing(revision=1))
    found.apply("ADDED", thing(revision=5, uid="2"))
    assert heard == ["ADDED 1", "DELETED 1", "ADDED 5"]


def test_a_list_replaces_everything_that_it_knows_of() -> None:
    found = cache()
    found.apply("ADDED", thing("gone", 1))
    found.apply("ADDED", thing("stays", 2))
    found.assume(thing("newer", 9))
    found.replace([thing("stays", 4), thing("fresh", 5)], 6)
    assert {each.metadata.name for each in found.all()} == {"stays", "fresh", "newer"}
    assert found.revision == 6


def test_a_store_that_starts_over_forgets_all() -> None:
    found = cache()
    found.apply("ADDED", thing(revision=100))
    found.reset()
    found.replace([thing(revision=2)], 3)
    assert found.get("a", "default") == thing(revision=2)


# --- indexes


def test_indexes_follow_changes() -> None:
    found = cache()
    found.apply("ADDED", thing("a", 1, app="x"))
    found.apply("ADDED", thing("b", 2, "2", app="x"))
    assert {each.metadata.name for each in found.by("app", "x")} == {"a", "b"}
    found.apply("MODIFIED", thing("a", 3, app="y"))
    assert [each.metadata.name for each in found.by("app", "x")] == ["b"]
    found.apply("DELETED", thing("b", 4, "2"))
    assert list(found.by("app", "x")) == []
    assert list(found.by("app", "never")) == []
    assert {each.metadata.name for each in found.by("namespace", "default")} == {"a"}


def test_an_index_may_come_later_but_not_change() -> None:
    found = cache()
    found.apply("ADDED", thing("a", 1, tier="t"))

    def by_tier(each: core_v1.ConfigMap) -> list[str]:
        return [each.metadata.labels.get("tier", "")]

    found.add_index("tier", by_tier)
    found.add_index("tier", by_tier)
    assert len(found.by("tier", "t")) == 1
    with pytest.raises(ValueError, match="has another function"):
        found.add_index("tier", lambda each: ())


def test_subscriptions_end() -> None:
    found, heard = cache(), []
    end = found.subscribe(lambda *_: heard.append(1))
    found.apply("ADDED", thing(revision=1))
    end()
    found.apply("MODIFIED", thing(revision=2))
    assert heard == [1]


# --- whatever the order


@given(st.data())
def test_in_whatever_order_answers_come_the_cache_ends_as_the_server(data: st.DataObject) -> None:
    """A history of one name; every event comes by the watch in order, some also as answers, at any time after."""
    history: list[tuple[str, core_v1.ConfigMap]] = []
    current: core_v1.ConfigMap | None = None
    lives = 0
    for revision in range(1, data.draw(st.integers(2, 12)) + 1):
        if current is None:
            lives += 1
            current = thing(revision=revision, uid=str(lives))
            history.append(("ADDED", current))
        elif data.draw(st.booleans()):
            current = thing(revision=revision, uid=str(lives))
            history.append(("MODIFIED", current))
        else:
            history.append(("DELETED", thing(revision=revision, uid=str(lives))))
            current = None
    found = cache()
    for at, (type, object) in enumerate(history):
        # Answers to our own writes are events that the watch may still be about to bring.
        for ahead in range(at, min(len(history), at + data.draw(st.integers(0, 3)))):
            answer_type, answer = history[ahead]
            if answer_type == "DELETED":
                found.assume_deleted(answer)
            else:
                found.assume(answer)
        found.apply(type, object)
    assert found.get("a", "default") == current
    assert len(list(found.by("app", ""))) == (current is not None)

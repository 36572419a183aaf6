"""Conditions of statuses: found by type, changed with the right transition time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

C = TypeVar("C", bound=msgspec.Struct)


def find(conditions: Iterable[C], type: str) -> C | None:
    """The condition of a type, or None."""
    for condition in conditions:
        if condition.type == type:  # type: ignore[attr-defined]
            return condition
    return None


def is_true(conditions: Iterable[Any], type: str) -> bool:
    """Whether there is a condition of the type with status True."""
    condition = find(conditions, type)
    return condition is not None and condition.status == "True"


def put(conditions: Iterable[C], condition: C, now: str) -> tuple[C, ...]:
    """The conditions with this one in its type's place, or at the end.

    `lastTransitionTime` becomes `now` (RFC 3339) only when the status differs from what was. What is equal in all
    but times stays the very object it was, so that a status that says nothing new compares equal.
    """
    listed = tuple(conditions)
    old = find(listed, condition.type)  # type: ignore[attr-defined]
    new = msgspec.structs.replace(condition, lastTransitionTime=_transition(old, condition, now))
    if old is None:
        return (*listed, new)
    if _same(old, new):
        return listed
    return tuple(new if item is old else item for item in listed)


def remove(conditions: Iterable[C], type: str) -> tuple[C, ...]:
    """The conditions without those of a type."""
    return tuple(item for item in conditions if item.type != type)  # type: ignore[attr-defined]


def _transition(old: Any, new: Any, now: str) -> str:
    if old is not None and old.status == new.status:
        return old.lastTransitionTime or now
    return now


_TIMES = ("lastHeartbeatTime", "lastProbeTime", "lastTransitionTime", "lastUpdateTime")


def _same(old: msgspec.Struct, new: msgspec.Struct) -> bool:
    return all(getattr(old, n) == getattr(new, n) for n in old.__struct_fields__ if n not in _TIMES)

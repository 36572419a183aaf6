"""What a planner may ask for, and what it may look at.

A planner is a generator: it yields actions, and each `yield` gives back what the action came to (the object as the
server answered it) or raises the StatusError with which it was refused. It never awaits, reads no clock and keeps no
state, so a test drives it by hand (`sampan.testing.plans`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.client.cache import Cache, Key
from sampan.client.client import PatchType

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Create:
    """Yields the created object."""

    object: Any


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the object (or its `subresource`) if it is still the one that was read. Yields the new one."""

    object: Any
    subresource: str = ""


def UpdateStatus(object: Any) -> Update:
    return Update(object, "status")


@dataclass(frozen=True, slots=True)
class Patch:
    """Change `object` by `body`, whatever else changed since it was read. Yields the new one.

    The patch carries the object's uid, so that it never reaches another object of the same name.
    """

    object: Any
    body: Mapping[str, Any]
    how: PatchType = "merge"
    subresource: str = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete exactly this object; that it is gone already is fine. Yields None, or what remains until it is gone.

    `unchanged` deletes only the very version that was read.
    """

    object: Any
    grace: int | None = None
    propagation: str | None = None
    unchanged: bool = False
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict a pod through the API, which honours disruption budgets."""

    object: Any


@dataclass(frozen=True, slots=True)
class Batch:
    """Do these side by side, first one, then twice as many each time, so that a refusal meets one and not all.

    Yields the answers in order; the first refusal stops what has not begun and raises Refused.
    """

    actions: Sequence[Create | Delete | Update | Patch]


@dataclass(frozen=True, slots=True)
class Call:
    """Read past the cache: `function(client)`. Yields its result."""

    function: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """An event about an object, for people; `type` is Normal or Warning."""

    about: Any
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look at this key again after so many seconds, if nothing else makes it earlier."""

    after: float


Action = Create | Update | Patch | Delete | Evict | Batch | Call | Emit | Requeue
Plan = Generator[Action, Any, None]


class Refused(Exception):
    """A batch met a refusal: `error` is the first, `answers` what had been done, `skipped` how many never began."""

    def __init__(self, error: StatusError, answers: Sequence[Any], skipped: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.answers = answers
        self.skipped = skipped


class Retry(Exception):
    """Nothing is wrong, but now is too early: look again after so many seconds."""

    def __init__(self, after: float, why: str = "") -> None:
        super().__init__(why)
        self.after = after


class Terminal(Exception):
    """Trying again cannot help until the object changes; the message is for a person."""


class View:
    """What a planner sees: the caches, at a moment. The collections are live: copy what outlives a `yield`."""

    def __init__(self, caches: Mapping[type, Cache[Any]], now: float, key: Key = ("", "")) -> None:
        self._caches = caches
        self.now = now
        """Unix seconds."""
        self.key = key

    def get(self, type: type[T], name: str, namespace: str = "") -> T | None:
        found: T | None = self._caches[type].get(name, namespace)
        return found

    def all(self, type: type[T]) -> Collection[T]:
        return self._caches[type].all()

    def by(self, type: type[T], index: str, key: str) -> Collection[T]:
        return self._caches[type].by(index, key)

    def within(self, type: type[T], namespace: str) -> Collection[T]:
        """Those of one namespace."""
        return self._caches[type].by("namespace", namespace)


def no_longer(error: StatusError) -> bool:
    """Creating was refused because the namespace goes away: nothing is left to do."""
    details = error.status.details
    return bool(details and any(cause.reason == "NamespaceTerminating" for cause in details.causes))

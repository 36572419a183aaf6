"""Nodes that pods were promised when others were evicted for them."""

from __future__ import annotations

from typing import NamedTuple

from sampan.scheduler.profile import Profile


class Nomination(NamedTuple):
    node: str
    priority: int
    profile: Profile


class Nominations:
    """By uid of the pod that waits for its victims to leave."""

    def __init__(self) -> None:
        self._of: dict[str, Nomination] = {}

    def get(self, uid: str) -> str:
        found = self._of.get(uid)
        return found.node if found else ""

    def priority(self, uid: str) -> int:
        return self._of[uid].priority

    def put(self, uid: str, node: str, priority: int, profile: Profile) -> None:
        self._of[uid] = Nomination(node, priority, profile)

    def remove(self, uid: str) -> None:
        self._of.pop(uid, None)

    def on(self, node: str) -> list[str]:
        """The uids of the pods that were promised a node."""
        return [uid for uid, each in self._of.items() if each.node == node]

    def ahead_of(self, uid: str, priority: int) -> dict[str, list[Profile]]:
        """By node: pods that a pod of this priority must leave room for."""
        found: dict[str, list[Profile]] = {}
        for other, each in self._of.items():
            if other != uid and each.priority >= priority:
                found.setdefault(each.node, []).append(each.profile)
        return found

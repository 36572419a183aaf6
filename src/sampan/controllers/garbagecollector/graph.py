"""Who owns whom, as far as the caches have told. Pure: it changes by what it is told and says what to look at.

Only objects that own or are owned are in it. An owner of which only its dependents speak is virtual until somebody
has seen it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sampan.api.kinds.kind import Kind
from sampan.api.types import meta_v1
from sampan.client.cache import meta

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Identity(NamedTuple):
    """Where an object is to be found. For a virtual owner this is what the first dependent claims."""

    apiVersion: str
    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def group(self) -> str:
        return self.apiVersion.rpartition("/")[0]


@dataclass(slots=True, eq=False)
class Node:
    identity: Identity
    virtual: bool
    owners: tuple[meta_v1.OwnerReference, ...] = ()
    dependents: dict[str, Node] = field(default_factory=dict)
    deleting: bool = False
    finalizers: tuple[str, ...] = ()

    @property
    def waits_for_dependents(self) -> bool:
        """It is being deleted in the foreground."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    @property
    def uid(self) -> str:
        return self.identity.uid

    def blocks(self, owner: str) -> bool:
        return any(each.uid == owner and each.blockOwnerDeletion for each in self.owners)


class Graph:
    """`observe` and `forget` return uids that deserve a look, in order."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def observe(self, kind: Kind, object: Any) -> list[str]:
        """An object as it is now."""
        metadata = meta(object)
        uid = metadata.uid or ""
        node = self.nodes.get(uid)
        deleting = metadata.deletionTimestamp is not None
        special = deleting and (FOREGROUND in metadata.finalizers or ORPHAN in metadata.finalizers)
        if node is None and not metadata.ownerReferences and not special:
            return []
        identity = Identity(kind.api_version, kind.name, metadata.namespace or "", metadata.name or "", uid)
        if node is None:
            node = self.nodes[uid] = Node(identity, virtual=False)
        waited = node.waits_for_dependents, node.orphans_dependents
        node.identity, node.virtual, node.deleting, node.finalizers = identity, False, deleting, metadata.finalizers
        look = list(self._own(node, metadata.ownerReferences))
        if (node.waits_for_dependents, node.orphans_dependents) != waited:
            if node.waits_for_dependents:
                look += node.dependents
            look.append(uid)
        if not (node.owners or node.dependents or special):
            del self.nodes[uid]
        return look

    def forget(self, uid: str) -> list[str]:
        """An object is gone: those it owned, and owners that waited for it, deserve a look."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return []
        look = list(node.dependents)
        if node.dependents:
            # They still name it: it stays as a virtual one until they are gone or have let go.
            absent = self.nodes[uid] = Node(node.identity, virtual=True)
            absent.dependents = node.dependents
        for reference in node.owners:
            owner = self.nodes.get(reference.uid)
            if owner is not None:
                owner.dependents.pop(uid, None)
                if owner.waits_for_dependents:
                    look.append(owner.uid)
                self._drop_if_idle(owner)
        return look

    def _own(self, node: Node, owners: tuple[meta_v1.OwnerReference, ...]) -> Iterator[str]:
        before = {each.uid: each for each in node.owners}
        now = {each.uid: each for each in owners}
        node.owners = owners
        for uid, reference in now.items():
            old = before.get(uid)
            if old is None:
                if uid not in self.nodes:
                    self.nodes[uid] = Node(_claimed(node.identity, reference), virtual=True)
                self.nodes[uid].dependents[node.uid] = node
                # Whether that owner exists is to be found out.
                yield node.uid
            elif old.blockOwnerDeletion and not reference.blockOwnerDeletion:
                yield uid
        for uid, reference in before.items():
            if uid in now:
                continue
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.pop(node.uid, None)
                if owner.waits_for_dependents and reference.blockOwnerDeletion:
                    yield uid
                self._drop_if_idle(owner)
            if node.owners:
                yield node.uid

    def _drop_if_idle(self, node: Node) -> None:
        special = node.waits_for_dependents or node.orphans_dependents
        if not (node.dependents or node.owners or special):
            self.nodes.pop(node.uid, None)


def _claimed(dependent: Identity, owner: meta_v1.OwnerReference) -> Identity:
    """An owner is in its dependent's namespace, or cluster-scoped."""
    return Identity(owner.apiVersion, owner.kind, dependent.namespace, owner.name, owner.uid)

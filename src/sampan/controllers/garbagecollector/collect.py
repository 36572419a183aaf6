"""What is to be done about one object: nothing, let go of owners that are gone, wait for dependents, or delete it.

Before anything is deleted the server is asked: caches may be old, and two objects may claim different things about
one owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Identity, Node
from sampan.runtime.actions import Retry
from sampan.runtime.events import Recorder

REMEMBERED = 500
"""Owners known to be absent; uids never come back."""

Object = PartialObjectMetadata


class Kinds(Protocol):
    """Finds the resource of a kind; None when the server does not serve it."""

    def find(self, group: str, kind: str) -> Kind | None: ...


class Owners:
    """The owners of one object, told apart by what the server says of them."""

    def __init__(self) -> None:
        self.solid: list[meta_v1.OwnerReference] = []
        self.dangling: list[meta_v1.OwnerReference] = []
        self.waiting: list[meta_v1.OwnerReference] = []


class Collector:
    def __init__(
        self, client: Client, graph: Graph, kinds: Kinds, recorder: Recorder, look: Callable[[str], None]
    ) -> None:
        self._client = client
        self._graph = graph
        self._kinds = kinds
        self._recorder = recorder
        self._look = look
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def collect(self, uid: str) -> None:
        """Raises StatusError and what the client raises; the caller tries again."""
        node = self._graph.nodes.get(uid)
        if node is None or node.virtual:
            return
        kind = self._kind(node.identity)
        live = await self._live(kind, node.identity)
        if live is None:
            for each in self._graph.forget(uid):
                self._look(each)
        elif node.orphans_dependents:
            await self._let_dependents_go(node, kind, live)
        elif node.waits_for_dependents:
            await self._wait_for_dependents(node, kind, live)
        elif live.metadata.deletionTimestamp is None and live.metadata.ownerReferences:
            await self._judge(node, kind, live)

    # --- an object whose owners may be gone ---

    async def _judge(self, node: Node, kind: Kind, live: Object) -> None:
        owners = await self._classify(kind, live)
        if owners.solid:
            if owners.dangling or owners.waiting:
                await self._keep_owners(kind, live, owners.solid)
        elif owners.waiting and node.dependents:
            await self._unblock_circle(node)
            await self._delete(kind, live, "Foreground")
        else:
            policy = "Background"
            if ORPHAN in live.metadata.finalizers:
                policy = "Orphan"
            elif FOREGROUND in live.metadata.finalizers:
                policy = "Foreground"
            await self._delete(kind, live, policy)

    async def _classify(self, kind: Kind, live: Object) -> Owners:
        owners = Owners()
        for reference in live.metadata.ownerReferences:
            owner = await self._owner(kind, live, reference)
            if owner is None:
                owners.dangling.append(reference)
            elif owner.metadata.deletionTimestamp is not None and FOREGROUND in owner.metadata.finalizers:
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _owner(self, kind: Kind, live: Object, reference: meta_v1.OwnerReference) -> Object | None:
        """The owner as it is now; None when there is no such object."""
        namespace = live.metadata.namespace or ""
        remembered = (reference.uid, namespace)
        if remembered in self._absent:
            return None
        group = reference.apiVersion.rpartition("/")[0]
        owner_kind = self._kinds.find(group, reference.kind)
        if owner_kind is None:
            raise Retry(30, f"{reference.apiVersion} {reference.kind}, which owns {live.metadata.name}, is not served")
        if owner_kind.namespaced and not kind.namespaced:
            self._complain(kind, live, reference)
            raise Retry(600, f"{kind.resource} {live.metadata.name} cannot be owned by something in a namespace")
        identity = Identity(reference.apiVersion, reference.kind, namespace, reference.name, reference.uid)
        owner = await self._live(owner_kind, identity)
        if owner is None:
            known = self._graph.nodes.get(reference.uid)
            if known is not None and not known.virtual:
                self._complain(kind, live, reference)
            self._absent[remembered] = None
            if len(self._absent) > REMEMBERED:
                self._absent.popitem(last=False)
        return owner

    def _complain(self, kind: Kind, live: Object, reference: meta_v1.OwnerReference) -> None:
        metadata = live.metadata
        about = core_v1.ObjectReference(
            apiVersion=kind.api_version,
            kind=kind.name,
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
        )
        owner = f"[{reference.apiVersion}/{reference.kind}, namespace: {metadata.namespace or ''}, "
        message = f"ownerRef {owner}name: {reference.name}, uid: {reference.uid}] does not exist in namespace "
        self._recorder.emit(about, "Warning", "OwnerRefInvalidNamespace", f'{message}"{metadata.namespace or ""}"')

    # --- an object that is being deleted in the foreground ---

    async def _wait_for_dependents(self, node: Node, kind: Kind, live: Object) -> None:
        blocking = [each for each in node.dependents.values() if each.blocks(node.uid)]
        if not blocking:
            await self._drop_finalizer(kind, live, FOREGROUND)
            return
        for each in blocking:
            if not each.waits_for_dependents:
                self._look(each.uid)

    async def _unblock_circle(self, node: Node) -> None:
        """Something below waits for its dependents too: it may wait for this very object, in a circle."""
        if not any(each.waits_for_dependents for each in node.dependents.values()):
            return
        kind = self._kind(node.identity)
        live = await self._live(kind, node.identity)
        if live is not None:
            unblocked = [_unblocked(each) for each in live.metadata.ownerReferences]
            await self._keep_owners(kind, live, unblocked)

    # --- an object that leaves its dependents behind ---

    async def _let_dependents_go(self, node: Node, kind: Kind, live: Object) -> None:
        for dependent in tuple(node.dependents.values()):
            dependent_kind = self._kind(dependent.identity)
            there = await self._live(dependent_kind, dependent.identity)
            if there is not None:
                others = [each for each in there.metadata.ownerReferences if each.uid != node.uid]
                await self._keep_owners(dependent_kind, there, others)
        await self._drop_finalizer(kind, live, ORPHAN)

    # --- requests ---

    def _kind(self, identity: Identity) -> Kind:
        kind = self._kinds.find(identity.group, identity.kind)
        if kind is None:
            raise Retry(30, f"{identity.apiVersion} {identity.kind} is not served")
        return kind

    async def _live(self, kind: Kind, identity: Identity) -> Object | None:
        namespace = identity.namespace if kind.namespaced else ""
        try:
            live = await self._client.get(Object, identity.name, namespace, kind=kind)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return live if live.metadata.uid == identity.uid else None

    async def _keep_owners(self, kind: Kind, live: Object, owners: Sequence[meta_v1.OwnerReference]) -> None:
        entries = [{name: getattr(each, name) for name in each.__struct_fields__} for each in owners]
        listed = [{name: value for name, value in entry.items() if value is not None} for entry in entries]
        await self._patch(kind, live, {"ownerReferences": listed or None})

    async def _drop_finalizer(self, kind: Kind, live: Object, finalizer: str) -> None:
        kept = [each for each in live.metadata.finalizers if each != finalizer]
        if len(kept) != len(live.metadata.finalizers):
            await self._patch(kind, live, {"finalizers": kept or None})

    async def _patch(self, kind: Kind, live: Object, metadata: dict[str, Any]) -> None:
        """Only if it is still what was read; that it is gone by now is fine."""
        guard = {"uid": live.metadata.uid, "resourceVersion": live.metadata.resourceVersion}
        try:
            await self._client.patch(
                Object,
                live.metadata.name or "",
                live.metadata.namespace or "",
                body={"metadata": {**metadata, **guard}},
                kind=kind,
            )
        except StatusError as error:
            if error.code != 404:
                raise

    async def _delete(self, kind: Kind, live: Object, propagation: str) -> None:
        try:
            await self._client.delete(
                Object,
                live.metadata.name or "",
                live.metadata.namespace or "",
                propagation=propagation,
                uid=live.metadata.uid,
                resourceVersion=live.metadata.resourceVersion,
                kind=kind,
            )
        except StatusError as error:
            if error.code != 404:
                raise


def _unblocked(reference: meta_v1.OwnerReference) -> meta_v1.OwnerReference:
    return meta_v1.OwnerReference(
        apiVersion=reference.apiVersion,
        kind=reference.kind,
        name=reference.name,
        uid=reference.uid,
        controller=reference.controller,
        blockOwnerDeletion=False,
    )

"""Volumes for a pod whose node is now known: free ones are claimed, others are asked for; then all must be bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sampan.api.errors import not_found_error
from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.scheduler.filters.volumebinding import reach
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.volumes import SELECTED_NODE, Claim, Volume, is_bound

BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"

PATIENCE = 600.0
"""Seconds that provisioning and binding may take before another node is tried."""


class VolumeBinder:
    def __init__(self, client: Client, snapshot: Snapshot) -> None:
        self._client = client
        self._snapshot = snapshot
        self._changed: set[asyncio.Event] = set()

    def changed(self) -> None:
        """Some claim has changed."""
        for event in self._changed:
            event.set()

    async def prepare(self, namespace: str, names: Iterable[str], node: str) -> None:
        """Returns when all claims are bound. Raises TimeoutError, and what requests raise."""
        claims = [claim for name in names if (claim := self._snapshot.volumes.claim(namespace, name)) is not None]
        unbound = [claim for claim in claims if not is_bound(claim)]
        taken: set[str] = set()
        for claim in unbound:
            volume = self._choose(claim, node, taken)
            if volume is not None:
                taken.add(volume.metadata.name or "")
                await self._claim(volume, claim)
            else:
                await self._ask(claim, node)
        if unbound:
            await self._wait(namespace, [claim.metadata.name or "" for claim in unbound])

    def _choose(self, claim: Claim, node: str, taken: set[str]) -> Volume | None:
        """The smallest volume that is free and can be reached from the node."""
        row = self._snapshot.rows.get(node)
        for volume in self._snapshot.volumes.candidates(claim):
            if row is not None and volume.metadata.name not in taken and reach(self._snapshot, volume)[row]:
                return volume
        return None

    async def _claim(self, volume: Volume, claim: Claim) -> None:
        meta = claim.metadata
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace}
        reference |= {"name": meta.name, "uid": meta.uid}
        body = {
            "metadata": {
                "resourceVersion": volume.metadata.resourceVersion,
                "annotations": {BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": reference},
        }
        await self._client.patch(core_v1.PersistentVolume, volume.metadata.name or "", body=body)

    async def _ask(self, claim: Claim, node: str) -> None:
        meta = claim.metadata
        if meta.annotations.get(SELECTED_NODE) == node:
            return
        body = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        await self._client.patch(core_v1.PersistentVolumeClaim, meta.name or "", meta.namespace or "", body=body)

    async def _wait(self, namespace: str, names: list[str]) -> None:
        event = asyncio.Event()
        self._changed.add(event)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    claims = [self._snapshot.volumes.claim(namespace, name) for name in names]
                    for name, claim in zip(names, claims, strict=True):
                        if claim is None:
                            raise not_found_error("persistentvolumeclaims", "", name)
                    if all(claim is not None and is_bound(claim) for claim in claims):
                        return
                    await event.wait()
                    event.clear()
        finally:
            self._changed.discard(event)

"""Leader election: of several processes that could work, the one that holds the Lease does."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import coordination_v1, meta_v1
from sampan.client.client import FAILURES, Client
from sampan.runtime import tasks
from sampan.runtime.clock import Clock, RealClock, rfc3339_micro

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Election:
    """Whose Lease, and the deadlines in seconds (client-go's leaderelection).

    Others wait `duration` after the last renewal they saw. The leader gives up when it could not renew for `renew`.
    Both try every `retry`.
    """

    name: str
    identity: str
    namespace: str = "kube-system"
    duration: int = 15
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew > self.retry * 1.2:
            raise ValueError(
                f"election {self.name}: lease duration {self.duration} s must exceed the renew deadline "
                f"{self.renew} s, and that 1.2 times the retry period {self.retry} s"
            )


class Elector:
    def __init__(self, client: Client, election: Election, *, clock: Clock | None = None) -> None:
        self._client = client
        self._election = election
        self._clock = clock or RealClock()
        self._seen: coordination_v1.Lease | None = None
        self._seen_at = 0.0
        self.leading = False

    @property
    def holder(self) -> str:
        """Who leads, as far as this process has seen."""
        return (self._seen.spec and self._seen.spec.holderIdentity) or "" if self._seen else ""

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Never returns: win, run `lead()`, and when the Lease is lost cancel it and stand again.

        What `lead` raises is raised here. Cancelling releases the Lease, so that another need not wait.
        """
        election = self._election
        try:
            while True:
                await self._acquire()
                log.info("%s: %s leads now", election.name, election.identity)
                ended = await tasks.first_of(f"leader {election.name}", self._call(lead), self._keep())
                if ended == 0:
                    return
                log.warning("%s: %s lost the lease", election.name, election.identity)
        finally:
            if self.leading:
                await self._release()

    async def _call(self, lead: Callable[[], Awaitable[None]]) -> None:
        await lead()

    async def _acquire(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._election.retry * random.uniform(1, 1.2))
        self.leading = True

    async def _keep(self) -> None:
        """Renew; returns when that did not work for `renew` seconds."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._election.retry)
            if await self._try():
                renewed = self._clock.monotonic()
            elif self._clock.monotonic() - renewed >= self._election.renew:
                self.leading = False
                return

    async def _try(self) -> bool:
        """Take or renew the Lease; False when somebody else has it or the server does not answer."""
        try:
            return await self._try_once()
        except FAILURES as error:
            log.debug("%s: %s", self._election.name, error)
            return False

    async def _try_once(self) -> bool:
        election, now = self._election, self._clock.now()
        if self.leading and self._seen is not None:
            lease: coordination_v1.Lease | None = self._seen
        else:
            lease = await self._read()
        if lease is None:
            self._observe(await self._client.create(self._new(now)))
            return True
        spec = lease.spec or coordination_v1.LeaseSpec()
        mine = spec.holderIdentity == election.identity
        expires = self._seen_at + (spec.leaseDurationSeconds or 0)
        if spec.holderIdentity and not mine and self._clock.monotonic() < expires:
            return False
        taken = replace(
            spec,
            holderIdentity=election.identity,
            leaseDurationSeconds=election.duration,
            renewTime=rfc3339_micro(now),
            acquireTime=spec.acquireTime if mine else rfc3339_micro(now),
            leaseTransitions=(spec.leaseTransitions or 0) + (0 if mine else 1),
        )
        try:
            self._observe(await self._client.update(replace(lease, spec=taken)))
        except StatusError:
            await self._read()
            raise
        return True

    async def _read(self) -> coordination_v1.Lease | None:
        try:
            lease = await self._client.get(coordination_v1.Lease, self._election.name, self._election.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        if self._seen is None or self._seen.spec != lease.spec:
            self._observe(lease)
        self._seen = lease
        return lease

    def _observe(self, lease: coordination_v1.Lease) -> None:
        self._seen = lease
        self._seen_at = self._clock.monotonic()

    def _new(self, now: float) -> coordination_v1.Lease:
        election = self._election
        return coordination_v1.Lease(
            metadata=meta_v1.ObjectMeta(name=election.name, namespace=election.namespace),
            spec=coordination_v1.LeaseSpec(
                holderIdentity=election.identity,
                leaseDurationSeconds=election.duration,
                acquireTime=rfc3339_micro(now),
                renewTime=rfc3339_micro(now),
                leaseTransitions=0,
            ),
        )

    async def _release(self) -> None:
        """Leave the Lease with no holder and a second to live."""
        self.leading = False
        if self._seen is None:
            return
        now = rfc3339_micro(self._clock.now())
        spec = replace(
            self._seen.spec or coordination_v1.LeaseSpec(),
            holderIdentity="",
            leaseDurationSeconds=1,
            renewTime=now,
            acquireTime=now,
        )
        try:
            await self._client.update(replace(self._seen, spec=spec))
        except FAILURES as error:
            log.warning("%s: cannot release the lease: %s", self._election.name, error)

"""The service proxy of one node: follows Services and EndpointSlices and keeps the kernel's rules like them.

    informer event -> dirty service -> compute_service -> merge -> difference -> one `nft -f` -> stale UDP flows deleted

The first change is written at once; those that come while nft works, and as long again after it, go together:
nft never has more than half of the time. A change that alters no rule holds nothing up.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from collections.abc import Iterator

from sampan.api.types import core_v1, discovery_v1
from sampan.client.cache import Key
from sampan.client.informer import Informers
from sampan.host import nft
from sampan.network import indexes
from sampan.network.proxy import conntrack, flows
from sampan.network.proxy.apply import Applier
from sampan.network.proxy.compute import View, compute_service, key_of, service_of
from sampan.network.proxy.health import HealthServers
from sampan.network.proxy.render import Table
from sampan.network.proxy.ruleset import Ruleset, merge
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.metrics import Sample

log = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds between two writes at most."""

CHECK = 30.0
"""Seconds after which the kernel is asked whether our table is still there."""

RETRY = Exponential(first=0.1, longest=10.0)


class Proxy:
    """`run` never returns. Rules stay in the kernel when it is cancelled: `remove` takes them away."""

    def __init__(self, informers: Informers, table: Table, view: View, *, clock: Clock | None = None) -> None:
        self._services = informers.get(core_v1.Service)
        self._slices = informers.get(
            discovery_v1.EndpointSlice,
            indexes={indexes.BY_SERVICE: indexes.service_of, indexes.BY_ADDRESS: indexes.addresses_of},
        )
        self._view = view
        self._pods = ipaddress.IPv4Network(table.cluster_cidr)
        self._applier = Applier(table)
        self._health = HealthServers()
        self._clock = clock or RealClock()
        self._parts: dict[Key, Ruleset] = {}
        self._dirty: set[Key] = set()
        self._writing = False
        self._changed = asyncio.Event()
        self._quiet = asyncio.Condition()
        self.written = asyncio.Event()
        """Set once the kernel has had the rules of all services."""
        self.writes = 0
        self.failures = 0

    async def run(self) -> None:
        await self._services.synced.wait()
        await self._slices.synced.wait()
        stops = (self._services.subscribe(self._service_changed), self._slices.subscribe(self._slice_changed))
        self._dirty |= {key_of(service) for service in tuple(self._services.all())} | self._parts.keys()
        self._changed.set()
        try:
            while True:
                await self._turn()
        finally:
            for stop in stops:
                stop()
            self._health.close()

    async def remove(self) -> None:
        await self._applier.remove()

    async def quiet(self, address: str) -> bool:
        """Return once no new connection is led to an endpoint, as far as the proxy can help it.

        That is when the API says that it is not ready, terminates or is no endpoint at all, and the kernel knows.
        Who stops a pod waits for this, with a deadline, before the signal. False when the address is no endpoint:
        then there is nobody whose requests could be under way.
        """
        async with self._quiet:
            await self._quiet.wait_for(lambda: not (self._dirty or self._writing or self._serves(address)))
        return bool(self._slices.by(indexes.BY_ADDRESS, address))

    def samples(self) -> Iterator[Sample]:
        yield Sample("sampan_proxy_writes_total", "counter", "Rulesets written to the kernel.", {}, self.writes)
        yield Sample("sampan_proxy_failures_total", "counter", "Rulesets that the kernel refused.", {}, self.failures)
        yield Sample("sampan_proxy_services", "gauge", "Services with rules.", {}, len(self._parts))

    # --- what changes ---

    def _service_changed(self, type: str, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        for service in (old, new):
            if service is not None:
                self._mark(key_of(service))

    def _slice_changed(
        self, type: str, old: discovery_v1.EndpointSlice | None, new: discovery_v1.EndpointSlice | None
    ) -> None:
        for slice in (old, new):
            if slice is not None:
                self._mark(service_of(slice))

    def _mark(self, key: Key) -> None:
        self._dirty.add(key)
        self._changed.set()

    # --- one turn ---

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(CHECK):
                await self._changed.wait()
        except TimeoutError:
            await self._check()
            return
        self._changed.clear()
        writes, started = self.writes, self._clock.monotonic()
        await self.write()
        if self.writes > writes:
            await self._clock.sleep(min(PAUSE, self._clock.monotonic() - started))

    async def _check(self) -> None:
        try:
            await self._applier.check()
        except nft.NftFailure as failure:
            log.warning("cannot ask for the proxy's table: %s", failure)
            return
        if self._applier.applied is None:
            self._changed.set()

    async def write(self) -> None:
        """Bring the kernel up to date; tries again until it is."""
        before = self._applier.applied or Ruleset()
        self._writing = True
        try:
            ruleset = await self._apply()
        finally:
            self._writing = False
        await self._after(before, ruleset)

    async def _apply(self) -> Ruleset:
        attempts = 0
        while True:
            dirty, self._dirty = self._dirty, set()
            for key in dirty:
                self._recompute(key)
            ruleset = merge(self._parts[key] for key in sorted(self._parts))
            try:
                if await self._applier.apply(ruleset):
                    self.writes += 1
                return ruleset
            except nft.NftFailure as failure:
                attempts += 1
                self.failures += 1
                delay = RETRY.delay(attempts)
                log.error("the kernel refuses the proxy's rules, next attempt in %.1f s: %s", delay, failure)
            await self._clock.sleep(delay)

    def _recompute(self, key: Key) -> None:
        service = self._services.get(key[1], key[0])
        if service is None:
            self._parts.pop(key, None)
            return
        slices = self._slices.by(indexes.BY_SERVICE, "/".join(key))
        self._parts[key] = compute_service(service, slices, self._view)

    async def _after(self, old: Ruleset, new: Ruleset) -> None:
        self.written.set()
        changed = flows.changes(old.flows, new.flows)
        if changed:
            outdated = functools.partial(flows.outdated, changed, self._pods)
            try:
                await asyncio.get_running_loop().run_in_executor(None, conntrack.delete_udp, outdated)
            except OSError as error:
                log.warning("UDP flows to former endpoints stay until they rest: %s", error)
        await self._health.update(new.health)
        async with self._quiet:
            self._quiet.notify_all()

    def _serves(self, address: str) -> bool:
        for slice in self._slices.by(indexes.BY_ADDRESS, address):
            for endpoint in slice.endpoints:
                conditions = endpoint.conditions or discovery_v1.EndpointConditions()
                if address in endpoint.addresses and conditions.ready is not False and not conditions.terminating:
                    return True
        return False

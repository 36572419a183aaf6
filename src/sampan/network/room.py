"""The network of one node, put together: pod network, service proxy and cluster DNS."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sampan.client.informer import Informers
from sampan.config import ClusterConfig
from sampan.host import nft
from sampan.network import names
from sampan.network.balancer import BalancerAddresses
from sampan.network.dns.server import DNSServer
from sampan.network.ingress import room as ingress_room
from sampan.network.ingress.room import Ingress
from sampan.network.pods import BridgeNetwork
from sampan.network.proxy.compute import View
from sampan.network.proxy.proxy import Proxy
from sampan.network.proxy.render import Table
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

log = logging.getLogger(__name__)

CHECK = 30.0
"""Seconds between looks whether the pods' table is still there."""


class Network:
    """`setup` before the first pod, `run` from then on, `ready` once services and names work.

    `pods` is the host's PodNetwork. Everything stays in the kernel when the process ends: pods go on, and the next
    process adopts them. `clean` takes it away.
    """

    def __init__(
        self,
        config: ClusterConfig,
        node: str,
        informers: Informers,
        *,
        ingress: Ingress | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or RealClock()
        self.ingress = ingress
        self.pods = pod_network(config)
        view = View(node, config.node_pod_cidr, frozenset((config.dns_ip,)))
        self.proxy = Proxy(informers, service_table(config), view, clock=clock)
        self.balancer = BalancerAddresses(informers, names.bridge(config.name), config.load_balancer_range)
        self.dns = DNSServer(
            informers,
            address=config.dns_ip,
            domain=config.cluster_domain,
            service_cidr=config.service_cidr,
            pod_cidr=config.pod_cidr,
        )

    async def setup(self) -> None:
        """Raises OSError when the kernel refuses."""
        await self.pods.setup()

    async def run(self) -> None:
        """Never returns. A part that fails is reported and started again; the others go on."""
        async with Group("network", clock=self._clock) as group:
            group.supervise("proxy", self.proxy.run)
            group.supervise("dns", self.dns.run)
            group.supervise("balancer", self.balancer.run)
            group.supervise("pods", self._watch_pods)
            if self.ingress is not None:
                group.supervise("ingress", self.ingress.run)

    async def ready(self) -> None:
        await self.proxy.written.wait()
        await self.dns.listening.wait()

    async def quiet(self, address: str) -> bool:
        """See Proxy.quiet: no new connection comes to a pod that is about to be stopped, from the ingress neither."""
        known = await self.proxy.quiet(address)
        if known and self.ingress is not None:
            await self.ingress.settled()
        return known

    def samples(self) -> Iterator[Sample]:
        yield from self.proxy.samples()
        yield from self.dns.samples()
        if self.ingress is not None:
            yield from self.ingress.samples()

    async def _watch_pods(self) -> None:
        while True:
            await self._clock.sleep(CHECK)
            await self.pods.ensure()


async def clean(config: ClusterConfig) -> None:
    """Remove what a cluster left in the kernel when its processes are gone. Idempotent."""
    await ingress_room.clean(config)
    await nft.delete_table(service_table(config).name)
    await pod_network(config).teardown()


def pod_network(config: ClusterConfig) -> BridgeNetwork:
    return BridgeNetwork(
        config.name,
        config.node_pod_cidr,
        config.pod_cidr,
        config.service_cidr,
        config.dns_ip,
        config.run_dir / "network",
    )


def service_table(config: ClusterConfig) -> Table:
    return Table(
        names.table(config.name, "services"),
        config.pod_cidr,
        config.service_cidr,
        config.node_pod_cidr,
    )

"""The pod network of one node: a bridge, a veth pair and an address for each sandbox, host ports.

A pod has its address alone (/32) and sends everything to the gateway, also to its neighbours: so all of its
traffic passes the host's hooks, where services are translated and policies can be enforced, and answers find
their way back through the same translation. Bridge ports are isolated from each other for the same reason.
MACs follow from addresses and neighbours are entered beforehand: nobody waits for ARP, and an address that
changes hands leaves nothing stale.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sampan.host import links, netlink
from sampan.host.containers import SandboxConfig
from sampan.network import hostports, ipam, names, sysctls

T = TypeVar("T")

log = logging.getLogger(__name__)

POD_LINK = "eth0"
BACKSTOP = 4096
"""Metric of the blackhole routes: they catch what nothing better does."""


class BridgeNetwork:
    """Implements host.containers.PodNetwork. `setup` before the first `attach`; `teardown` leaves nothing."""

    def __init__(
        self, instance: str, pod_cidr: str, cluster_cidr: str, service_cidr: str, dns_ip: str, run_dir: Path
    ) -> None:
        self.bridge = names.bridge(instance)
        self._instance = instance
        self._cluster_cidr = cluster_cidr
        self._service_cidr = service_cidr
        self._dns_ip = dns_ip
        self._ipam = ipam.Ipam(run_dir / "addresses", pod_cidr)
        self._hostports = hostports.HostPorts(instance, self.bridge, pod_cidr, cluster_cidr)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="pod-network")
        self._mtu = 1500
        self._index = 0

    @property
    def gateway(self) -> str:
        return self._ipam.gateway

    def address(self, sandbox_id: str) -> str:
        """The sandbox's address, empty when it has none."""
        lease = self._ipam.leases.get(sandbox_id)
        return lease.address if lease else ""

    async def setup(self) -> None:
        """Idempotent; adopts what an earlier process left. Raises OSError."""
        self._ipam.load()
        await self._call(self._make_bridge)
        await self._hostports.setup(self._ipam.leases.values())

    async def ensure(self) -> None:
        """Bring the rules back if somebody flushed them (a firewall that reloads)."""
        if not await self._hostports.present():
            log.warning("table %s was gone, writing it again", self._hostports.table)
            await self._hostports.setup(self._ipam.leases.values())

    async def teardown(self) -> None:
        """Remove the pods' links too. Idempotent."""
        await self._call(self._remove_bridge)
        await self._hostports.teardown()
        self._ipam.load()
        self._ipam.clear()

    async def attach(self, sandbox_id: str, netns: str, config: SandboxConfig) -> tuple[str, ...]:
        """Raises OSError when an address or the kernel's help is not to be had; nothing is left then."""
        ports = tuple(
            ipam.HostPort(port.protocol.lower(), _host_address(port.host_ip), port.host_port, port.container_port)
            for port in config.ports
            if port.host_port
        )
        lease = self._ipam.take(sandbox_id, ports)
        try:
            await self._call(lambda: self._connect(sandbox_id, netns, lease.address))
            await self._hostports.open(lease)
        except BaseException:
            await asyncio.shield(self.detach(sandbox_id))
            raise
        return (lease.address,)

    async def detach(self, sandbox_id: str) -> None:
        lease = self._ipam.leases.get(sandbox_id)
        await self._call(lambda: self._disconnect(sandbox_id))
        if lease is not None:
            await self._hostports.close(lease)
            self._ipam.release(sandbox_id)

    async def _call(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)

    # On the threads

    def _make_bridge(self) -> None:
        with netlink.Netlink() as net:
            self._mtu = _uplink_mtu(net)
            if links.link(net, self.bridge) is None:
                links.create_bridge(net, self.bridge, names.mac(self.gateway), self._mtu)
            bridge = links.link(net, self.bridge)
            assert bridge is not None
            self._index = bridge.index
            links.add_address(net, bridge.index, self.gateway, self._ipam.network.prefixlen)
            links.add_address(net, bridge.index, self._dns_ip, 32, "host")
            # Processes of the host reach services by this route: translation comes after routing there.
            links.add_route(net, self._service_cidr, index=bridge.index, source=self.gateway)
            for cidr in (self._service_cidr, self._cluster_cidr):
                links.add_route(net, cidr, metric=BACKSTOP)
        # A process of the host may have reached a node port on 127.0.0.1: the pod's answer comes in here.
        sysctls.write(sysctls.of_link(self.bridge, "route_localnet"), "1")

    def _remove_bridge(self) -> None:
        with netlink.Netlink() as net:
            bridge = links.link(net, self.bridge)
            if bridge is not None:
                for link in links.links(net):
                    if link.master == bridge.index:
                        links.delete_link(net, link.name)
                links.delete_link(net, self.bridge)
            for cidr in (self._service_cidr, self._cluster_cidr):
                links.delete_blackhole(net, cidr, BACKSTOP)

    def _connect(self, sandbox_id: str, netns: str, address: str) -> None:
        name, mac = names.veth(self._instance, sandbox_id), names.mac(address)
        with netlink.Netlink() as here, netlink.inside(netns) as there:
            if links.link(here, name) is not None and links.link(there, POD_LINK) is not None:
                return
            links.delete_link(here, name)
            namespace = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                links.create_veth(
                    here, name, self._index, self._mtu, peer=POD_LINK, peer_mac=mac, peer_namespace=namespace
                )
            finally:
                os.close(namespace)
            links.isolate_port(here, name)
            links.add_neighbour(here, self._index, address, mac)
            self._configure(there, address)

    def _configure(self, there: netlink.Netlink, address: str) -> None:
        """Inside the pod's namespace."""
        link = links.link(there, POD_LINK)
        assert link is not None
        links.set_up(there, "lo")
        links.set_up(there, POD_LINK)
        links.add_address(there, link.index, address, 32)
        links.add_neighbour(there, link.index, self.gateway, names.mac(self.gateway))
        links.add_route(there, f"{self.gateway}/32", index=link.index)
        links.add_route(there, "0.0.0.0/0", index=link.index, gateway=self.gateway)

    def _disconnect(self, sandbox_id: str) -> None:
        with netlink.Netlink() as here:
            links.delete_link(here, names.veth(self._instance, sandbox_id))


def _host_address(address: str) -> str:
    return "" if address in ("", "0.0.0.0", "::") else address  # noqa: S104 (compared, not bound)


def _uplink_mtu(net: netlink.Netlink) -> int:
    """The MTU of the link that leads out, 1500 where none does."""
    outward = {route.link for route in links.routes(net) if route.destination == "0.0.0.0/0" and not route.blackhole}
    mtus: Sequence[int] = [link.mtu for link in links.links(net) if link.index in outward]
    return min(mtus, default=1500)

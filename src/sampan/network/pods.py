"""The pod network of one node: a link, an address and a route for each sandbox, and host ports.

A pod has its address alone (/32) and sends everything to the gateway, also to its neighbours; the host has a
route to each pod. So all traffic of a pod passes the host's hooks, where services are translated and policies
can be enforced, and answers find their way back through the same translation. The bridge has no ports: it
holds the gateway's address, which is there before the first pod and after the last. Links that were ports of a
bridge would depend on br_netfilter, which translates below the routing and then bridges.
MACs follow from addresses and neighbours are entered beforehand: nobody waits for ARP, and an address that
changes hands leaves nothing stale.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sampan.host import links, netlink, nft
from sampan.host.containers import SandboxConfig
from sampan.network import firewall, hostports, ipam, names, sysctls
from sampan.network.proxy import conntrack

T = TypeVar("T")

log = logging.getLogger(__name__)

POD_LINK = "eth0"
BACKSTOP = 4096
"""Metric of the routes that catch what nothing better does."""


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
        self._group = names.group(instance)
        self._leaving = names.group(instance, "leaving")
        own = (self._ipam.gateway, dns_ip)
        self._firewall = firewall.Firewall(instance, cluster_cidr, own)
        self._hostports = hostports.HostPorts(instance, pod_cidr, cluster_cidr, dns_ip)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="pod-network")
        self._reaper = ThreadPoolExecutor(1, thread_name_prefix="pod-network-reaper")
        self._left: deque[str] = deque()
        self._mtu = 1500

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
        self._reaper.submit(self._reap)
        await self._hostports.setup(self._ipam.leases.values())
        await self._firewall.open(await nft.objects("chains"))

    async def ensure(self) -> None:
        """Bring the rules back if a firewall that was reloaded flushed them; look whether there is a new one."""
        chains = await nft.objects("chains")
        if self._hostports.table not in firewall.tables(chains):
            log.warning("table %s was gone, writing it again", self._hostports.table)
            await self._hostports.setup(self._ipam.leases.values())
        await self._firewall.open(chains)

    async def teardown(self) -> None:
        """Remove the pods' links too. Idempotent."""
        await asyncio.get_running_loop().run_in_executor(self._reaper, self._remove_bridge)
        await self._firewall.close(await nft.objects("chains"))
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
        await self._call(lambda: self._disconnect(sandbox_id, lease.address if lease else ""))
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
            for address in (self.gateway, self._ipam.source):
                links.add_address(net, bridge.index, address, 32)
            links.add_address(net, bridge.index, self._dns_ip, 32, "host")
            # Processes of the host reach services by this route: translation comes after routing there.
            links.add_route(net, self._service_cidr, index=bridge.index, source=self._ipam.source)
            links.add_route(net, str(self._ipam.network), metric=BACKSTOP, kind="unreachable")
            for cidr in (self._service_cidr, self._cluster_cidr):
                links.add_route(net, cidr, metric=2 * BACKSTOP, kind="blackhole")

    def _remove_bridge(self) -> None:
        with netlink.Netlink() as net:
            links.delete_group(net, self._group)
            links.delete_group(net, self._leaving)
            links.delete_link(net, self.bridge)
            links.delete_route(net, str(self._ipam.network), metric=BACKSTOP, kind="unreachable")
            for cidr in (self._service_cidr, self._cluster_cidr):
                links.delete_route(net, cidr, metric=2 * BACKSTOP, kind="blackhole")

    def _connect(self, sandbox_id: str, netns: str, address: str) -> None:
        name, mac = names.veth(self._instance, sandbox_id), names.mac(address)
        with netlink.entered(netns):
            # Timestamps of one clock, not one per pair of addresses: an endpoint hears a pod by a service's address
            # and by its own, and refuses for a minute what seems to come from the past (tcp_timestamps in ip-sysctl).
            if sysctls.read("tcp_timestamps") == "1":
                sysctls.write("tcp_timestamps", "2")
            there = netlink.Netlink()
        with netlink.Netlink() as here, there:
            near, far = links.link(here, name), links.link(there, POD_LINK)
            if near is None or far is None or near.group != self._group:
                # Half of a pair, or one whose deletion is under way; a link goes with its other end.
                links.delete_link(here, name)
                links.delete_link(there, POD_LINK)
                near, far = self._pair(here, there, name, netns, mac)
            links.route_localnet(here, near.index)
            # Addresses of this machine that come and go make browsers on it drop what they are loading.
            links.no_link_local(here, near.index)
            links.set_up(here, name)
            links.add_neighbour(here, near.index, address, mac)
            links.add_route(here, f"{address}/32", index=near.index, source=self.gateway)
            links.set_up(there, "lo")
            links.set_up(there, POD_LINK)
            links.add_address(there, far.index, address, 32)
            links.add_neighbour(there, far.index, self.gateway, names.mac(self.gateway))
            links.add_route(there, f"{self.gateway}/32", index=far.index)
            links.add_route(there, "0.0.0.0/0", index=far.index, gateway=self.gateway)

    def _pair(
        self, here: netlink.Netlink, there: netlink.Netlink, name: str, netns: str, mac: str
    ) -> tuple[links.Link, links.Link]:
        namespace = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            links.create_veth(
                here,
                name,
                names.mac(self.gateway),
                self._mtu,
                self._group,
                peer=POD_LINK,
                peer_mac=mac,
                peer_namespace=namespace,
            )
        finally:
            os.close(namespace)
        near, far = links.link(here, name), links.link(there, POD_LINK)
        if near is None or far is None:
            raise OSError(errno.ENODEV, f"link {name} of the pod network went away while it was made")
        return near, far

    def _disconnect(self, sandbox_id: str, address: str) -> None:
        """Cut the pod off; its link is deleted later, together with others: the kernel takes 10 to 50 ms for that."""
        with netlink.Netlink() as here:
            link = links.link(here, names.veth(self._instance, sandbox_id))
            if link is None or link.group == self._leaving:
                return
            if address:
                links.delete_route(here, f"{address}/32")
                self._left.append(address)
            links.set_group(here, link.index, self._leaving)
        self._reaper.submit(self._reap)

    def _reap(self) -> None:
        try:
            # Who still asks for a service here begins anew with another endpoint, or is refused. Until its route was
            # gone the pod could be asked, now nobody can.
            while self._left:
                conntrack.delete_answered_by(self._left.popleft())
        except OSError as error:
            log.warning("connections to pods that left stay until they time out: %s", error)
        try:
            with netlink.Netlink() as net:
                links.delete_group(net, self._leaving)
        except OSError as error:
            log.warning("links of pods that left stay until the next one leaves: %s", error)


def _host_address(address: str) -> str:
    return "" if address in ("", "0.0.0.0", "::") else address  # noqa: S104 (compared, not bound)


def _uplink_mtu(net: netlink.Netlink) -> int:
    """The MTU of the link that leads out, 1500 where none does."""
    outward = {route.link for route in links.routes(net) if route.destination == "0.0.0.0/0" and route.link}
    mtus: Sequence[int] = [link.mtu for link in links.links(net) if link.index in outward]
    return min(mtus, default=1500)

"""Addresses of a range that services of type LoadBalancer got: the node has them, so that neighbours find it by ARP.

They are on the bridge and go with it. What comes to a service's ports is translated before the node looks at it.
"""

from __future__ import annotations

import asyncio

from sampan import addresses
from sampan.api.types import core_v1
from sampan.client.informer import Informers
from sampan.host import links, netlink


class BalancerAddresses:
    """`run` never returns, or at once when there is no range: nodes have their own addresses anyway."""

    def __init__(self, informers: Informers, link: str, range: str) -> None:
        self._services = informers.get(core_v1.Service)
        self._link = link
        self._range = range
        self._changed = asyncio.Event()

    async def run(self) -> None:
        if not self._range:
            return
        await self._services.synced.wait()
        stop = self._services.subscribe(self._service_changed)
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await asyncio.get_running_loop().run_in_executor(None, self._write, self.wanted())
        finally:
            stop()

    def wanted(self) -> set[str]:
        return {
            each.ip
            for service in self._services.all()
            if service.spec.type == "LoadBalancer" and service.status.loadBalancer is not None
            for each in service.status.loadBalancer.ingress
            if each.ip and addresses.contains(self._range, each.ip)
        }

    def _service_changed(self, type: str, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        if old is None or new is None or (old.spec.type, old.status) != (new.spec.type, new.status):
            self._changed.set()

    def _write(self, wanted: set[str]) -> None:
        with netlink.Netlink() as net:
            link = links.link(net, self._link)
            if link is None:
                return
            has = {each for each in links.addresses(net, link.index) if addresses.contains(self._range, each)}
            for address in wanted - has:
                links.add_address(net, link.index, address, 32, "host")
            for address in has - wanted:
                links.delete_address(net, link.index, address, 32)

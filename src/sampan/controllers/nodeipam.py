"""Every node gets a range of pod addresses of its own out of the cluster's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sampan.api.types import core_v1
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Emit, Patch, Plan, Terminal, View
from sampan.runtime.controller import Controller, unless_unchanged

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Allocator:
    """The lowest free range. The nodes in the cache, which holds our own writes too, say what is taken."""

    def __init__(self, settings: Settings) -> None:
        self._cluster = ipaddress.ip_network(settings.cluster_cidr)
        self._mask = settings.node_cidr_mask

    def plan(self, node: core_v1.Node, view: View) -> Plan:
        if node.spec.podCIDR or node.metadata.deletionTimestamp is not None:
            return
        taken = [ipaddress.ip_network(each.spec.podCIDR) for each in view.all(core_v1.Node) if each.spec.podCIDR]
        free = next(self._free(taken), None)
        if free is None:
            name = node.metadata.name
            yield Emit(node, "Normal", "CIDRNotAvailable", f"Node {name} status is now: CIDRNotAvailable")
            raise Terminal(f"no range of /{self._mask} is left in {self._cluster}")
        yield Patch(node, {"spec": {"podCIDR": str(free), "podCIDRs": [str(free)]}})

    def _free(self, taken: list[Network]) -> Iterator[Network]:
        exact = {each for each in taken if each.prefixlen == self._mask}
        others = [each for each in taken if each.prefixlen != self._mask and each.version == self._cluster.version]
        for candidate in self._cluster.subnets(new_prefix=self._mask):
            if candidate not in exact and not any(candidate.overlaps(other) for other in others):
                yield candidate


def idle(node: core_v1.Node, view: View) -> Plan:
    yield from ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="node-ipam-controller",
        primary=core_v1.Node,
        plan=Allocator(settings).plan if settings.cluster_cidr else idle,
        changed=unless_unchanged(lambda node: node.spec.podCIDR),
        # One at a time: two plans that looked at the same moment would choose the same range.
        workers=1,
    )

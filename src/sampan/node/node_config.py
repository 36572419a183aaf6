"""What a node is told: its name, where it keeps things, how it behaves. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.node.contracts import Capacity, ClusterFacts, NodeFacts, Places


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """`ips` are the node's addresses, the primary first. Shares of the image file system are in percent.

    `reserved` is what the machine keeps for itself: allocatable is what is left. `sysctls` are unsafe ones that
    pods may set all the same, `net.*` for a group. `handlers` are the RuntimeClass handlers this node knows.
    """

    name: str
    ips: tuple[str, ...]
    places: Places
    cluster: ClusterFacts
    capacity: Capacity
    reserved: Capacity = field(default_factory=lambda: Capacity(0, 0, 0, 0))
    hostname: str = ""
    version: str = "v1.37.0"
    runtime_version: str = "sampan://0.1.0"
    kubelet_port: int = 10250
    max_pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    """(key, value, effect) that a new node begins with."""
    sysctls: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ("runc", "crun")
    image_gc_high: int = 85
    image_gc_low: int = 80
    image_gc_age: float = 120.0
    """Images used more recently than this (seconds) are kept."""
    pulls: int = 4
    """Images that are pulled at once."""

    @property
    def allocatable(self) -> Capacity:
        have, kept = self.capacity, self.reserved
        return Capacity(
            max(0, have.cpu_milli - kept.cpu_milli),
            max(0, have.memory - kept.memory),
            max(0, have.ephemeral_storage - kept.ephemeral_storage),
            self.max_pods,
            {name: max(0, size - kept.hugepages.get(name, 0)) for name, size in have.hugepages.items()},
        )

    @property
    def facts(self) -> NodeFacts:
        return NodeFacts(self.name, self.ips, self.capacity, self.allocatable)

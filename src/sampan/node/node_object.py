"""The Node object as the node itself writes it: labels, capacity, conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.types import core_v1, meta_v1
from sampan.host.containers import Image
from sampan.node import host_facts
from sampan.node.contracts import Capacity
from sampan.node.host_facts import Usage
from sampan.node.node_config import NodeConfig
from sampan.runtime.clock import rfc3339

MOST_IMAGES = 50
MOST_NAMES = 5

MEMORY_LEFT = 100 << 20
DISK_LEFT, INODES_LEFT, PIDS_LEFT = 10.0, 5.0, 5.0
"""Below these (bytes, percent) there is pressure; the Kubernetes documentation's defaults for eviction."""

CALM = 300.0
"""Seconds for which a pressure has to be over before its condition says so."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """Which resources are short, and since when each was last short (Unix seconds)."""

    seen: Mapping[str, float]

    def holds(self, kind: str, now: float) -> bool:
        at = self.seen.get(kind)
        return at is not None and now - at < CALM


def pressure(before: Pressure, usage: Usage, now: float) -> Pressure:
    short = {
        "MemoryPressure": usage.memory_available < MEMORY_LEFT,
        "DiskPressure": usage.disk_available < DISK_LEFT or usage.inodes_available < INODES_LEFT,
        "PIDPressure": usage.pids_available < PIDS_LEFT,
    }
    return Pressure({**before.seen, **{kind: now for kind, is_short in short.items() if is_short}})


_SAID = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}


def labels(config: NodeConfig) -> dict[str, str]:
    arch = host_facts.architecture()
    return {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": config.hostname or config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }


def node(config: NodeConfig, status: core_v1.NodeStatus) -> core_v1.Node:
    """For a node that the server does not know yet."""
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(name=config.name, labels=labels(config)),
        spec=core_v1.NodeSpec(
            taints=tuple(core_v1.Taint(key=k, value=v or None, effect=e) for k, v, e in config.taints)
        ),
        status=status,
    )


def amounts(capacity: Capacity) -> dict[str, str]:
    return {
        "cpu": _cpu(capacity.cpu_milli),
        "memory": f"{capacity.memory // 1024}Ki",
        "ephemeral-storage": f"{capacity.ephemeral_storage // 1024}Ki",
        "pods": str(capacity.pods),
        **{name: host_facts.binary(size) if size else "0" for name, size in capacity.hugepages.items()},
    }


def _cpu(milli: int) -> str:
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def status(
    config: NodeConfig,
    known: core_v1.NodeStatus,
    info: core_v1.NodeSystemInfo,
    images: Iterable[Image],
    shortage: Pressure,
    problems: Sequence[str],
    now: float,
) -> core_v1.NodeStatus:
    """The whole status; what others wrote into `known` stays. `problems` are why no pod can run here now."""
    found = replace(
        known,
        addresses=addresses(config),
        capacity={**known.capacity, **amounts(config.capacity)},
        allocatable={**known.allocatable, **amounts(config.allocatable)},
        daemonEndpoints=core_v1.NodeDaemonEndpoints(kubeletEndpoint=core_v1.DaemonEndpoint(Port=config.kubelet_port)),
        nodeInfo=info,
        images=image_list(images),
        runtimeHandlers=tuple(
            core_v1.NodeRuntimeHandler(
                name=name,
                features=core_v1.NodeRuntimeHandlerFeatures(recursiveReadOnlyMounts=False, userNamespaces=False),
            )
            for name in ("", *config.handlers)
        ),
        features=core_v1.NodeFeatures(supplementalGroupsPolicy=False),
    )
    kept = found.conditions
    for kind, said in _SAID.items():
        short = shortage.holds(kind, now)
        kept = _with(kept, kind, short, *said[short], now)
    kept = _with(
        kept,
        "Ready",
        not problems,
        "KubeletNotReady" if problems else "KubeletReady",
        "; ".join(problems) or "kubelet is posting ready status",
        now,
    )
    return replace(found, conditions=kept)


def _with(
    kept: tuple[core_v1.NodeCondition, ...], type: str, status: bool, reason: str, message: str, now: float
) -> tuple[core_v1.NodeCondition, ...]:
    condition = core_v1.NodeCondition(
        type=type, status="True" if status else "False", reason=reason, message=message, lastHeartbeatTime=rfc3339(now)
    )
    return conditions.put(kept, condition, rfc3339(now))


def beating(found: core_v1.NodeStatus, now: float) -> core_v1.NodeStatus:
    """The same status as a sign of life: every condition of ours was looked at now."""
    ours = ("Ready", *_SAID)
    beat = rfc3339(now)
    return replace(
        found,
        conditions=tuple(replace(c, lastHeartbeatTime=beat) if c.type in ours else c for c in found.conditions),
    )


def addresses(config: NodeConfig) -> tuple[core_v1.NodeAddress, ...]:
    return (
        *(core_v1.NodeAddress(type="InternalIP", address=ip) for ip in config.ips),
        core_v1.NodeAddress(type="Hostname", address=config.hostname or config.name),
    )


def image_list(images: Iterable[Image]) -> tuple[core_v1.ContainerImage, ...]:
    """The largest first, as the scheduler uses them."""
    largest = sorted(images, key=lambda image: (-image.size, image.id))[:MOST_IMAGES]
    return tuple(
        core_v1.ContainerImage(names=(*image.digests, *image.references)[:MOST_NAMES], sizeBytes=image.size)
        for image in largest
    )


def changes(old: core_v1.NodeStatus, new: core_v1.NodeStatus) -> dict[str, Any]:
    """The strategic merge patch of what differs; nothing that others wrote is in it."""
    before: Mapping[str, Any] = msgspec.to_builtins(old)
    after: Mapping[str, Any] = msgspec.to_builtins(new)
    body: dict[str, Any] = {}
    for name, value in after.items():
        had = before.get(name)
        if had == value:
            continue
        if name == "conditions":
            known = {each["type"]: each for each in had or ()}
            body[name] = [each for each in value if known.get(each["type"]) != each]
        elif name == "addresses":
            body[name] = [{"$patch": "replace"}, *value]
        elif name in ("capacity", "allocatable"):
            body[name] = {key: amount for key, amount in value.items() if (had or {}).get(key) != amount}
        else:
            body[name] = value
    return body

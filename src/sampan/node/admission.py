"""Whether a pod that was bound to this node may run on it: the scheduler decided on what it knew, the node knows more.

Pure. Reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sampan.api import quantity, selectors
from sampan.api.types import core_v1
from sampan.node import build, resources
from sampan.node.node_config import NodeConfig
from sampan.node.observation import Ending, ResizeRefusal

SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    )
)
"""Sysctls of a namespace that disturb nobody else."""

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}

PREFIX = "Pod was rejected: "


def refuse(
    pod: core_v1.Pod,
    others: Iterable[core_v1.Pod],
    labels: Mapping[str, str],
    config: NodeConfig,
    pressures: Collection[str] = (),
) -> Ending | None:
    """Why the pod cannot run here, None when it can. `others` run already; `labels` are the node's.

    `pressures` are the types of the node's conditions of pressure that hold.
    """
    admitted = tuple(others)
    for refusal in (
        _pressure(pod, pressures),
        _system(pod),
        _sysctls(pod, config),
        _room(pod, admitted, config),
        _affinity(pod, labels, config.name),
        _ports(pod, admitted),
    ):
        if refusal is not None:
            reason, message = refusal
            return Ending(reason, PREFIX + message)
    return None


Refusal = tuple[str, str] | None


def refuse_resize(pod: core_v1.Pod, others: Iterable[core_v1.Pod], config: NodeConfig) -> ResizeRefusal | None:
    """Why a running pod cannot have the resources that it asks for, None when it can."""
    asked = resources.pod_requests(pod)
    for name, whole in _capacity(config).items():
        wanted = _amount(asked, name)
        if wanted > whole:
            figures = f"{name}, requested: {wanted}, capacity: {whole}"
            return ResizeRefusal("Infeasible", f"Node didn't have enough capacity: {figures}")
    refusal = _room(pod, tuple(others), config)
    return ResizeRefusal("Deferred", refusal[1]) if refusal is not None else None


def _pressure(pod: core_v1.Pod, pressures: Collection[str]) -> Refusal:
    """Critical pods come in always; while memory alone is short, so do those that asked for some."""
    if not pressures or resources.is_critical(pod):
        return None
    if set(pressures) == {"MemoryPressure"}:
        tolerated = any(
            each.key == "node.kubernetes.io/memory-pressure" and each.effect in (None, "", "NoSchedule")
            for each in pod.spec.tolerations
        )
        if tolerated or resources.qos_class(pod) != "BestEffort":
            return None
    return "Evicted", f"The node had condition: [{' '.join(sorted(pressures))}]. "


def _system(pod: core_v1.Pod) -> Refusal:
    if pod.spec.os is not None and pod.spec.os.name != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    wanted = pod.spec.nodeSelector.get("kubernetes.io/os", "linux")
    if wanted != "linux":
        return "PodOSSelectorNodeLabelDoesNotMatch", (
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        )
    return None


def _sysctls(pod: core_v1.Pod, config: NodeConfig) -> Refusal:
    context = pod.spec.securityContext
    for sysctl in context.sysctls if context is not None else ():
        name = sysctl.name.replace("/", ".")
        allowed = name in SAFE_SYSCTLS or any(_covers(each, name) for each in config.sysctls)
        shared = (name.startswith("net.") and pod.spec.hostNetwork) or (
            name.startswith(("kernel.", "fs.mqueue.")) and pod.spec.hostIPC
        )
        if shared:
            space = "network" if name.startswith("net.") else "IPC"
            return "SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowed with host {space} enabled'
        if not allowed:
            return "SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowlisted'
    return None


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _room(pod: core_v1.Pod, others: tuple[core_v1.Pod, ...], config: NodeConfig) -> Refusal:
    pods = config.allocatable.pods
    if len(others) + 1 > pods:
        return _out_of("pods", 1, len(others), pods)
    asked = resources.pod_requests(pod)
    taken = [resources.pod_requests(other) for other in others]
    for name, whole in _capacity(config).items():
        wanted = _amount(asked, name)
        used = sum(_amount(each, name) for each in taken)
        if wanted and used + wanted > whole:
            return _out_of(name, wanted, used, whole)
    return None


def _capacity(config: NodeConfig) -> dict[str, int]:
    allocatable = config.allocatable
    return {
        "cpu": allocatable.cpu_milli,
        "memory": allocatable.memory,
        "ephemeral-storage": allocatable.ephemeral_storage,
        **allocatable.hugepages,
    }


def _amount(requests: Mapping[str, str], name: str) -> int:
    text = requests.get(name, "0")
    return quantity.milli(text) if name == "cpu" else quantity.value(text)


def _out_of(name: str, wanted: int, used: int, whole: int) -> tuple[str, str]:
    figures = f"requested: {wanted}, used: {used}, capacity: {whole}"
    return f"OutOf{name}", f"Node didn't have enough resource: {name}, {figures}"


def _affinity(pod: core_v1.Pod, labels: Mapping[str, str], name: str) -> Refusal:
    refusal = "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    if any(labels.get(key) != value for key, value in pod.spec.nodeSelector.items()):
        return refusal
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is not None and not any(_matches(term, labels, name) for term in required.nodeSelectorTerms):
        return refusal
    return None


def _matches(term: core_v1.NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    if not term.matchExpressions and not term.matchFields:
        return False
    return all(_holds(each, labels) for each in term.matchExpressions) and all(
        _holds(each, {"metadata.name": name}) for each in term.matchFields
    )


def _holds(requirement: core_v1.NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(requirement.operator)
    if operator is None:
        return False
    return selectors.Requirement(requirement.key, operator, requirement.values).matches(labels)


def _ports(pod: core_v1.Pod, others: tuple[core_v1.Pod, ...]) -> Refusal:
    taken = [port for other in others for port in host_ports(other)]
    for protocol, number, ip in host_ports(pod):
        for other_protocol, other_number, other_ip in taken:
            same = (protocol, number) == (other_protocol, other_number)
            if same and (ip == other_ip or not ip or not other_ip):
                reason = "node(s) didn't have free ports for the requested pod ports"
                return "NodePorts", f"Predicate NodePorts failed: {reason}"
    return None


def host_ports(pod: core_v1.Pod) -> list[tuple[str, int, str]]:
    """(protocol, port, address) that the pod holds on the host; the address is "" for all."""
    return [
        (port.protocol, port.host_port, "" if port.host_ip in ("0.0.0.0", "::") else port.host_ip)  # noqa: S104
        for port in build.ports(pod)
    ]

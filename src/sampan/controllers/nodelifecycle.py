"""Nodes that stop reporting: their conditions become Unknown, taints keep pods away, their pods count as not ready."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from sampan.api.types import coordination_v1, core_v1
from sampan.client.cache import Key
from sampan.controllers import pods
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Plan, Requeue, Update, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch, unless_unchanged

LEASES = "kube-node-lease"

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

CONDITION_TAINTS = {
    "MemoryPressure": ("node.kubernetes.io/memory-pressure", "True"),
    "DiskPressure": ("node.kubernetes.io/disk-pressure", "True"),
    "PIDPressure": ("node.kubernetes.io/pid-pressure", "True"),
    "NetworkUnavailable": ("node.kubernetes.io/network-unavailable", "True"),
}
SLEPT = 30.0
"""Seconds by which we may be late to look at a node before we take it that it was us who slept."""

REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Seen:
    """A sign of life, and when this process first saw it: clocks of machines need not agree."""

    sign: tuple[str, ...]
    at: float


class Lifecycle:
    """What survives between plans: when each node was last heard of, and when we last looked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heard: dict[str, Seen] = {}
        self._looked: dict[str, float] = {}

    def plan(self, node: core_v1.Node, view: View) -> Plan:
        heard, grace = self._last_heard(node, view), self._grace(node)
        if view.now - heard >= grace:
            node = yield from _lose(node, view)
        else:
            yield Requeue(heard + grace - view.now)
        wanted = taints(node, view.now)
        if wanted != node.spec.taints:
            node = yield Update(replace(node, spec=replace(node.spec, taints=wanted)))
        if _ready(node) != "True":
            yield from _mark_pods(node, view)

    def gone(self, key: Key, view: View) -> Plan:
        self._heard.pop(key[1], None)
        self._looked.pop(key[1], None)
        yield from ()

    def _grace(self, node: core_v1.Node) -> float:
        """One that has never reported has more time: it is still starting."""
        known = _ready(node) is not None
        return self._settings.node_monitor_grace_period if known else self._settings.node_startup_grace_period

    def _last_heard(self, node: core_v1.Node, view: View) -> float:
        name = node.metadata.name or ""
        lease = view.get(coordination_v1.Lease, name, LEASES)
        renewed = (lease.spec.renewTime if lease is not None and lease.spec is not None else None) or ""
        sign = (renewed, *(each.lastHeartbeatTime or "" for each in node.status.conditions if each.type == "Ready"))
        seen = self._heard.get(name)
        if seen is None:
            # Whoever starts watching gives everybody the whole time: it may be that nothing ran until now.
            seen = self._heard[name] = Seen(sign, view.now)
        elif seen.sign != sign:
            # The sign came some time since the last look. Its own time is exact if the clocks agree.
            said = max(unix(each) for each in sign)
            plausible = seen.at < said <= view.now
            seen = self._heard[name] = Seen(sign, said if plausible else view.now)
        elif not 0 <= view.now - self._looked[name] <= self._grace(node) + SLEPT:
            # We would have looked before: our machine slept, or its clock was set. Nobody could be heard meanwhile.
            seen = self._heard[name] = Seen(sign, view.now)
        self._looked[name] = view.now
        return seen.at


def _ready(node: core_v1.Node) -> str | None:
    return next((each.status for each in node.status.conditions if each.type == "Ready"), None)


def _lose(node: core_v1.Node, view: View) -> Generator[Action, Any, core_v1.Node]:
    """What the node last said about itself is not known to be true any more."""
    conditions = list(node.status.conditions)
    present = {each.type: at for at, each in enumerate(conditions)}
    now = rfc3339(view.now)
    for type in REPORTED:
        if type not in present:
            conditions.append(
                core_v1.NodeCondition(
                    type=type,
                    status="Unknown",
                    reason="NodeStatusNeverUpdated",
                    message="Kubelet never posted node status.",
                    lastHeartbeatTime=node.metadata.creationTimestamp,
                    lastTransitionTime=now,
                )
            )
        elif conditions[present[type]].status != "Unknown":
            conditions[present[type]] = replace(
                conditions[present[type]],
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                lastTransitionTime=now,
            )
    if tuple(conditions) == node.status.conditions:
        return node
    if _ready(node) == "True":
        name = node.metadata.name
        yield Emit(_about(node), "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
    lost: core_v1.Node = yield UpdateStatus(replace(node, status=replace(node.status, conditions=tuple(conditions))))
    return lost


def _about(node: core_v1.Node) -> core_v1.ObjectReference:
    """Events of nodes carry the name as uid, so that `kubectl describe node` finds them."""
    return core_v1.ObjectReference(apiVersion="v1", kind="Node", name=node.metadata.name, uid=node.metadata.name)


def taints(node: core_v1.Node, now: float) -> tuple[core_v1.Taint, ...]:
    """The node's taints as its conditions ask for; those of others stay as they are."""
    wanted: list[tuple[str, str]] = []
    conditions = {each.type: each.status for each in node.status.conditions}
    lost = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(conditions.get("Ready", ""))
    if lost is not None:
        wanted += [(lost, "NoSchedule"), (lost, "NoExecute")]
    wanted += [(key, "NoSchedule") for type, (key, bad) in CONDITION_TAINTS.items() if conditions.get(type) == bad]
    if node.spec.unschedulable:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    present = {(each.key, each.effect): each for each in node.spec.taints}
    # A node without a Ready condition is new: the taint that admission gave it stays until it reports.
    ours = {key for key, _ in CONDITION_TAINTS.values()} | {UNSCHEDULABLE}
    if "Ready" in conditions:
        ours |= {NOT_READY, UNREACHABLE}
    kept = [each for each in node.spec.taints if each.key not in ours or (each.key, each.effect) in wanted]
    added = [
        core_v1.Taint(key=key, effect=effect, timeAdded=rfc3339(now))
        for key, effect in wanted
        if (key, effect) not in present
    ]
    return (*kept, *added)


def _mark_pods(node: core_v1.Node, view: View) -> Plan:
    """Nobody can say that they work, so they serve no more; they may run on all the same."""
    for pod in tuple(view.by(core_v1.Pod, pods.BY_NODE, node.metadata.name or "")):
        if not pods.is_ready(pod):
            continue
        conditions = tuple(
            replace(each, status="False", lastTransitionTime=rfc3339(view.now)) if each.type == "Ready" else each
            for each in pod.status.conditions
        )
        yield UpdateStatus(replace(pod, status=replace(pod.status, conditions=conditions)))
        yield Emit(pod, "Warning", "NodeNotReady", "Node is not ready")


def _node_of_lease(lease: coordination_v1.Lease, view: View) -> Iterable[Key]:
    return (("", lease.metadata.name or ""),) if lease.metadata.namespace == LEASES else ()


def _renewed_only(old: coordination_v1.Lease, new: coordination_v1.Lease) -> bool:
    """Renewals need no look: the plan comes back by itself when the last one it knows grows old."""
    return False


def _told(node: core_v1.Node) -> tuple[Any, ...]:
    return (
        tuple((each.type, each.status) for each in node.status.conditions),
        node.spec.taints,
        node.spec.unschedulable,
    )


def _node_of_pod(pod: core_v1.Pod, view: View) -> Iterable[Key]:
    """A pod that calls itself ready on a node that is lost."""
    node = view.get(core_v1.Node, pod.spec.nodeName) if pod.spec.nodeName else None
    lost = node is not None and _ready(node) != "True" and pods.is_ready(pod)
    return (("", pod.spec.nodeName or ""),) if lost else ()


def declare(settings: Settings) -> Controller:
    lifecycle = Lifecycle(settings)
    return Controller(
        name="node-lifecycle-controller",
        primary=core_v1.Node,
        plan=lifecycle.plan,
        gone=lifecycle.gone,
        changed=unless_unchanged(_told),
        watches=(
            Watch(coordination_v1.Lease, _node_of_lease, _renewed_only),
            Watch(core_v1.Pod, _node_of_pod, pods.matters),
        ),
        indexes={core_v1.Pod: {pods.BY_NODE: pods.node_of}},
    )

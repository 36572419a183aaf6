"""Pods leave nodes with a NoExecute taint that they do not tolerate, or not any longer."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api.types import core_v1
from sampan.client.cache import Key
from sampan.controllers import pods
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Delete, Emit, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch, unless_unchanged

FOREVER = float("inf")


class Evictions:
    """`since` is what survives between plans: from when a pod's patience counts if the taint does not say."""

    def __init__(self) -> None:
        self._since: dict[Key, tuple[str | None, float]] = {}

    def plan(self, pod: core_v1.Pod, view: View) -> Plan:
        node = view.get(core_v1.Node, pod.spec.nodeName) if pod.spec.nodeName else None
        leaving = pod.metadata.deletionTimestamp is not None or pods.is_terminal(pod)
        left = FOREVER if node is None or leaving else remaining(pod, node, self._first_seen(pod, view), view.now)
        if left > 0:
            if left == FOREVER:
                self._since.pop(view.key, None)
            else:
                yield Requeue(left)
            return
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        yield Emit(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {name}")
        why = "Taint manager: deleting due to NoExecute taint"
        yield UpdateStatus(disrupted(pod, "DeletionByTaintManager", why, view.now))
        yield Delete(pod)

    def gone(self, key: Key, view: View) -> Plan:
        self._since.pop(key, None)
        yield from ()

    def _first_seen(self, pod: core_v1.Pod, view: View) -> float:
        uid, since = self._since.get(view.key, (None, 0.0))
        if uid != pod.metadata.uid:
            since = view.now
            self._since[view.key] = pod.metadata.uid, since
        return since


def remaining(pod: core_v1.Pod, node: core_v1.Node, first_seen: float, now: float) -> float:
    """Seconds that the node's taints leave to the pod: 0 for none, infinite when it tolerates all of them."""
    left = FOREVER
    for taint in node.spec.taints:
        if taint.effect != "NoExecute":
            continue
        tolerating = [each for each in pod.spec.tolerations if tolerates(each, taint)]
        if not tolerating:
            return 0.0
        limits = [each.tolerationSeconds for each in tolerating if each.tolerationSeconds is not None]
        if limits:
            since = max(unix(taint.timeAdded) or first_seen, unix(pod.metadata.creationTimestamp))
            left = min(left, max(0.0, since + min(limits) - now))
    return left


def tolerates(toleration: core_v1.Toleration, taint: core_v1.Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def disrupted(pod: core_v1.Pod, reason: str, message: str, now: float) -> core_v1.Pod:
    """The pod with the condition that tells Jobs and people that it did not fail by itself."""
    made = core_v1.PodCondition(
        type="DisruptionTarget", status="True", reason=reason, message=message, lastTransitionTime=rfc3339(now)
    )
    others = tuple(each for each in pod.status.conditions if each.type != made.type)
    return replace(pod, status=replace(pod.status, conditions=(*others, made)))


def _pods_on(node: core_v1.Node, view: View) -> Iterable[Key]:
    if not any(taint.effect == "NoExecute" for taint in node.spec.taints):
        return ()
    on_node = view.by(core_v1.Pod, pods.BY_NODE, node.metadata.name or "")
    return [(pod.metadata.namespace or "", pod.metadata.name or "") for pod in on_node]


def declare(settings: Settings) -> Controller:
    evictions = Evictions()
    return Controller(
        name="taint-eviction-controller",
        primary=core_v1.Pod,
        plan=evictions.plan,
        gone=evictions.gone,
        changed=unless_unchanged(lambda pod: (pod.spec.nodeName, pod.spec.tolerations)),
        watches=(Watch(core_v1.Node, _pods_on, unless_unchanged(lambda node: node.spec.taints)),),
        indexes={core_v1.Pod: {pods.BY_NODE: pods.node_of}},
        workers=8,
    )

"""Pods that nobody will ever finish: on nodes that are gone, deleted before they were bound, or too many finished."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.cache import Key
from sampan.client.client import Client
from sampan.controllers import pods
from sampan.controllers.settings import Settings
from sampan.controllers.tainteviction import disrupted
from sampan.runtime.actions import Call, Delete, Plan, Requeue, UpdateStatus, View
from sampan.runtime.controller import Controller, Watch, unless_unchanged

QUARANTINE = 40.0
"""Seconds that a node must be gone before its pods are taken for lost."""

FINISHED = "finished"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def finished(pod: core_v1.Pod) -> Iterable[str]:
    """Index function."""
    return ("yes",) if pods.is_terminal(pod) else ()


class Collector:
    """`missing` is what survives between plans: since when nodes have been gone."""

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.terminated_pod_gc_threshold
        self._missing: dict[str, float] = {}

    def plan(self, pod: core_v1.Pod, view: View) -> Plan:
        node = pod.spec.nodeName or ""
        if not node:
            if pod.metadata.deletionTimestamp is not None:
                yield Delete(pod, grace=0)
            return
        present = view.get(core_v1.Node, node)
        if present is None:
            yield from self._orphan(pod, node, view)
        else:
            self._missing.pop(node, None)
            if _is_out_of_service(present) and pod.metadata.deletionTimestamp is not None:
                yield from _remove(pod, "PodGC: node is out-of-service", view)
                return
        if pods.is_terminal(pod) and self._is_too_much(pod, view):
            yield Delete(pod, grace=0)

    def _orphan(self, pod: core_v1.Pod, node: str, view: View) -> Plan:
        since = self._missing.setdefault(node, view.now)
        wait = since + QUARANTINE - view.now
        if wait > 0:
            yield Requeue(wait)
            return
        if (yield Call(lambda client: exists(client, node))):
            self._missing.pop(node, None)
            return
        yield from _remove(pod, "PodGC: node no longer exists", view)

    def _is_too_much(self, pod: core_v1.Pod, view: View) -> bool:
        """Among the oldest of those finished pods that exceed the threshold."""
        done = view.by(core_v1.Pod, FINISHED, "yes")
        excess = len(done) - self._threshold
        if self._threshold <= 0 or excess <= 0:
            return False
        oldest = heapq.nsmallest(excess, done, key=lambda each: each.metadata.creationTimestamp or "")
        return any(each.metadata.uid == pod.metadata.uid for each in oldest)


def _remove(pod: core_v1.Pod, why: str, view: View) -> Plan:
    """Whoever waits for the pod learns that it failed, and why; then it goes at once."""
    if not pods.is_terminal(pod):
        marked = disrupted(pod, "DeletionByPodGC", why, view.now)
        pod = yield UpdateStatus(replace(marked, status=replace(marked.status, phase="Failed")))
    yield Delete(pod, grace=0)


def _is_out_of_service(node: core_v1.Node) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)
    return not ready and any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


async def exists(client: Client, node: str) -> bool:
    try:
        await client.get(core_v1.Node, node)
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return True


def _matters(pod: core_v1.Pod) -> tuple[Any, ...]:
    return pod.spec.nodeName, pod.metadata.deletionTimestamp, pods.is_terminal(pod)


def _pods_on(node: core_v1.Node, view: View) -> Iterable[Key]:
    if view.get(core_v1.Node, node.metadata.name or "") is not None and not _is_out_of_service(node):
        return ()
    on_node = view.by(core_v1.Pod, pods.BY_NODE, node.metadata.name or "")
    return [(pod.metadata.namespace or "", pod.metadata.name or "") for pod in on_node]


def declare(settings: Settings) -> Controller:
    return Controller(
        name="pod-garbage-collector-controller",
        primary=core_v1.Pod,
        plan=Collector(settings).plan,
        changed=unless_unchanged(_matters),
        watches=(Watch(core_v1.Node, _pods_on, unless_unchanged(_is_out_of_service)),),
        indexes={core_v1.Pod: {pods.BY_NODE: pods.node_of, FINISHED: finished}},
    )

"""Nodes and pods by one line each, and a scheduler's inside without a server."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sampan.api.types import core_v1, meta_v1
from sampan.scheduler import explain
from sampan.scheduler.arrays import np
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profiles
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.volumes import Volumes

_serial = itertools.count(1)


def node(
    name: str,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    zone: str = "",
    taints: Sequence[str] = (),
    **more: Any,
) -> core_v1.Node:
    """Taints are written `key=value:effect`."""
    every = {
        "kubernetes.io/hostname": name,
        **({"topology.kubernetes.io/zone": zone} if zone else {}),
        **(labels or {}),
    }
    allocatable = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": "100Gi"}
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(name=name, labels=every, uid=f"node-{name}"),
        spec=core_v1.NodeSpec(taints=tuple(map(taint, taints)), unschedulable=more.pop("unschedulable", None)),
        status=core_v1.NodeStatus(allocatable=allocatable | more.pop("allocatable", {}), images=more.pop("images", ())),
    )


def taint(text: str) -> core_v1.Taint:
    pair, effect = text.rsplit(":", 1)
    key, _, value = pair.partition("=")
    return core_v1.Taint(key=key, value=value or None, effect=effect)


def pod(
    name: str = "",
    cpu: str = "",
    memory: str = "",
    labels: Mapping[str, str] | None = None,
    namespace: str = "default",
    on: str = "",
    priority: int | None = None,
    ports: Sequence[int] = (),
    requests: Mapping[str, str] | None = None,
    **spec: Any,
) -> core_v1.Pod:
    """`on` is the node it runs on. `spec` are further fields of the spec as documents."""
    serial = next(_serial)
    wanted = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}), **(requests or {})}
    container = {
        "name": "c",
        "image": spec.pop("image", "app"),
        "resources": {"requests": wanted},
        "ports": [{"containerPort": port, "hostPort": port} for port in ports],
    }
    document = {"containers": [container], **spec}
    if on:
        document["nodeName"] = on
    if priority is not None:
        document["priority"] = priority
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name or f"pod-{serial}", namespace=namespace, uid=f"uid-{name or serial}", labels=labels or {}
        ),
        spec=msgspec.convert(document, core_v1.PodSpec),
    )


def ending(pod: core_v1.Pod) -> core_v1.Pod:
    meta = msgspec.structs.replace(pod.metadata, deletionTimestamp="2027-01-15T08:00:00Z")
    return msgspec.structs.replace(pod, metadata=meta)


def near(key: str, labels: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A pod affinity term."""
    return {"topologyKey": key, "labelSelector": {"matchLabels": dict(labels)}, **more}


def required(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    """`affinity` of a pod: kind is podAffinity or podAntiAffinity."""
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferred(kind: str, *terms: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    wishes = [{"weight": weight, "podAffinityTerm": term} for weight, term in terms]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": wishes}}


def spread(key: str, labels: Mapping[str, str], skew: int = 1, hard: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(labels)},
        **more,
    }


HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class Lab:
    """A snapshot with a planner on it."""

    def __init__(
        self,
        *nodes: core_v1.Node,
        seed: int = 1,
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        volumes: Volumes | None = None,
        **more: Any,
    ) -> None:
        self.namespaces = dict(namespaces or {})
        self.snapshot = Snapshot(lambda name: self.namespaces.get(name, {}), volumes, **more)
        self.planner = Planner(self.snapshot, seed=seed)
        self.profiles = Profiles()
        self._profiles_kept: list[Any] = []
        for each in nodes:
            self.snapshot.put_node(each)

    def profile(self, pod: core_v1.Pod) -> Any:
        profile = self.profiles.of(pod)
        self._profiles_kept.append(profile)
        return profile

    def place(self, *pods: core_v1.Pod) -> None:
        """Pods that have a node."""
        for each in pods:
            self.snapshot.put_pod(each, self.profile(each), each.spec.nodeName or "")

    def choose(self, pod: core_v1.Pod) -> str:
        """The node that the pod would get, "" for none."""
        row = self.planner.choose(self.profile(pod), pod.metadata.uid or "", pod.spec.priority or 0)
        return "" if row is None else self.snapshot.name(row)

    def schedule(self, pod: core_v1.Pod) -> str:
        """Choose, and place it there."""
        name = self.choose(pod)
        if name:
            self.snapshot.put_pod(pod, self.profile(pod), name)
        return name

    def able(self, pod: core_v1.Pod) -> set[str]:
        """The nodes that can take the pod."""
        case = self.planner.case(self.profile(pod))
        able = self.planner.able(case, pod.metadata.uid or "", pod.spec.priority or 0)
        rows = np.flatnonzero(case.base >= 0 if able is None else able)
        return {self.snapshot.name(int(row)) for row in rows}

    def why(self, pod: core_v1.Pod) -> str:
        profile = self.profile(pod)
        blocker = self.snapshot.volumes.blocker(profile)
        return explain.failure(self.planner, profile, blocker, pod.metadata.uid or "", pod.spec.priority or 0).message

"""The pods of a DaemonSet, node by node: where they belong, where they are, and what an update does to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import nodematch, owners, pods, revisions, shares
from sampan.runtime.actions import View

TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Daemons keep running on nodes in trouble; those in the host's network also where the pod network is missing."""
NO_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and the daemon pods on it: at most one of each kind once superfluous ones are gone."""

    node: core_v1.Node
    wanted: bool
    tolerated: bool
    old: core_v1.Pod | None
    new: core_v1.Pod | None
    surplus: tuple[core_v1.Pod, ...]
    """Failed ones, and all but the oldest of several."""

    @property
    def name(self) -> str:
        return self.node.metadata.name or ""


def described(daemon: apps_v1.DaemonSet, hash: str, node: str) -> core_v1.Pod:
    """The pod for one node; the scheduler binds it there and nowhere else."""
    template = daemon.spec.template
    metadata, spec = template.metadata or meta_v1.ObjectMeta(), template.spec or core_v1.PodSpec()
    pinned = core_v1.NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{(daemon.metadata.name or '')[:57]}-",
            namespace=daemon.metadata.namespace,
            labels={**metadata.labels, revisions.HASH: hash},
            annotations=metadata.annotations,
            finalizers=metadata.finalizers,
            ownerReferences=(owners.reference(daemon, apps.DAEMON_SET),),
        ),
        spec=replace(spec, affinity=_pinned(spec.affinity, pinned), tolerations=tolerations(spec)),
    )


def _pinned(affinity: core_v1.Affinity | None, node: core_v1.NodeSelectorRequirement) -> core_v1.Affinity:
    """What the author required of nodes was looked at before; the name takes its place, as upstream does it."""
    before = affinity or core_v1.Affinity()
    required = core_v1.NodeSelector(nodeSelectorTerms=(core_v1.NodeSelectorTerm(matchFields=(node,)),))
    node_affinity = before.nodeAffinity or core_v1.NodeAffinity()
    return replace(before, nodeAffinity=replace(node_affinity, requiredDuringSchedulingIgnoredDuringExecution=required))


def tolerations(spec: core_v1.PodSpec) -> tuple[core_v1.Toleration, ...]:
    more = (*TOLERATED, NO_NETWORK) if spec.hostNetwork else TOLERATED
    added = tuple(core_v1.Toleration(key=key, operator="Exists", effect=effect) for key, effect in more)
    return (*spec.tolerations, *(each for each in added if each not in spec.tolerations))


def places(daemon: apps_v1.DaemonSet, hash: str, owned: Iterable[core_v1.Pod], view: View) -> list[Place]:
    by_node: dict[str, list[core_v1.Pod]] = {}
    for pod in owned:
        by_node.setdefault(node_of(pod), []).append(pod)
    spec = daemon.spec.template.spec or core_v1.PodSpec()
    found = []
    for node in sorted(view.all(core_v1.Node), key=lambda each: each.metadata.name or ""):
        here = by_node.pop(node.metadata.name or "", [])
        found.append(_place(spec, hash, node, here))
    return found


def homeless(owned: Iterable[core_v1.Pod], view: View) -> list[core_v1.Pod]:
    """Pods that wait for a node that is gone."""
    return [
        pod
        for pod in owned
        if not pod.spec.nodeName and pods.is_active(pod) and view.get(core_v1.Node, node_of(pod)) is None
    ]


def node_of(pod: core_v1.Pod) -> str:
    """Where a daemon's pod is, or is to be once the scheduler has bound it."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    for term in required.nodeSelectorTerms if required else ():
        for field in term.matchFields:
            if field.key == "metadata.name" and field.values:
                return field.values[0]
    return ""


def _place(spec: core_v1.PodSpec, hash: str, node: core_v1.Node, here: Sequence[core_v1.Pod]) -> Place:
    fits = nodematch.selects(spec, node) and spec.nodeName in (None, "", node.metadata.name)
    wanted = fits and nodematch.tolerates_all(tolerations(spec), node.spec.taints, ("NoSchedule", "NoExecute"))
    tolerated = fits and nodematch.tolerates_all(tolerations(spec), node.spec.taints, ("NoExecute",))
    failed = [pod for pod in here if pods.is_terminal(pod)]
    alive = [pod for pod in here if not pods.is_terminal(pod) and pod.metadata.deletionTimestamp is None]
    alive.sort(key=lambda pod: (not pod.spec.nodeName, pod.metadata.creationTimestamp or "", pod.metadata.name or ""))
    new = [pod for pod in alive if pod.metadata.labels.get(revisions.HASH) == hash]
    old = [pod for pod in alive if pod.metadata.labels.get(revisions.HASH) != hash]
    surplus = tuple(pod for pod in (*failed, *new[1:], *old[1:]) if pod.metadata.deletionTimestamp is None)
    return Place(node, wanted, tolerated, next(iter(old), None), next(iter(new), None), surplus)


def roll(daemon: apps_v1.DaemonSet, found: Sequence[Place], now: float) -> tuple[list[str], list[core_v1.Pod]]:
    """Nodes that get a new pod beside their old one, and old pods that go."""
    rolling = daemon.spec.updateStrategy.rollingUpdate or apps_v1.RollingUpdateDaemonSet(maxUnavailable=1)
    surge = shares.share(rolling.maxSurge, len(found), up=True)
    unavailable = shares.share(rolling.maxUnavailable, len(found), up=True)
    if not surge and not unavailable:
        unavailable = 1

    def works(pod: core_v1.Pod | None) -> bool:
        return pod is not None and not pods.available_in(pod, daemon.spec.minReadySeconds or 0, now)

    outdated = [place for place in found if place.old is not None]
    broken = [place.old for place in outdated if place.old and not works(place.old) and not place.new]
    replaced = [place.old for place in outdated if place.old and works(place.new)]
    if surge:
        under_way = sum(place.new is not None for place in outdated)
        room = surge - under_way
        waiting = [place.name for place in outdated if place.new is None and works(place.old)]
        return waiting[: max(0, room)], [*broken, *replaced]
    missing = sum(not (works(place.old) or works(place.new)) for place in found)
    candidates = [place.old for place in outdated if place.old and works(place.old)]
    return [], [*broken, *candidates[: max(0, unavailable - missing)]]

"""What the scheduler knows of a pod, compiled once and shared by all pods that ask for the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakValueDictionary

import msgspec

from sampan.api.types import core_v1
from sampan.scheduler import requests, terms

_encode = msgspec.json.Encoder().encode


class Affinity(NamedTuple):
    """The pod's wishes about other pods."""

    near: tuple[terms.Term, ...] = ()
    """All required."""
    apart: tuple[terms.Term, ...] = ()
    """All required."""
    preferred: tuple[terms.Weighted, ...] = ()


class Profile:
    """Everything about a pod that decides where it may and should run. Equal pods share one, by identity."""

    __slots__ = (
        "__weakref__",
        "claims",
        "demand",
        "images",
        "labels",
        "namespace",
        "owner",
        "pods",
        "ports",
        "spec",
        "spread",
    )

    def __init__(self, pod: core_v1.Pod) -> None:
        meta, spec = pod.metadata, pod.spec
        self.spec = spec
        self.namespace = meta.namespace or ""
        self.labels: Mapping[str, str] = meta.labels
        self.demand = requests.of_pod(pod)
        self.ports = requests.host_ports(pod)
        self.images = tuple(c.image or "" for c in (*spec.initContainers, *spec.containers))
        self.claims = claims(pod)
        self.pods = affinity(pod)
        self.owner = owner(pod)
        self.spread = tuple(terms.spread(constraint, meta.labels) for constraint in spec.topologySpreadConstraints)

    @property
    def required(self) -> core_v1.NodeSelector | None:
        node = self.spec.affinity.nodeAffinity if self.spec.affinity else None
        return node.requiredDuringSchedulingIgnoredDuringExecution if node else None

    @property
    def preferred(self) -> tuple[core_v1.PreferredSchedulingTerm, ...]:
        node = self.spec.affinity.nodeAffinity if self.spec.affinity else None
        return node.preferredDuringSchedulingIgnoredDuringExecution if node else ()


def affinity(pod: core_v1.Pod) -> Affinity:
    wishes = pod.spec.affinity
    if wishes is None or (wishes.podAffinity is None and wishes.podAntiAffinity is None):
        return NONE
    near = wishes.podAffinity or core_v1.PodAffinity()
    apart = wishes.podAntiAffinity or core_v1.PodAntiAffinity()
    namespace, labels = pod.metadata.namespace or "", pod.metadata.labels

    def compiled(source: core_v1.PodAffinityTerm) -> terms.Term:
        return terms.term(source, namespace, labels)

    return Affinity(
        tuple(map(compiled, near.requiredDuringSchedulingIgnoredDuringExecution)),
        tuple(map(compiled, apart.requiredDuringSchedulingIgnoredDuringExecution)),
        (
            *(
                terms.Weighted(compiled(each.podAffinityTerm), each.weight)
                for each in near.preferredDuringSchedulingIgnoredDuringExecution
            ),
            *(
                terms.Weighted(compiled(each.podAffinityTerm), -each.weight)
                for each in apart.preferredDuringSchedulingIgnoredDuringExecution
            ),
        ),
    )


NONE = Affinity()


def owner(pod: core_v1.Pod) -> tuple[str, str, str]:
    """(apiVersion, kind, name) of the pod's controller."""
    for reference in pod.metadata.ownerReferences:
        if reference.controller:
            return reference.apiVersion, reference.kind, reference.name
    return "", "", ""


def claims(pod: core_v1.Pod) -> tuple[str, ...]:
    """Names of the pod's persistent volume claims; those of its ephemeral volumes are named after it."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            found.append(volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral is not None:
            found.append(f"{pod.metadata.name}-{volume.name}")
    return tuple(found)


class Profiles:
    """Gives equal pods the same profile, for as long as one of them is about."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Profile] = WeakValueDictionary()

    def of(self, pod: core_v1.Pod) -> Profile:
        """Raises SelectorError for a selector that cannot be understood."""
        signature = _signature(pod)
        profile = self._known.get(signature)
        if profile is None:
            profile = self._known[signature] = Profile(pod)
        return profile


def _signature(pod: core_v1.Pod) -> bytes:
    """Names that differ without meaning (the pod's, its volumes') do not count."""
    meta, spec, status = pod.metadata, pod.spec, pod.status
    containers = [(c.image, c.ports, c.resources, c.restartPolicy) for c in (*spec.initContainers, *spec.containers)]
    resized = [
        (s.name, s.resources, s.allocatedResources)
        for s in (*status.containerStatuses, *status.initContainerStatuses)
        if s.resources is not None or s.allocatedResources
    ]
    return _encode(
        (
            meta.namespace,
            meta.labels,
            owner(pod),
            containers,
            len(spec.initContainers),
            spec.affinity,
            spec.hostNetwork,
            spec.nodeSelector,
            spec.overhead,
            spec.resources,
            spec.tolerations,
            spec.topologySpreadConstraints,
            claims(pod) if spec.volumes else (),
            resized,
        )
    )

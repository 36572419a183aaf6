"""A Deployment's ReplicaSets, told apart, and the arithmetic of its strategy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec.structs import replace

from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import shares

HASH_LABEL = "pod-template-hash"


def size(owner: Any) -> int:
    """spec.replicas with its default."""
    replicas = owner.spec.replicas
    return 1 if replicas is None else int(replicas)


def available(owner: apps_v1.ReplicaSet) -> int:
    return owner.status.availableReplicas or 0


def by_age(sets: Iterable[apps_v1.ReplicaSet]) -> list[apps_v1.ReplicaSet]:
    """Oldest first; names decide between those of one second."""
    return sorted(sets, key=lambda each: (each.metadata.creationTimestamp or "", each.metadata.name or ""))


@dataclass(frozen=True, slots=True)
class Sets:
    """`new` has the Deployment's template, if such a one exists yet; `old` are all others, oldest first."""

    new: apps_v1.ReplicaSet | None
    old: tuple[apps_v1.ReplicaSet, ...]

    @staticmethod
    def of(deployment: apps_v1.Deployment, owned: Sequence[apps_v1.ReplicaSet]) -> Sets:
        ordered = by_age(owned)
        template = bare(deployment.spec.template)
        # When a collision of names has left several with this template, the oldest is the one.
        new = next((each for each in ordered if bare(each.spec.template) == template), None)
        return Sets(new, tuple(each for each in ordered if each is not new))

    @property
    def all(self) -> tuple[apps_v1.ReplicaSet, ...]:
        return (*self.old, self.new) if self.new is not None else self.old

    @property
    def active(self) -> tuple[apps_v1.ReplicaSet, ...]:
        return tuple(each for each in self.all if size(each) > 0)

    def with_(self, changed: apps_v1.ReplicaSet) -> Sets:
        """The same sets after one of them has changed."""
        uid = changed.metadata.uid
        if self.new is not None and self.new.metadata.uid == uid:
            return replace_new(self, changed)
        return Sets(self.new, tuple(changed if each.metadata.uid == uid else each for each in self.old))


def replace_new(sets: Sets, new: apps_v1.ReplicaSet) -> Sets:
    return Sets(new, sets.old)


def bare(template: core_v1.PodTemplateSpec | None) -> core_v1.PodTemplateSpec:
    """The template as its author wrote it: without the hash."""
    template = template or core_v1.PodTemplateSpec()
    metadata = template.metadata or meta_v1.ObjectMeta()
    if HASH_LABEL not in metadata.labels:
        return template
    labels = {name: value for name, value in metadata.labels.items() if name != HASH_LABEL}
    return replace(template, metadata=replace(metadata, labels=labels))


class Margins(NamedTuple):
    """How many pods more and fewer than wanted a rollout may have."""

    surge: int
    unavailable: int


def margins(deployment: apps_v1.Deployment) -> Margins:
    """Percentages of replicas: surge rounds up, unavailable down; never both 0, or nothing could move."""
    spec = deployment.spec
    if spec.strategy.type == "Recreate":
        return Margins(0, 0)
    rolling, replicas = spec.strategy.rollingUpdate or apps_v1.RollingUpdateDeployment(), size(deployment)
    surge = shares.share(rolling.maxSurge, replicas, up=True)
    unavailable = shares.share(rolling.maxUnavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Margins(surge, min(unavailable, replicas) if replicas else unavailable)

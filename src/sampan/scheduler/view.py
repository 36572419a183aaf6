"""The caches that the scheduler reads, and the snapshot made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api.types import apps_v1, core_v1, policy_v1, storage_v1
from sampan.client.cache import NAMESPACE
from sampan.client.informer import Informers
from sampan.scheduler.groups import Groups
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.volumes import Volumes

BY_CLASS = "storageClassName"


def _class_of(volume: core_v1.PersistentVolume) -> tuple[str, ...]:
    return (volume.spec.storageClassName or "",)


class Caches:
    def __init__(self, informers: Informers) -> None:
        self.nodes = informers.get(core_v1.Node)
        self.pods = informers.get(core_v1.Pod)
        self.namespaces = informers.get(core_v1.Namespace)
        self.services = informers.get(core_v1.Service)
        self.replicationcontrollers = informers.get(core_v1.ReplicationController)
        self.replicasets = informers.get(apps_v1.ReplicaSet)
        self.statefulsets = informers.get(apps_v1.StatefulSet)
        self.claims = informers.get(core_v1.PersistentVolumeClaim)
        self.volumes = informers.get(core_v1.PersistentVolume, indexes={BY_CLASS: _class_of})
        self.classes = informers.get(storage_v1.StorageClass)
        self.budgets = informers.get(policy_v1.PodDisruptionBudget)

    def all(self) -> tuple[Any, ...]:
        return tuple(vars(self).values())

    async def synced(self) -> None:
        for informer in self.all():
            await informer.synced.wait()

    def snapshot(self) -> Snapshot:
        """An empty one that reads everything but nodes and pods from here."""
        return Snapshot(
            self._namespace_labels,
            Volumes(
                lambda namespace, name: self.claims.get(name, namespace),
                self.volumes.get,
                self.classes.get,
                lambda name: tuple(self.volumes.by(BY_CLASS, name)),
            ),
            Groups(
                lambda namespace: self.services.by(NAMESPACE, namespace),
                {
                    ("apps/v1", "ReplicaSet"): lambda namespace, name: self.replicasets.get(name, namespace),
                    ("apps/v1", "StatefulSet"): lambda namespace, name: self.statefulsets.get(name, namespace),
                    ("v1", "ReplicationController"): lambda namespace, name: self.replicationcontrollers.get(
                        name, namespace
                    ),
                },
            ),
        )

    def all_budgets(self) -> Iterable[policy_v1.PodDisruptionBudget]:
        return self.budgets.all()

    def _namespace_labels(self, name: str) -> Mapping[str, str]:
        namespace = self.namespaces.get(name)
        return namespace.metadata.labels if namespace is not None else {}

"""The group that a pod belongs to, for the spreading that pods get when they ask for none.

It is what selects the pod together with its like: the services over it and the selector of its controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sampan.api import selectors
from sampan.api.selectors import Requirement, Selector
from sampan.api.types import core_v1
from sampan.scheduler.profile import Profile
from sampan.scheduler.terms import Spread

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"

Services = Callable[[str], Iterable[core_v1.Service]]
Controllers = Mapping[tuple[str, str], Callable[[str, str], Any]]
"""By (apiVersion, kind): (namespace, name) -> the ReplicaSet, StatefulSet or ReplicationController, or None."""


class Groups:
    def __init__(self, services: Services = lambda namespace: (), controllers: Controllers | None = None) -> None:
        self._services = services
        self._controllers = controllers or {}

    def selector(self, profile: Profile) -> Selector | None:
        """None for a pod that belongs to no group."""
        requirements: set[Requirement] = set()
        for service in self._services(profile.namespace):
            wanted = service.spec.selector
            if wanted and selectors.of_map(wanted).matches(profile.labels):
                requirements.update(selectors.of_map(wanted).requirements)
        version, kind, name = profile.owner
        find = self._controllers.get((version, kind))
        controller = find(profile.namespace, name) if find else None
        if controller is not None:
            wanted = controller.spec.selector
            selector = selectors.of_map(wanted) if isinstance(wanted, Mapping) else selectors.label_selector(wanted)
            requirements.update(selector.requirements)
        return Selector(requirements) if requirements else None

    def constraints(self, profile: Profile) -> tuple[Spread, ...]:
        """The soft constraints of a pod without constraints of its own: over hosts, less strictly over zones."""
        selector = self.selector(profile)
        if selector is None:
            return ()
        return tuple(
            Spread(selector, key, skew, hard=False, min_domains=1, honour_affinity=True, honour_taints=False)
            for key, skew in ((HOSTNAME, 3), (ZONE, 5))
        )

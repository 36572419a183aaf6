"""The next steps of a StatefulSet: what is missing, then what is too much, then what is outdated.

With podManagementPolicy OrderedReady each step waits until all pods of lower ordinals run and are ready; with
Parallel nobody waits, except updates for maxUnavailable.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, core_v1
from sampan.controllers import pods, shares
from sampan.controllers.statefulset import identity
from sampan.runtime.actions import Action, Create, Delete, Emit, Plan, Update, View

Revision = apps_v1.ControllerRevision
Going = Generator[Action, Any, bool]
"""Gives whether the next pod may be looked at now."""


@dataclass(frozen=True, slots=True)
class Members:
    """The pods of a set by ordinal."""

    by_ordinal: dict[int, core_v1.Pod]
    wanted: range
    min_ready: int
    now: float

    @staticmethod
    def of(owner: apps_v1.StatefulSet, owned: Iterable[core_v1.Pod], now: float) -> Members:
        found = {ordinal: pod for pod in owned if (ordinal := identity.ordinal_of(owner, pod)) is not None}
        start = identity.start_of(owner)
        replicas = 1 if owner.spec.replicas is None else owner.spec.replicas
        return Members(found, range(start, start + replicas), owner.spec.minReadySeconds or 0, now)

    @property
    def all(self) -> list[core_v1.Pod]:
        return [self.by_ordinal[ordinal] for ordinal in sorted(self.by_ordinal)]

    @property
    def condemned(self) -> list[int]:
        """Ordinals that are too many, the highest first."""
        return sorted((each for each in self.by_ordinal if each not in self.wanted), reverse=True)

    def works(self, pod: core_v1.Pod | None) -> bool:
        """It runs, is ready and has been so for minReadySeconds, and nobody has asked it to go."""
        if pod is None or pods.phase(pod) != "Running" or pod.metadata.deletionTimestamp is not None:
            return False
        return not pods.available_in(pod, self.min_ready, self.now)

    @property
    def first_unhealthy(self) -> int | None:
        return next((each for each in sorted(self.by_ordinal) if not self.works(self.by_ordinal[each])), None)


def converge(owner: apps_v1.StatefulSet, members: Members, current: Revision, update: Revision, view: View) -> Plan:
    patient = owner.spec.podManagementPolicy != "Parallel"
    for ordinal in members.wanted:
        revision = current if _is_held_back(owner, ordinal) else update
        goes_on = yield from _keep(owner, members, ordinal, revision, view)
        if patient and not goes_on:
            return
    yield from _claims_of_condemned(owner, members, view)
    for ordinal in members.condemned:
        goes_on = yield from _remove(owner, members, ordinal, patient)
        if patient and not goes_on:
            return
    if owner.spec.updateStrategy.type != "OnDelete":
        yield from _update(owner, members, update)


def _partition(owner: apps_v1.StatefulSet) -> int:
    rolling = owner.spec.updateStrategy.rollingUpdate
    return (rolling.partition or 0) if rolling is not None else 0


def _is_held_back(owner: apps_v1.StatefulSet, ordinal: int) -> bool:
    """Below the partition pods stay with, and come back as, what they were."""
    rolling = owner.spec.updateStrategy.type in (None, "RollingUpdate")
    return rolling and ordinal < identity.start_of(owner) + _partition(owner)


# --- one pod that should be there


def _keep(owner: apps_v1.StatefulSet, members: Members, ordinal: int, revision: Revision, view: View) -> Going:
    pod = members.by_ordinal.get(ordinal)
    if pod is None:
        yield from _create(owner, ordinal, revision, view)
        return False
    if pods.is_terminal(pod):
        if pod.metadata.deletionTimestamp is None:
            name = f"{pod.metadata.namespace}/{pod.metadata.name}"
            message = f"StatefulSet {owner.metadata.namespace}/{owner.metadata.name} is recreating failed Pod {name}"
            yield Emit(owner, "Warning", f"Recreating{pods.phase(pod)}Pod", message)
            yield from _delete(owner, pod)
        return False
    if pod.metadata.deletionTimestamp is not None:
        return False
    fixed = identity.identified(owner, pod)
    if fixed is not pod:
        yield Update(fixed)
    for claim in identity.claims(owner, ordinal):
        yield from _own_claim(owner, claim, pod, view, condemned=False)
    return members.works(pod)


def _create(owner: apps_v1.StatefulSet, ordinal: int, revision: Revision, view: View) -> Plan:
    name, pod_name = owner.metadata.name, identity.name(owner, ordinal)
    for claim in identity.claims(owner, ordinal):
        made = replace(
            claim,
            metadata=replace(
                claim.metadata, ownerReferences=identity.claim_owners(owner, claim, None, condemned=False)
            ),
        )
        if view.get(core_v1.PersistentVolumeClaim, claim.metadata.name or "", claim.metadata.namespace or "") is None:
            what = f"create Claim {claim.metadata.name} Pod {pod_name} in StatefulSet {name}"
            yield from _try(owner, Create(made), f"{what} success", "Create", exists_is_fine=True)
    pod = identity.pod(owner, ordinal, revision)
    yield from _try(owner, Create(pod), f"create Pod {pod_name} in StatefulSet {name} successful", "Create")


def _delete(owner: apps_v1.StatefulSet, pod: core_v1.Pod) -> Plan:
    message = f"delete Pod {pod.metadata.name} in StatefulSet {owner.metadata.name} successful"
    yield from _try(owner, Delete(pod), message, "Delete")


def _try(
    owner: apps_v1.StatefulSet, action: Create | Delete, message: str, word: str, *, exists_is_fine: bool = False
) -> Plan:
    try:
        yield action
    except StatusError as error:
        if exists_is_fine and error.reason == "AlreadyExists":
            return
        failed = message.rpartition(" ")[0]
        yield Emit(owner, "Warning", f"Failed{word}", f"{failed} failed error: {error}")
        raise
    yield Emit(owner, "Normal", f"Successful{word}", message)


# --- pods that are too many


def _remove(owner: apps_v1.StatefulSet, members: Members, ordinal: int, patient: bool) -> Going:
    pod = members.by_ordinal[ordinal]
    if pod.metadata.deletionTimestamp is not None:
        return False
    if patient and not members.works(pod) and ordinal != members.first_unhealthy:
        return False
    yield from _delete(owner, pod)
    return False


def _claims_of_condemned(owner: apps_v1.StatefulSet, members: Members, view: View) -> Plan:
    for ordinal in members.condemned:
        for claim in identity.claims(owner, ordinal):
            yield from _own_claim(owner, claim, members.by_ordinal[ordinal], view, condemned=True)


def _own_claim(
    owner: apps_v1.StatefulSet,
    claim: core_v1.PersistentVolumeClaim,
    pod: core_v1.Pod,
    view: View,
    *,
    condemned: bool,
) -> Plan:
    """Whoever owns the claim takes it along."""
    there = view.get(core_v1.PersistentVolumeClaim, claim.metadata.name or "", claim.metadata.namespace or "")
    if there is None or there.metadata.deletionTimestamp is not None:
        return
    wanted = identity.claim_owners(owner, there, pod, condemned=condemned)
    if wanted != there.metadata.ownerReferences:
        yield Update(replace(there, metadata=replace(there.metadata, ownerReferences=wanted)))


# --- pods that are outdated


def _update(owner: apps_v1.StatefulSet, members: Members, update: Revision) -> Plan:
    """From the highest ordinal down to the partition, never more than maxUnavailable at a time."""
    rolling = owner.spec.updateStrategy.rollingUpdate
    most = max(1, shares.share(rolling.maxUnavailable if rolling else None, len(members.wanted), up=True))
    missing = sum(not members.works(members.by_ordinal.get(each)) for each in members.wanted)
    for ordinal in reversed(members.wanted):
        pod = members.by_ordinal.get(ordinal)
        if _is_held_back(owner, ordinal) or pod is None:
            return
        works = members.works(pod)
        outdated = identity.revision_of(pod) != update.metadata.name
        if outdated and pod.metadata.deletionTimestamp is None:
            if works and missing >= most:
                return
            missing += works
            yield from _delete(owner, pod)
            works = False
        if not works and missing >= most:
            return

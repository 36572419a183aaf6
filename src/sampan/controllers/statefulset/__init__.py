"""StatefulSets: pods with names and storage of their own, made in order and updated in the reverse of it.

identity.py  the name, labels and claims of each pod
converge.py  the next steps towards what is wanted
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api import selectors
from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods, revisions
from sampan.controllers.settings import Settings
from sampan.controllers.statefulset import identity
from sampan.controllers.statefulset.converge import Members, converge
from sampan.runtime.actions import Emit, Plan, Requeue, UpdateStatus, View
from sampan.runtime.controller import Controller, Watch


def selector(owner: apps_v1.StatefulSet) -> selectors.Selector:
    return selectors.label_selector(owner.spec.selector)


def plan(owner: apps_v1.StatefulSet, view: View) -> Plan:
    chosen = selector(owner)
    if chosen.empty:
        message = "This stateful set is selecting all pods. A non-empty selector is required."
        yield Emit(owner, "Warning", "SelectingAll", message)
        return
    history = yield from revisions.sync(owner, apps.STATEFUL_SET, chosen, view)
    known = {each.metadata.name: each for each in (*history.old, history.newest)}
    current = known.get(owner.status.currentRevision, history.newest)
    claimed = yield from owners.claim(core_v1.Pod, owner, apps.STATEFUL_SET, chosen, view)
    if owner.metadata.deletionTimestamp is None:
        yield from converge(owner, Members.of(owner, claimed, view.now), current, history.newest, view)
    members = Members.of(owner, owners.owned(core_v1.Pod, owner, view), view.now)
    yield from _report(owner, members, current, history.newest)
    used = {*(identity.revision_of(pod) for pod in members.all), current.metadata.name or ""}
    yield from revisions.clean(history.old, owner.spec.revisionHistoryLimit, used)
    waits = [pods.available_in(pod, members.min_ready, view.now) for pod in members.all]
    pending = [wait for wait in waits if 0 < wait < float("inf")]
    if pending:
        yield Requeue(min(pending))


def _report(
    owner: apps_v1.StatefulSet,
    members: Members,
    current: apps_v1.ControllerRevision,
    update: apps_v1.ControllerRevision,
) -> Plan:
    made = [pod for pod in members.all if pods.phase(pod) not in ("Succeeded", "Failed")]
    alive = [pod for pod in made if pod.metadata.deletionTimestamp is None]
    ready = sum(pods.phase(pod) == "Running" and pods.is_ready(pod) for pod in made)
    old = sum(identity.revision_of(pod) == current.metadata.name for pod in alive)
    new = sum(identity.revision_of(pod) == update.metadata.name for pod in alive)
    name = current.metadata.name
    if _is_complete(owner, len(made), ready, new):
        name, old = update.metadata.name, new
    status = replace(
        owner.status,
        observedGeneration=owner.metadata.generation,
        replicas=len(made),
        readyReplicas=ready or None,
        availableReplicas=sum(members.works(pod) for pod in made),
        currentReplicas=old or None,
        updatedReplicas=new or None,
        currentRevision=name,
        updateRevision=update.metadata.name,
        collisionCount=owner.status.collisionCount or 0,
    )
    if status != owner.status:
        yield UpdateStatus(replace(owner, status=status))


def _is_complete(owner: apps_v1.StatefulSet, made: int, ready: int, new: int) -> bool:
    """All pods are of the update's revision and ready: it becomes the current one."""
    rolling = owner.spec.updateStrategy.type in (None, "RollingUpdate")
    return rolling and new == made == ready == (1 if owner.spec.replicas is None else owner.spec.replicas)


def _set_of_claim(claim: core_v1.PersistentVolumeClaim, view: View) -> Iterable[Key]:
    """A claim that is gone may keep the pod that needs it from being made."""
    namespace, name = claim.metadata.namespace or "", claim.metadata.name or ""
    for owner in view.within(apps_v1.StatefulSet, namespace):
        for template in owner.spec.volumeClaimTemplates:
            if name.startswith(f"{template.metadata.name}-{owner.metadata.name}-"):
                yield namespace, owner.metadata.name or ""


def declare(settings: Settings) -> Controller:
    by_owner = {owners.BY_CONTROLLER: owners.controller_uid}
    return Controller(
        name="statefulset-controller",
        primary=apps_v1.StatefulSet,
        plan=plan,
        watches=(
            Watch(core_v1.Pod, owners.keys_of_owner(apps.STATEFUL_SET, selector), pods.matters),
            Watch(apps_v1.ControllerRevision, owners.keys_of_owner(apps.STATEFUL_SET, selector)),
            Watch(core_v1.PersistentVolumeClaim, _set_of_claim, lambda old, new: False),
        ),
        indexes={core_v1.Pod: by_owner, apps_v1.ControllerRevision: by_owner},
    )

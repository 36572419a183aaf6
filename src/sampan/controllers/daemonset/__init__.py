"""DaemonSets: one pod on every node that is right for it.

places.py  which node should have one, which has, and what an update does
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api import selectors
from sampan.api.errors import StatusError
from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods, revisions
from sampan.controllers.daemonset import places
from sampan.controllers.daemonset.places import Place
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Batch, Create, Delete, Emit, Plan, Refused, Requeue, UpdateStatus, View
from sampan.runtime.backoff import Exponential, Failures
from sampan.runtime.controller import Controller, Watch, unless_unchanged

BURST = 250
"""Pods that one reconciliation creates or deletes at most."""

BACKOFF = Exponential(first=1.0, longest=900.0)
"""Before a failed pod is replaced, when the one before it on the same node failed too."""


def selector(owner: apps_v1.DaemonSet) -> selectors.Selector:
    return selectors.label_selector(owner.spec.selector)


class Daemons:
    """What survives between plans is how often pods have failed on each node, and since when they may go."""

    def __init__(self) -> None:
        self._failures = Failures(BACKOFF)
        self._due: dict[str, float] = {}

    def plan(self, daemon: apps_v1.DaemonSet, view: View) -> Plan:
        chosen = selector(daemon)
        if chosen.empty:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            yield Emit(daemon, "Warning", "SelectingAll", message)
            return
        history = yield from revisions.sync(daemon, apps.DAEMON_SET, chosen, view)
        hash = revisions.hash_of(history.newest)
        owned: Sequence[core_v1.Pod]
        owned = yield from owners.claim(core_v1.Pod, daemon, apps.DAEMON_SET, chosen, view)
        refusal: StatusError | None = None
        if daemon.metadata.deletionTimestamp is None:
            refusal = yield from self._manage(daemon, hash, owned, view)
            used = {pod.metadata.labels.get(revisions.HASH, "") for pod in owned}
            yield from revisions.clean(history.old, daemon.spec.revisionHistoryLimit, used)
            owned = owners.owned(core_v1.Pod, daemon, view)
        yield from _report(daemon, places.places(daemon, hash, owned, view), view)
        if refusal is not None:
            raise refusal
        yield from _wait_for_availability(daemon, owned, view)

    def _manage(
        self, daemon: apps_v1.DaemonSet, hash: str, owned: Sequence[core_v1.Pod], view: View
    ) -> Generator[Action, Any, StatusError | None]:
        found = places.places(daemon, hash, owned, view)
        create: list[str] = []
        delete = places.homeless(owned, view)
        for place in found:
            if not place.tolerated:
                delete += [pod for pod in (place.old, place.new, *place.surplus) if pod is not None]
                continue
            if place.new is not None and pods.is_ready(place.new):
                self._failures.forget((daemon.metadata.uid, place.name))
            waits = [wait for pod in place.surplus if (wait := self._wait(daemon, place, pod, view.now)) > 0]
            delete += [pod for pod in place.surplus if self._wait(daemon, place, pod, view.now) == 0]
            if waits:
                yield Requeue(min(waits))
            elif place.wanted and not (place.old or place.new):
                create.append(place.name)
        if daemon.spec.updateStrategy.type != "OnDelete":
            more, outdated = places.roll(daemon, [place for place in found if place.wanted], view.now)
            create += more
            delete += outdated
        for pod in delete:
            if pods.phase(pod) == "Failed":
                name = f"{pod.metadata.namespace}/{pod.metadata.name}"
                message = f"Found failed daemon pod {name} on node {pod.spec.nodeName}, will try to kill it"
                yield Emit(daemon, "Warning", "FailedDaemonPod", message)
        error = yield from _do(daemon, [Delete(pod) for pod in delete[:BURST]], "Delete")
        made = [Create(places.described(daemon, hash, node)) for node in create[:BURST]]
        return (yield from _do(daemon, made, "Create")) or error

    def _wait(self, daemon: apps_v1.DaemonSet, place: Place, pod: core_v1.Pod, now: float) -> float:
        """Seconds until a superfluous pod may go: at once, unless pods keep failing here."""
        node = (daemon.metadata.uid, place.name)
        if pods.phase(pod) != "Failed":
            return 0.0
        uid = pod.metadata.uid or ""
        if uid not in self._due:
            before = self._failures.count(node)
            self._failures.failed(node)
            self._due[uid] = now + (BACKOFF.delay(before) if before else 0.0)
        return max(0.0, self._due[uid] - now)

    def gone(self, key: Key, view: View) -> Plan:
        """Forget failures of pods that are no more."""
        known = {pod.metadata.uid for pod in view.all(core_v1.Pod)}
        self._due = {uid: due for uid, due in self._due.items() if uid in known}
        yield from ()


def _do(daemon: apps_v1.DaemonSet, actions: Sequence[Any], word: str) -> Generator[Action, Any, StatusError | None]:
    if not actions:
        return None
    error: StatusError | None = None
    done: Sequence[Any]
    try:
        answers: Sequence[Any] = yield Batch(actions)
        done = [action.object if word == "Delete" else answer for action, answer in zip(actions, answers, strict=True)]
    except Refused as refused:
        error = refused.error
        done = [action.object for action in actions[: len(refused.answers)]] if word == "Delete" else refused.answers
    for pod in done:
        yield Emit(daemon, "Normal", f"Successful{word}", f"{word}d pod: {pod.metadata.name}")
    if error is not None:
        doing = "creating" if word == "Create" else "deleting"
        yield Emit(daemon, "Warning", f"Failed{word}", f"Error {doing}: {error}")
    return error


def _report(daemon: apps_v1.DaemonSet, found: Sequence[Place], view: View) -> Plan:
    min_ready = daemon.spec.minReadySeconds or 0
    wanted = [place for place in found if place.wanted]
    oldest = [place.new or place.old for place in wanted]
    running = [pod for pod in oldest if pod is not None]
    ready = [pod for pod in running if pods.is_ready(pod)]
    up = sum(not pods.available_in(pod, min_ready, view.now) for pod in ready)
    status = replace(
        daemon.status,
        observedGeneration=daemon.metadata.generation,
        desiredNumberScheduled=len(wanted),
        currentNumberScheduled=len(running),
        numberMisscheduled=sum(not place.wanted and bool(place.old or place.new) for place in found),
        numberReady=len(ready),
        updatedNumberScheduled=sum(place.new is not None for place in wanted) or None,
        numberAvailable=up or None,
        numberUnavailable=len(wanted) - up or None,
    )
    if status != daemon.status:
        yield UpdateStatus(replace(daemon, status=status))


def _wait_for_availability(daemon: apps_v1.DaemonSet, owned: Iterable[core_v1.Pod], view: View) -> Plan:
    min_ready = daemon.spec.minReadySeconds or 0
    waits = [pods.available_in(pod, min_ready, view.now) for pod in owned if pods.is_active(pod)]
    pending = [wait for wait in waits if 0 < wait < float("inf")]
    if pending:
        yield Requeue(min(pending))


# --- declaration


def _all(node: core_v1.Node, view: View) -> Iterable[Key]:
    return [(each.metadata.namespace or "", each.metadata.name or "") for each in view.all(apps_v1.DaemonSet)]


def declare(settings: Settings) -> Controller:
    told = unless_unchanged(lambda node: (node.metadata.labels, node.spec.taints, node.spec.unschedulable))
    daemons = Daemons()
    by_owner = {owners.BY_CONTROLLER: owners.controller_uid}
    return Controller(
        name="daemonset-controller",
        primary=apps_v1.DaemonSet,
        plan=daemons.plan,
        gone=daemons.gone,
        watches=(
            Watch(core_v1.Pod, owners.keys_of_owner(apps.DAEMON_SET, selector), pods.matters),
            Watch(apps_v1.ControllerRevision, owners.keys_of_owner(apps.DAEMON_SET, selector)),
            Watch(core_v1.Node, _all, told),
        ),
        indexes={core_v1.Pod: by_owner, apps_v1.ControllerRevision: by_owner},
    )

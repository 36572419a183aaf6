"""Apps: each becomes plain Kubernetes objects, and says in six steps how far it has come.

children.py  the objects that it stands for: made, changed, given up
history.py   its releases
watching.py  what there is of it, and what pods that fail say
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.extra import diagnosis, steps
from sampan.api.extra.expansion import APP
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import apps_v1, core_v1, discovery_v1, meta_v1
from sampan.client.cache import IndexFunction, Key
from sampan.controllers import owners
from sampan.controllers.app import children, history, watching
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Delete, Emit, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch, unless_unchanged

AGAIN, SELDOM = 2.0, 60.0
"""Seconds until pods that are not ready are looked at again, for what their probes and logs say by then: a fifth of the
time that they have been so, within these."""
MEASURED, UNMEASURED = 1.0, 60.0
"""Seconds until figures of pods are asked for again: they come a while after the pods, and in some clusters never."""
BY_NEED = "need"


def plan(app: App, view: View) -> Plan:
    if app.metadata.deletionTimestamp is not None:
        return
    namespace = app.metadata.namespace or ""
    found = {need.app: view.get(App, need.app, namespace) for need in app.spec.needs}
    needed = {name: each for name, each in found.items() if each is not None}
    release = yield from history.record(app, view)
    refusals = yield from children.bring_about(app, needed, release, view)
    missing = [name for name, each in found.items() if each is None]
    seen = dataclasses.replace(watching.look(app, view, release), missing=missing, refusals=refusals)
    seen = yield from watching.ask(app, seen, view.now)
    yield from _unblock(app, seen, view.now)
    yield from _report(app, seen, release, view.now)
    judged = steps.judge(app, seen, view.now)
    if conditions.is_true(judged, "PodsReady"):
        yield from history.succeeded(app, view, release, seen, rfc3339(view.now))
        if not seen.metrics:
            yield Requeue(UNMEASURED if seen.metrics is None else MEASURED)
    elif app.spec.source.image:
        before = conditions.find(app.status.conditions, "PodsReady")
        since = unix(before.lastTransitionTime) if before is not None else view.now
        yield Requeue(min(max((view.now - since) / 5, AGAIN), SELDOM))


def _unblock(app: App, seen: steps.Seen, now: float) -> Plan:
    """A StatefulSet waits for a broken pod of an older version to become ready before it replaces it: never.

    So a release that mends what the last one broke would not come. Such a pod is deleted.
    """
    if app.spec.type != "stateful":
        return
    new = {pod.metadata.uid for pod in steps.current(app, seen)}
    old = [pod for pod in seen.pods if pod.metadata.uid not in new]
    for pod in old:
        trouble = diagnosis.diagnose(pod, now)
        if trouble is not None and trouble.lasting:
            yield Delete(pod)
            text = f"deleted pod {pod.metadata.name} of an older release, which could not start: {trouble.message}"
            yield Emit(app, "Normal", "Replaced", text)


def _report(app: App, seen: steps.Seen, release: int, now: float) -> Plan:
    status = app.status
    conditions_ = status.conditions
    for condition in steps.judge(app, seen, now):
        conditions_ = conditions.put(conditions_, condition, rfc3339(now))
    fresh = replace(
        status,
        conditions=conditions_,
        observedGeneration=app.metadata.generation,
        release=release or None,
        image=app.spec.source.image,
        ready=steps.ready(app, seen) if seen.workload is not None else None,
        url=steps.url(app, seen) or None,
    )
    if fresh == status:
        return
    yield UpdateStatus(replace(app, status=fresh))
    before = conditions.find(status.conditions, "PodsReady")
    after = conditions.find(conditions_, "PodsReady")
    if after is None or (before is not None and before.reason == after.reason):
        return
    if after.status == "True":
        yield Emit(app, "Normal", after.reason, f"release {release}: {after.message}")
    elif after.reason in steps.FAILED:
        yield Emit(app, "Warning", after.reason, f"release {release}: {after.message}")


# --- what concerns an app


def _labelled(object: Any) -> Iterable[str]:
    """Index function: the app of an object, by its label."""
    name = object.metadata.labels.get(APP)
    return (f"{object.metadata.namespace}/{name}",) if name else ()


def _app_of(object: Any, view: View) -> Iterable[Key]:
    name = object.metadata.labels.get(APP)
    return ((object.metadata.namespace or "", name),) if name else ()


def _needs(app: App) -> Iterable[str]:
    """Index function: the apps that one needs."""
    return tuple(f"{app.metadata.namespace}/{need.app}" for need in app.spec.needs)


def _needing(app: App, view: View) -> Iterable[Key]:
    found = view.by(App, BY_NEED, f"{app.metadata.namespace}/{app.metadata.name}")
    return tuple((each.metadata.namespace or "", each.metadata.name or "") for each in found)


def _wish(app: App) -> object:
    """What of an App is a wish; its status is our own word."""
    metadata: meta_v1.ObjectMeta = app.metadata
    return app.spec, metadata.deletionTimestamp, metadata.annotations


WATCHED: tuple[type[Any], ...] = (
    *children.TYPES,
    apps_v1.ReplicaSet,
    core_v1.Pod,
    discovery_v1.EndpointSlice,
    apps_v1.ControllerRevision,
)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="app-controller",
        primary=App,
        plan=plan,
        changed=unless_unchanged(_wish),
        watches=(
            *(Watch(type, _app_of) for type in WATCHED),
            Watch(App, _needing, unless_unchanged(lambda app: app.spec.port)),
        ),
        indexes=_indexes(),
    )


def _indexes() -> dict[type, dict[str, IndexFunction]]:
    owned = {*children.TYPES, apps_v1.ControllerRevision}
    found: dict[type, dict[str, IndexFunction]] = {App: {BY_NEED: _needs}}
    for type in WATCHED:
        found[type] = {watching.BY_APP: _labelled}
        if type in owned:
            found[type][owners.BY_CONTROLLER] = owners.controller_uid
    return found

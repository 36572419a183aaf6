"""What there is of an App, and what pods that fail say of themselves."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import replace
from typing import Any

import msgspec

from sampan.api import conditions
from sampan.api.errors import StatusError
from sampan.api.extra import diagnosis, steps
from sampan.api.extra.diagnosis import Evidence
from sampan.api.extra.expansion import APP, child
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import apps_v1, batch_v1, core_v1, discovery_v1, networking_v1
from sampan.client.client import FAILURES, Client
from sampan.runtime.actions import Action, Call, View

BY_APP = "app"
"""Index: objects by the app that their label names."""
SERVICE_NAME = "kubernetes.io/service-name"
METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"

WORKLOADS: dict[str, type[Any]] = {
    "stateless": apps_v1.Deployment,
    "stateful": apps_v1.StatefulSet,
    "daemon": apps_v1.DaemonSet,
    "batch": batch_v1.Job,
    "cron": batch_v1.CronJob,
}


def look(app: App, view: View, release: int) -> steps.Seen:
    """As the caches have it; nothing is asked for."""
    name, namespace = app.metadata.name or "", app.metadata.namespace or ""

    def mine(type: type[Any]) -> Collection[Any]:
        return tuple(view.by(type, BY_APP, f"{namespace}/{name}"))

    workload = child(app, f"r{release}") if app.spec.type == "batch" else name
    return steps.Seen(
        workload=view.get(WORKLOADS[app.spec.type], workload, namespace),
        pods=tuple(mine(core_v1.Pod)),
        replicasets=tuple(mine(apps_v1.ReplicaSet)),
        revisions=tuple(mine(apps_v1.ControllerRevision)),
        claims=tuple(mine(core_v1.PersistentVolumeClaim)),
        service=view.get(core_v1.Service, name, namespace) if app.spec.port is not None else None,
        slices=tuple(
            each for each in mine(discovery_v1.EndpointSlice) if each.metadata.labels.get(SERVICE_NAME) == name
        ),
        ingress=view.get(networking_v1.Ingress, name, namespace) if app.spec.host is not None else None,
    )


def ask(app: App, seen: steps.Seen, now: float) -> Generator[Action, Any, steps.Seen]:
    """What only others know: the worst pod's probe and log, and whether ready pods are measured."""
    found = steps.troubles(app, seen, now)
    if found:
        pod, trouble = found[0]
        evidence: Evidence = yield Call(lambda client: gather(client, pod, trouble))
        return replace(seen, evidence={pod.metadata.name or "": evidence})
    if not any(map(diagnosis.is_ready, seen.pods)):
        return replace(seen, metrics=False)
    if conditions.is_true(app.status.conditions, "Monitored"):
        return replace(seen, metrics=True)
    measured: bool | None = yield Call(lambda client: is_measured(client, app))
    return replace(seen, metrics=measured)


async def gather(client: Client, pod: core_v1.Pod, trouble: diagnosis.Trouble) -> Evidence:
    """What cannot be had stays empty: an explanation with less in it is better than none."""
    name, namespace = pod.metadata.name or "", pod.metadata.namespace or ""
    probe = ""
    try:
        events = await client.list(core_v1.Event, namespace, fields=f"involvedObject.uid={pod.metadata.uid}")
        answers = [each for each in events.items if each.reason == "Unhealthy"]
        if answers:
            last = max(answers, key=lambda each: each.lastTimestamp or each.eventTime or "")
            probe = (last.message or "").removeprefix("Readiness probe failed: ").strip()
    except FAILURES:
        probe = ""
    if not trouble.container or trouble.reason in ("ImageNotFound", "CannotStart"):
        return Evidence(probe)
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
    previous = trouble.reason == "Crashing" and _runs_again(pod, trouble)
    query: dict[str, str | int | bool] = {"container": trouble.container, "tailLines": 20, "previous": previous}
    try:
        body = await (await client.raw("GET", path, query)).read()
    except FAILURES:
        return Evidence(probe)
    return Evidence(probe, diagnosis.last_lines(body.decode(errors="replace")))


def _runs_again(pod: core_v1.Pod, trouble: diagnosis.Trouble) -> bool:
    """The run that ended is not the one that the log is of."""
    status = next((each for each in pod.status.containerStatuses if each.name == trouble.container), None)
    return bool(status and status.restartCount and status.state and status.state.running)


async def is_measured(client: Client, app: App) -> bool | None:
    """Whether there are figures of the app's pods; None in a cluster without metrics, which refuses in its own way."""
    path = METRICS.format(app.metadata.namespace)
    try:
        response = await client.raw("GET", path, {"labelSelector": f"{APP}={app.metadata.name}"})
    except StatusError:
        return None
    return bool(msgspec.json.decode(await response.read()).get("items"))

"""How far an App has come: one condition a step, in words for newcomers. Pure.

The controller and `sampan deploy --context` judge alike, by the objects that carry the app's label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api import conditions
from sampan.api.extra import diagnosis
from sampan.api.extra.diagnosis import Evidence, Trouble
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import apps_v1, batch_v1, core_v1, discovery_v1, meta_v1, networking_v1

STEPS = ("ImageBuilt", "PodsReady", "VolumesBound", "Exposed", "Published", "Monitored")
TITLES = {
    "ImageBuilt": "image",
    "PodsReady": "pods",
    "VolumesBound": "volumes",
    "Exposed": "service",
    "Published": "publish",
    "Monitored": "monitor",
}
"""What each step is called in front of people."""

UNNEEDED = frozenset(("NoVolumes", "NoPort", "NoHost", "Ends"))
"""Reasons of steps that are met because there is nothing to do."""
FAILED = frozenset(("ImageNotFound", "Refused", "ReleaseFailed"))
"""Reasons with which a step stands still until somebody acts."""
FULL = "Full"
"""The reason of a volume that holds no more: the app serves on, as far as it needs no room."""
ABSENT = frozenset(("NoIngressController", "NoMetrics"))
"""Reasons that lie in the cluster: it has no such part."""

REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of an app. `refusals` are the server's words about objects that it did not take, by their kind.

    `metrics`: whether there are figures of the app's pods; None in a cluster without any.
    """

    workload: Any = None
    pods: Sequence[core_v1.Pod] = ()
    replicasets: Sequence[apps_v1.ReplicaSet] = ()
    revisions: Sequence[apps_v1.ControllerRevision] = ()
    claims: Sequence[core_v1.PersistentVolumeClaim] = ()
    service: core_v1.Service | None = None
    slices: Sequence[discovery_v1.EndpointSlice] = ()
    ingress: networking_v1.Ingress | None = None
    missing: Sequence[str] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    metrics: bool | None = None


def judge(app: App, seen: Seen, now: float) -> list[meta_v1.Condition]:
    """The six conditions in their order, without times."""
    made = (
        _image(app, seen),
        _pods(app, seen, now),
        _volumes(app, seen),
        _exposed(app, seen),
        _published(app, seen),
        _monitored(app, seen),
    )
    generation = app.metadata.generation
    return [
        meta_v1.Condition(type=step, status=status, reason=reason, message=message, observedGeneration=generation)
        for step, (status, reason, message) in zip(STEPS, made, strict=True)
    ]


Verdict = tuple[str, str, str]


def _yes(reason: str, message: str) -> Verdict:
    return "True", reason, message


def _no(reason: str, message: str) -> Verdict:
    return "False", reason, message


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


# --- 1 image


def _image(app: App, seen: Seen) -> Verdict:
    source = app.spec.source
    if not source.image:
        where = f"git repository {source.git.url}" if source.git else f"folder {source.path}"
        return _no("WaitsForBuild", f"nothing is built from the {where} yet; `sampan deploy` there builds and deploys")
    for pod in current(app, seen):
        for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
            waiting = status.state.waiting if status.state else None
            if waiting is not None and waiting.reason in diagnosis.IMAGE:
                return _no("ImageNotFound", f"image {source.image} cannot be had: {waiting.message or waiting.reason}")
    digest = image_digest(current(app, seen))
    built = source.path is not None or source.git is not None
    if not digest and not built and app.spec.type != "cron" and wanted(app, seen):
        return _no("NotThereYet", f"the node looks for the image {source.image}")
    return _yes("Built" if built else "Found", f"image {source.image}" + _short(digest))


def image_digest(pods: Iterable[core_v1.Pod]) -> str:
    """The image's digest as a node found it; "" before."""
    for pod in pods:
        for status in pod.status.containerStatuses:
            if status.name == "app" and status.imageID:
                return status.imageID.rpartition("@")[2]
    return ""


def _short(digest: str) -> str:
    return f" ({digest[:19]})" if digest else ""


# --- 2 pods


def current(app: App, seen: Seen) -> list[core_v1.Pod]:
    """The pods of the newest version that are not about to go."""
    alive = [pod for pod in seen.pods if pod.metadata.deletionTimestamp is None]
    if not _observed(seen.workload):
        return []
    key, value = _version(app, seen)
    return [pod for pod in alive if pod.metadata.labels.get(key) == value] if key else alive


def _observed(workload: Any) -> bool:
    """Its own controller has seen the newest wish; before, what there is says nothing about it."""
    if isinstance(workload, apps_v1.Deployment | apps_v1.StatefulSet | apps_v1.DaemonSet):
        return (workload.status.observedGeneration or 0) >= (workload.metadata.generation or 0)
    return True


def _version(app: App, seen: Seen) -> tuple[str, str]:
    """The label that tells pods of the newest version from older ones; "" where there is no such thing."""
    workload = seen.workload
    if isinstance(workload, apps_v1.Deployment):
        owned = [each for each in seen.replicasets if _owned(each, workload)]
        newest = max(owned, key=lambda each: int(each.metadata.annotations.get(REVISION, "0")), default=None)
        return "pod-template-hash", newest.metadata.labels.get("pod-template-hash", "") if newest else ""
    if isinstance(workload, apps_v1.StatefulSet):
        return "controller-revision-hash", workload.status.updateRevision or ""
    if isinstance(workload, apps_v1.DaemonSet):
        owned_ = [each for each in seen.revisions if _owned(each, workload)]
        last = max(owned_, key=lambda each: each.revision or 0, default=None)
        return "controller-revision-hash", last.metadata.labels.get("controller-revision-hash", "") if last else ""
    return "", ""


def _owned(object: Any, owner: Any) -> bool:
    return any(reference.uid == owner.metadata.uid for reference in object.metadata.ownerReferences)


def wanted(app: App, seen: Seen) -> int:
    workload = seen.workload
    if isinstance(workload, apps_v1.DaemonSet):
        return workload.status.desiredNumberScheduled
    if isinstance(workload, apps_v1.Deployment | apps_v1.StatefulSet) and workload.spec.replicas is not None:
        return workload.spec.replicas
    return app.spec.replicas if app.spec.replicas is not None else int(app.spec.type not in ("daemon", "cron"))


def ready(app: App, seen: Seen) -> str:
    """`2/3`: pods that can serve, of those wanted."""
    if isinstance(seen.workload, batch_v1.Job):
        return f"{seen.workload.status.succeeded or 0}/{seen.workload.spec.completions or 1}"
    if isinstance(seen.workload, batch_v1.CronJob):
        return f"{len(seen.workload.status.active)} running"
    return f"{sum(map(diagnosis.is_ready, seen.pods))}/{wanted(app, seen)}"


def troubles(app: App, seen: Seen, now: float) -> list[tuple[core_v1.Pod, Trouble]]:
    """What is wrong with pods of the newest version, the worst first."""
    found = []
    for pod in sorted(current(app, seen), key=lambda pod: pod.metadata.name or ""):
        trouble = diagnosis.diagnose(pod, now, seen.evidence.get(pod.metadata.name or "", Evidence()))
        if trouble is not None:
            found.append((pod, trouble))
    return sorted(found, key=lambda pair: not pair[1].lasting)


def _pods(app: App, seen: Seen, now: float) -> Verdict:
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ConfigMap", "Secret"):
        if kind in seen.refusals:
            return _no("Refused", f"the {kind} was refused: {seen.refusals[kind]}")
    if seen.workload is None:
        return _no("Waiting", "the pods come when there is an image" if not app.spec.source.image else "about to begin")
    if isinstance(seen.workload, batch_v1.Job):
        return _job(app, seen, seen.workload, now)
    if isinstance(seen.workload, batch_v1.CronJob):
        return _cron(app, seen, seen.workload, now)
    want, new = wanted(app, seen), current(app, seen)
    good = sum(map(diagnosis.is_ready, new))
    if _observed(seen.workload) and good >= want and _settled(seen, want):
        return _yes("Ready", f"{_plural(want, 'pod')} ready" if want else "no pods wanted (replicas is 0)")
    if not _observed(seen.workload):
        return _no("Starting", "the new version is about to begin")
    old = sum(map(diagnosis.is_ready, seen.pods)) - good
    serving = f"; the version before still serves with {_plural(old, 'pod')}" if old else ""
    found = troubles(app, seen, now)
    text = f"{good} of {want} pods of the new version ready" if old else f"{good} of {want} pods ready"
    if not found:
        return _no("Starting", text + serving + _needs(seen))
    pod, trouble = found[0]
    failed = trouble.lasting or _gave_up(seen.workload)
    message = f"{text}; pod {pod.metadata.name}: {trouble.message}{serving}{_needs(seen)}"
    return _no("ReleaseFailed" if failed else trouble.reason, message)


def _needs(seen: Seen) -> str:
    return f"; it needs {', '.join(seen.missing)}, which is not there" if seen.missing else ""


def _settled(seen: Seen, want: int) -> bool:
    """Nothing of an older version is wanted any more."""
    workload = seen.workload
    if isinstance(workload, apps_v1.Deployment):
        return (workload.status.updatedReplicas or 0) >= want and (workload.status.replicas or 0) <= want
    if isinstance(workload, apps_v1.StatefulSet):
        return want == 0 or (workload.status.updatedReplicas or 0) >= want
    return (workload.status.updatedNumberScheduled or 0) >= want


def _gave_up(workload: Any) -> bool:
    progressing = conditions.find(workload.status.conditions, "Progressing")
    return progressing is not None and progressing.reason == "ProgressDeadlineExceeded"


def _job(app: App, seen: Seen, job: batch_v1.Job, now: float) -> Verdict:
    if conditions.is_true(job.status.conditions, "Complete"):
        return _yes("Completed", f"ended well after {_plural(job.status.succeeded or 1, 'pod')}")
    failed = conditions.find(job.status.conditions, "Failed")
    found = troubles(app, seen, now)
    why = f"; pod {found[0][0].metadata.name}: {found[0][1].message}" if found else ""
    if failed is not None and failed.status == "True":
        return _no("ReleaseFailed", f"it failed: {failed.message or failed.reason}{why}")
    if any(map(diagnosis.is_ready, seen.pods)):
        return "Unknown", "Running", "it runs"
    failures = job.status.failed or 0
    text = (
        f"it failed {'once' if failures == 1 else f'{failures} times'} and is tried again"
        if failures
        else "about to run"
    )
    return _no(found[0][1].reason if found else "Starting", f"{text}{why}{_needs(seen)}")


def _cron(app: App, seen: Seen, cron: batch_v1.CronJob, now: float) -> Verdict:
    last = cron.status.lastScheduleTime
    text = f"runs at {cron.spec.schedule}" + (f", last begun {last}" if last else ", not run yet")
    found = troubles(app, seen, now)
    if found and found[0][1].lasting:
        return _no("LastRunFailed", f"{text}; pod {found[0][0].metadata.name}: {found[0][1].message}")
    return _yes("Scheduled", text)


# --- 3 volumes


def _volumes(app: App, seen: Seen) -> Verdict:
    if not app.spec.volumes:
        return _yes("NoVolumes", "it keeps no data")
    if "PersistentVolumeClaim" in seen.refusals:
        return _no("Refused", f"a claim was refused: {seen.refusals['PersistentVolumeClaim']}")
    count = len(app.spec.volumes) * (wanted(app, seen) if app.spec.type == "stateful" else 1)
    bound = [claim for claim in seen.claims if claim.status.phase == "Bound"]
    for claim in bound:
        full = conditions.find(claim.status.conditions, "VolumeFull")
        if full is not None and full.status == "True":
            return _no(FULL, full.message or f"{claim.metadata.name} is full")
    if len(bound) >= count:
        return _yes("Bound", ", ".join(f"{_size(claim)} for {claim.metadata.name}" for claim in bound[:4]))
    for claim in seen.claims:
        if claim.status.phase == "Lost":
            return _no("Lost", f"the volume behind {claim.metadata.name} is gone; its data cannot be reached")
    if app.spec.type in ("batch", "cron") and not seen.pods:
        return _no("WaitsForPod", "volumes are made when the first pod needs them")
    waits = next((claim.metadata.name for claim in seen.claims if claim.status.phase != "Bound"), "the claims")
    return _no("Waiting", f"{len(bound)} of {_plural(count, 'volume')} there; {waits} waits for one")


def _size(claim: core_v1.PersistentVolumeClaim) -> str:
    there = claim.status.capacity.get("storage") or "a volume"
    if conditions.is_true(claim.status.conditions, "FileSystemResizePending"):
        asked = claim.spec.resources.requests.get("storage", "more") if claim.spec.resources else "more"
        return f"{there} (it becomes {asked} when no pod uses it for a moment)"
    return there


# --- 4 service


def address(app: App) -> str:
    """Where the app is reached inside of the cluster."""
    scheme = "http" if app.spec.host or app.spec.health else (app.spec.protocol or "TCP").lower()
    return f"{scheme}://{app.metadata.name}.{app.metadata.namespace or 'default'}.svc:{app.spec.port}"


def _exposed(app: App, seen: Seen) -> Verdict:
    if app.spec.port is None:
        return _yes("NoPort", "it listens on no port (spec.port)")
    if "Service" in seen.refusals:
        return _no("Refused", f"the Service was refused: {seen.refusals['Service']}")
    if seen.service is None:
        return _no("Waiting", "the Service comes with the pods")
    behind = sum(
        len(endpoint.addresses) and 1
        for part in seen.slices
        for endpoint in part.endpoints
        if endpoint.conditions is None or endpoint.conditions.ready is not False
    )
    where = f"{app.metadata.name}:{app.spec.port}"
    if not behind:
        return _no("NoEndpoints", f"{where} has no pod that is ready behind it yet")
    return _yes("Serving", f"{where} leads to {_plural(behind, 'pod')}")


# --- 5 publish


def url(app: App, seen: Seen) -> str:
    """Where people reach the app; inside of the cluster when nothing publishes it."""
    if app.spec.port is None:
        return ""
    if app.spec.host and seen.ingress is not None and seen.ingress.status.loadBalancer is not None:
        places = seen.ingress.status.loadBalancer.ingress
        if places:
            scheme = "https" if any(app.spec.host in each.hosts for each in seen.ingress.spec.tls) else "http"
            usual = {"http": 80, "https": 443}[scheme]
            ports = [port.port for place in places for port in place.ports]
            tail = f":{ports[-1 if scheme == 'https' else 0]}" if ports and usual not in ports else ""
            return f"{scheme}://{app.spec.host}{tail}"
    return address(app)


def _published(app: App, seen: Seen) -> Verdict:
    if app.spec.host is None:
        return _yes("NoHost", "it is not published (spec.host)" if app.spec.port else "it serves nobody")
    if "Ingress" in seen.refusals:
        return _no("Refused", f"the Ingress was refused: {seen.refusals['Ingress']}")
    if seen.ingress is None:
        return _no("Waiting", "the Ingress comes with the pods")
    balancer = seen.ingress.status.loadBalancer
    if balancer is None or not balancer.ingress:
        text = f"no ingress controller has taken it up yet; inside of the cluster it is {address(app)}"
        return _no("NoIngressController", text)
    return _yes("Published", url(app, seen))


# --- 6 monitor


def _monitored(app: App, seen: Seen) -> Verdict:
    if app.spec.type in ("batch", "cron"):
        return _yes("Ends", f"it runs to its end; what it wrote: sampan logs {app.metadata.name}")
    if seen.metrics:
        return _yes("Measured", f"CPU and memory are measured (sampan top pods); logs: sampan logs {app.metadata.name}")
    if seen.metrics is None:
        text = "this cluster has no figures of the pods (metrics.k8s.io)"
        return _no("NoMetrics", f"{text}; logs: sampan logs {app.metadata.name}")
    return _no("NotMeasuredYet", "there are no figures of its pods yet; they come seconds after a pod is ready")

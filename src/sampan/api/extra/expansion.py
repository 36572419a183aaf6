"""An App as the plain Kubernetes objects that it stands for. Pure: the controller, `sampan export` and
`sampan deploy --context` share it.

    stateless  Deployment, claims          all      Service and Ingress where there is a port and a host,
    stateful   StatefulSet with claims              HorizontalPodAutoscaler for `scale`,
    daemon     DaemonSet, claims                    ConfigMap with the addresses of needed apps,
    batch      Job, claims                          Secret with values made up once
    cron       CronJob, claims

Names are the app's own name, or begin with it, so that the same App always becomes the same objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.api import codec
from sampan.api.extra.sampan_v1 import App, AppNeed, AppSpec, AppVolume

Document = dict[str, Any]

APP = "sampan.dev/app"
"""Label of everything that belongs to an app; its value is the app's name."""
MANAGED = "app.kubernetes.io/managed-by"
NEEDS = "sampan.dev/needs"
"""Annotation of pods: a digest of what they were told about needed apps, so that they start again when it changes."""

PYTHON = "instrumentation.opentelemetry.io/inject-python"
"""Annotation of pods whose programs OpenTelemetry's packages trace; the operator of other clusters knows it, too."""

PROGRESS = 120
"""Seconds without progress after which a rollout counts as failed."""
HISTORY = 3
"""Older ReplicaSets kept; the app's own history is its releases."""


def expand(app: App, needed: Mapping[str, App], *, release: int = 0) -> list[Document]:
    """Every object of the app, in the order in which they are best made.

    `needed` holds those of the apps that it needs which exist, by name. `release` becomes part of a Job's name, because
    a Job never changes. An app without an image stands for nothing yet.
    """
    if not app.spec.source.image:
        return []
    spec = app.spec
    made: list[Document] = []
    if spec.secrets:
        made.append({**_head("v1", "Secret", app, "secret"), "type": "Opaque"})
    if spec.needs:
        made.append({**_head("v1", "ConfigMap", app, "needs"), "data": needs(spec.needs, needed)})
    if spec.type != "stateful":
        made += [_claim(app, volume) for volume in spec.volumes]
    if spec.port is not None:
        made.append(_service(app, spec.port))
    if spec.type == "stateful":
        made.append(_headless(app))
    made.append(_workload(app, needed, release))
    if spec.scale is not None:
        made.append(_autoscaler(app))
    if spec.host is not None and spec.port is not None:
        made.append(_ingress(app, spec.host, spec.port))
    return made


def child(app: App, suffix: str = "") -> str:
    name = app.metadata.name or ""
    return f"{name}-{suffix}" if suffix else name


def claim_names(app: App) -> list[str]:
    """The claims of an app; those of a stateful one have a pod's number behind it."""
    if app.spec.type == "stateful":
        return [f"{volume.name}-{child(app)}-" for volume in app.spec.volumes]
    return [child(app, volume.name or "") for volume in app.spec.volumes]


def needs(wanted: tuple[AppNeed, ...], needed: Mapping[str, App]) -> dict[str, str]:
    """DB_HOST and, when the app is there and listens, DB_PORT."""
    found: dict[str, str] = {}
    for need in wanted:
        word = _variable(need.name)
        found[f"{word}_HOST"] = need.app
        there = needed.get(need.app)
        if there is not None and there.spec.port is not None:
            found[f"{word}_PORT"] = str(there.spec.port)
    return found


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _labels(app: App) -> dict[str, str]:
    return {APP: app.metadata.name or "", "app.kubernetes.io/name": app.metadata.name or "", MANAGED: "sampan"}


def _selector(app: App) -> dict[str, str]:
    return {APP: app.metadata.name or ""}


def _head(api_version: str, kind: str, app: App, suffix: str = "") -> Document:
    metadata = {"name": child(app, suffix), "namespace": app.metadata.namespace or "default", "labels": _labels(app)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


# --- what surrounds the pods


def _claim(app: App, volume: AppVolume) -> Document:
    return {**_head("v1", "PersistentVolumeClaim", app, volume.name or ""), "spec": _claim_spec(volume)}


def _claim_spec(volume: AppVolume) -> Document:
    spec: Document = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size or "1Gi"}},
    }
    if volume.class_ is not None:
        spec["storageClassName"] = volume.class_
    return spec


def _service(app: App, port: int) -> Document:
    ports = [{"name": _port_name(app.spec), "port": port, "targetPort": port, "protocol": app.spec.protocol or "TCP"}]
    return {**_head("v1", "Service", app), "spec": {"selector": _selector(app), "ports": ports}}


def _port_name(spec: AppSpec) -> str:
    return "http" if spec.host or spec.health else "app"


def _headless(app: App) -> Document:
    """Gives each pod of a stateful app a name of its own, ready or not."""
    spec: Document = {"clusterIP": "None", "selector": _selector(app), "publishNotReadyAddresses": True}
    if app.spec.port is not None:
        protocol = app.spec.protocol or "TCP"
        spec["ports"] = [{"name": _port_name(app.spec), "port": app.spec.port, "protocol": protocol}]
    return {**_head("v1", "Service", app, "pods"), "spec": spec}


def _ingress(app: App, host: str, port: int) -> Document:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": child(app), "port": {"number": port}}}}
    spec = {"rules": [{"host": host, "http": {"paths": [path]}}]}
    return {**_head("networking.k8s.io/v1", "Ingress", app), "spec": spec}


def _autoscaler(app: App) -> Document:
    scale = app.spec.scale
    assert scale is not None
    metrics = [
        {
            "type": "Resource",
            "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": _share(value)}},
        }
        for name, value in (("cpu", scale.cpu), ("memory", scale.memory))
        if value is not None
    ]
    kind = "StatefulSet" if app.spec.type == "stateful" else "Deployment"
    target = {"apiVersion": "apps/v1", "kind": kind, "name": child(app)}
    spec = {"scaleTargetRef": target, "minReplicas": scale.min or 1, "maxReplicas": scale.max, "metrics": metrics}
    return {**_head("autoscaling/v2", "HorizontalPodAutoscaler", app), "spec": spec}


def _share(value: int | str) -> int:
    return int(str(value).removesuffix("%"))


# --- the pods


def _workload(app: App, needed: Mapping[str, App], release: int) -> Document:
    spec = app.spec
    template = _template(app, needed)
    chosen: Document = {"selector": {"matchLabels": _selector(app)}, "template": template}
    if spec.scale is None and spec.type in ("stateless", "stateful"):
        chosen["replicas"] = 1 if spec.replicas is None else spec.replicas
    if spec.type == "stateful":
        claims = [
            {"metadata": {"name": volume.name, "labels": _labels(app)}, "spec": _claim_spec(volume)}
            for volume in spec.volumes
        ]
        chosen |= {"serviceName": child(app, "pods"), "revisionHistoryLimit": HISTORY}
        if claims:
            chosen["volumeClaimTemplates"] = claims
        return {**_head("apps/v1", "StatefulSet", app), "spec": chosen}
    if spec.type == "daemon":
        # The new pod is ready before the old one goes: a release that fails leaves the old one serving.
        rolling: Document = {"maxSurge": 1, "maxUnavailable": 0}
        chosen |= {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
        return {**_head("apps/v1", "DaemonSet", app), "spec": {**chosen, "revisionHistoryLimit": HISTORY}}
    if spec.type == "batch":
        return {**_head("batch/v1", "Job", app, f"r{release}" if release else ""), "spec": _job(template)}
    if spec.type == "cron":
        job = {"metadata": {"labels": _labels(app)}, "spec": _job(template)}
        timed: Document = {"schedule": spec.schedule, "concurrencyPolicy": "Forbid", "jobTemplate": job}
        if spec.timeZone:
            timed["timeZone"] = spec.timeZone
        return {**_head("batch/v1", "CronJob", app), "spec": timed}
    rolling = {"maxSurge": "25%", "maxUnavailable": 0}
    chosen |= {
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        "progressDeadlineSeconds": PROGRESS,
        "revisionHistoryLimit": HISTORY,
    }
    return {**_head("apps/v1", "Deployment", app), "spec": chosen}


def _job(template: Document) -> Document:
    inner = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    return {"template": inner, "backoffLimit": 3}


def _template(app: App, needed: Mapping[str, App]) -> Document:
    spec = app.spec
    metadata: Document = {"labels": _labels(app)}
    annotations: Document = {}
    if spec.needs:
        annotations[NEEDS] = digest(needs(spec.needs, needed))
    if spec.instrument == "python":
        annotations[PYTHON] = "true"
    if annotations:
        metadata["annotations"] = annotations
    pod: Document = {"containers": [_container(app)]}
    if spec.volumes and spec.type != "stateful":
        pod["volumes"] = [
            {"name": volume.name, "persistentVolumeClaim": {"claimName": child(app, volume.name or "")}}
            for volume in spec.volumes
        ]
    return {"metadata": metadata, "spec": pod}


def _container(app: App) -> Document:
    spec = app.spec
    container: Document = {
        "name": "app",
        "image": spec.source.image,
        # What was built here is in no registry; another version is another name.
        "imagePullPolicy": "IfNotPresent",
        # Whoever asks why it ended finds the last lines that it wrote in its status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    for name, words in (("command", spec.command), ("args", spec.args)):
        if words:
            container[name] = list(words)
    env = {"PORT": str(spec.port), **spec.env} if spec.port is not None else dict(spec.env)
    if env:
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    sources = _sources(app)
    if sources:
        container["envFrom"] = sources
    if spec.port is not None:
        protocol = spec.protocol or "TCP"
        container["ports"] = [{"name": _port_name(spec), "containerPort": spec.port, "protocol": protocol}]
        if protocol == "TCP":
            container["readinessProbe"] = _readiness(spec, spec.port)
    if spec.volumes:
        container["volumeMounts"] = [{"name": volume.name, "mountPath": volume.path} for volume in spec.volumes]
    resources = codec.document(spec.resources) if spec.resources is not None else {}
    if spec.scale is not None and not resources.get("requests"):
        # Utilization is a share of the request, so there must be one.
        resources = {**resources, "requests": {"cpu": "100m", "memory": "64Mi"}}
    if resources:
        container["resources"] = resources
    return container


def _sources(app: App) -> list[Document]:
    """Its own secrets, the addresses of needed apps, and those apps' secrets under the need's name."""
    sources: list[Document] = []
    if app.spec.secrets:
        sources.append({"secretRef": {"name": child(app, "secret")}})
    if app.spec.needs:
        sources.append({"configMapRef": {"name": child(app, "needs")}})
    for need in app.spec.needs:
        secret = {"name": f"{need.app}-secret", "optional": True}
        sources.append({"prefix": f"{_variable(need.name)}_", "secretRef": secret})
    return sources


def _readiness(spec: AppSpec, port: int) -> Document:
    asked: Document
    asked = {"httpGet": {"path": spec.health, "port": port}} if spec.health else {"tcpSocket": {"port": port}}
    return {**asked, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3}


def digest(value: Any) -> str:
    """Sixteen letters that stand for a value made of JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]

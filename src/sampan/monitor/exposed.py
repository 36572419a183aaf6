"""Which pods show figures, and where: the annotations prometheus.io/scrape, port, path and scheme. Pure."""

from __future__ import annotations

from typing import NamedTuple

from sampan.api.types import core_v1

SCRAPE, PORT, PATH, SCHEME = (f"prometheus.io/{each}" for each in ("scrape", "port", "path", "scheme"))
SERVICE_LABELS = ("app.kubernetes.io/name", "app", "k8s-app")
"""Labels that name what a pod belongs to, the first that is there."""


class Exposed(NamedTuple):
    """Where a pod shows its figures."""

    namespace: str
    pod: str
    scheme: str
    address: str
    port: int
    path: str


def exposed(pod: core_v1.Pod) -> Exposed | None:
    """None for a pod that does not ask to be read, does not run, or names no port."""
    annotations = pod.metadata.annotations
    if annotations.get(SCRAPE) != "true" or pod.status.phase != "Running" or not pod.status.podIP:
        return None
    given = annotations.get(PORT, "")
    declared = [port.containerPort for container in pod.spec.containers for port in container.ports]
    port = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else declared[0] if declared else 0
    if not 0 < port < 65536:
        return None
    path = annotations.get(PATH) or "/metrics"
    scheme = "https" if annotations.get(SCHEME) == "https" else "http"
    meta = pod.metadata
    rooted = path if path.startswith("/") else f"/{path}"
    return Exposed(meta.namespace or "", meta.name or "", scheme, pod.status.podIP, port, rooted)


def service_of(pod: core_v1.Pod) -> str:
    """What the pod belongs to, as people call it: a label, its controller, or its own name."""
    labels = pod.metadata.labels
    for key in SERVICE_LABELS:
        if labels.get(key):
            return labels[key]
    for owner in pod.metadata.ownerReferences:
        if owner.controller:
            template = labels.get("pod-template-hash")
            return owner.name.removesuffix(f"-{template}") if template else owner.name
    return pod.metadata.name or ""

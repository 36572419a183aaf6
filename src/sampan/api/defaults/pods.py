"""Defaults of pods and of the pod templates in other kinds."""

from __future__ import annotations

from typing import Any

from sampan.api.defaults.document import Document, each, fill, fill_number, given, section

MODE = 0o644
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod(pod: Document) -> None:
    """A pod's own defaults on top of `default_pod_spec`: templates do not get these."""
    spec = section(pod, "spec")
    default_pod_spec(spec)
    fill(spec, "enableServiceLinks", True)
    for key in CONTAINERS[:2]:
        for container in each(spec, key):
            _request_limits(given(container, "resources"))
            if spec.get("hostNetwork") is True:
                for port in each(container, "ports"):
                    if not port.get("hostPort") and "containerPort" in port:
                        port["hostPort"] = port["containerPort"]
    _request_limits(given(spec, "resources"))


def _request_limits(resources: Document | None) -> None:
    """Requests that are not given are the limits."""
    limits = resources and given(resources, "limits")
    if resources and limits:
        requests = section(resources, "requests")
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def default_template(template: Document) -> None:
    default_pod_spec(section(template, "spec"))


def default_pod_spec(spec: Document) -> None:
    fill(spec, "restartPolicy", "Always")
    fill(spec, "dnsPolicy", "ClusterFirst")
    fill(spec, "schedulerName", "default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    _mirror_service_account(spec)
    for key in CONTAINERS:
        for container in each(spec, key):
            _default_container(container)
    for volume in each(spec, "volumes"):
        default_volume(volume)


def _mirror_service_account(spec: Document) -> None:
    """serviceAccount is the deprecated name of serviceAccountName; both are always shown."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def pull_policy(image: Any) -> str:
    """Always for `latest`, said or unsaid, else IfNotPresent."""
    if not isinstance(image, str) or "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_container(container: Document) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image"))
    fill(container, "terminationMessagePath", "/dev/termination-log")
    fill(container, "terminationMessagePolicy", "File")
    for port in each(container, "ports"):
        fill(port, "protocol", "TCP")
    for variable in each(container, "env"):
        source = variable.get("valueFrom")
        if source is not None:
            _default_source(source)
    for key in PROBES:
        probe = given(container, key)
        if probe is not None:
            _default_probe(probe)
    lifecycle = given(container, "lifecycle")
    if lifecycle is not None:
        for key in ("postStart", "preStop"):
            _default_action(given(lifecycle, key) or {})


def _default_source(source: Any) -> None:
    """Where an environment variable or a downward API file comes from."""
    if source.__class__ is not dict:
        return
    field = given(source, "fieldRef")
    if field is not None:
        fill(field, "apiVersion", "v1")
    resource = given(source, "resourceFieldRef")
    if resource is not None:
        fill(resource, "divisor", "0")


def _default_probe(probe: Document) -> None:
    fill_number(probe, "timeoutSeconds", 1)
    fill_number(probe, "periodSeconds", 10)
    fill_number(probe, "successThreshold", 1)
    fill_number(probe, "failureThreshold", 3)
    _default_action(probe)
    grpc = given(probe, "grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_action(action: Document) -> None:
    http = given(action, "httpGet")
    if http is not None:
        fill(http, "path", "/")
        fill(http, "scheme", "HTTP")


def default_volume(volume: Document) -> None:
    if len(volume) == 0 or volume.keys() <= {"name"}:
        volume["emptyDir"] = {}
    for key, default in _SOURCES.items():
        source = given(volume, key)
        if source is not None:
            default(source)


def _with_mode(source: Document) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = MODE


def _downward(source: Document) -> None:
    _with_mode(source)
    for item in each(source, "items"):
        _default_source(item)


def _projected(source: Document) -> None:
    _with_mode(source)
    for part in each(source, "sources"):
        token = given(part, "serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
        for item in each(given(part, "downwardAPI") or {}, "items"):
            _default_source(item)


def _host_path(source: Document) -> None:
    if source.get("type") is None:
        source["type"] = ""


def _ephemeral(source: Document) -> None:
    template = given(source, "volumeClaimTemplate")
    if template is not None:
        fill(section(template, "spec"), "volumeMode", "Filesystem")


def _iscsi(source: Document) -> None:
    fill(source, "iscsiInterface", "default")


def _image(source: Document) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference"))


def _rbd(source: Document) -> None:
    fill(source, "pool", "rbd")
    fill(source, "user", "admin")
    fill(source, "keyring", "/etc/ceph/keyring")


def _azure_disk(source: Document) -> None:
    fill(source, "cachingMode", "ReadWrite")
    fill(source, "kind", "Shared")
    fill(source, "fsType", "ext4")
    fill(source, "readOnly", False)


def _scale_io(source: Document) -> None:
    fill(source, "storageMode", "ThinProvisioned")
    fill(source, "fsType", "xfs")


_SOURCES = {
    "secret": _with_mode,
    "configMap": _with_mode,
    "downwardAPI": _downward,
    "projected": _projected,
    "hostPath": _host_path,
    "ephemeral": _ephemeral,
    "iscsi": _iscsi,
    "image": _image,
    "rbd": _rbd,
    "azureDisk": _azure_disk,
    "scaleIO": _scale_io,
}
"""What a volume's source gets, for volumes in pods; persistent volumes share the last ones."""


def default_volume_source(spec: Document) -> None:
    """A persistent volume's source: those of the table that may appear there."""
    for key in ("hostPath", "iscsi", "rbd", "azureDisk", "scaleIO"):
        source = given(spec, key)
        if source is not None:
            _SOURCES[key](source)

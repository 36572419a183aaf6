"""Columns of core/v1 but pods and replication controllers, and of events.k8s.io."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api import duration
from sampan.api.columns.common import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    access_modes,
    condition,
    first,
    host_port,
    labels,
)
from sampan.api.kinds.kind import Column
from sampan.api.types import core_v1, events_v1

NAMESPACE = (NAME, Column("Status", lambda object, now: object.status.phase or ""), AGE)
CONFIG_MAP = (NAME, Column("Data", lambda object, now: len(object.data) + len(object.binaryData)), AGE)
SECRET = (
    NAME,
    Column("Type", lambda object, now: object.type or ""),
    Column("Data", lambda object, now: len(object.data)),
    AGE,
)
SERVICE_ACCOUNT = (NAME, Column("Secrets", lambda object, now: len(object.secrets)), AGE)


# --- nodes


def node_status(node: core_v1.Node, now: float = 0) -> str:
    """`Ready`, `NotReady` or `Unknown`, with `SchedulingDisabled` when cordoned."""
    ready = condition(node.status.conditions, "Ready")
    word = "Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if node.spec.unschedulable else word


def node_roles(node: core_v1.Node, now: float = 0) -> str:
    prefix = "node-role.kubernetes.io/"
    found = set()
    for key, value in node.metadata.labels.items():
        if key.startswith(prefix) and len(key) > len(prefix):
            found.add(key.removeprefix(prefix))
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return ",".join(sorted(found)) or NONE


def _address(type: str) -> Any:
    return lambda node, now: next((a.address for a in node.status.addresses if a.type == type), NONE)


def _info(field: str) -> Any:
    return lambda node, now: getattr(node.status.nodeInfo, field, None) or UNKNOWN


NODE = (
    NAME,
    Column("Status", node_status),
    Column("Roles", node_roles),
    AGE,
    Column("Version", lambda node, now: node.status.nodeInfo.kubeletVersion if node.status.nodeInfo else ""),
    Column("Internal-IP", _address("InternalIP"), priority=1),
    Column("External-IP", _address("ExternalIP"), priority=1),
    Column("OS-Image", _info("osImage"), priority=1),
    Column("Kernel-Version", _info("kernelVersion"), priority=1),
    Column("Container-Runtime", _info("containerRuntimeVersion"), priority=1),
)


# --- services


def _external_ip(service: core_v1.Service, now: float) -> str:
    spec = service.spec
    own = list(spec.externalIPs)
    if spec.type == "ExternalName":
        return spec.externalName or NONE
    if spec.type == "LoadBalancer":
        balancer = service.status.loadBalancer
        given = sorted({point.ip or point.hostname or "" for point in balancer.ingress} - {""})
        return ",".join(given + own) or "<pending>"
    return ",".join(own) or NONE


def _ports(service: core_v1.Service, now: float) -> str:
    made = [
        f"{port.port}:{port.nodePort}/{port.protocol}" if port.nodePort else f"{port.port}/{port.protocol}"
        for port in service.spec.ports
    ]
    return ",".join(made) or NONE


SERVICE = (
    NAME,
    Column("Type", lambda object, now: object.spec.type or ""),
    Column("Cluster-IP", lambda object, now: object.spec.clusterIP or NONE),
    Column("External-IP", _external_ip),
    Column("Port(s)", _ports),
    AGE,
    Column("Selector", lambda object, now: labels(object.spec.selector), priority=1),
)


def _endpoints(object: core_v1.Endpoints, now: float) -> str:
    found: list[str] = []
    for subset in object.subsets:
        if not subset.ports:
            found += [address.ip for address in subset.addresses]
        found += [host_port(address.ip, port.port) for port in subset.ports for address in subset.addresses]
    return first(found) or NONE


ENDPOINTS = (NAME, Column("Endpoints", _endpoints), AGE)


# --- events


def _object_reference(kind: str | None, name: str | None) -> str:
    word = (kind or "").lower()
    return f"{word}/{name}" if name else word


def _source(component: str | None, reporter: str | None, host: str | None, instance: str | None) -> str:
    who, where = component or reporter or "", host or instance or ""
    return f"{who}, {where}" if where else who


def _last_seen(event: core_v1.Event, now: float) -> str:
    series = event.series.lastObservedTime if event.series else None
    return duration.since(series or event.lastTimestamp or event.eventTime, now)


def _last_seen_v1(event: events_v1.Event, now: float) -> str:
    series = event.series.lastObservedTime if event.series else None
    return duration.since(series or event.deprecatedLastTimestamp or event.eventTime, now)


def _count(series: Any, count: int | None) -> int:
    return (series.count if series else count) or 1


EVENT = (
    Column("Last Seen", _last_seen),
    Column("Type", lambda event, now: event.type or ""),
    Column("Reason", lambda event, now: event.reason or ""),
    Column("Object", lambda event, now: _object_reference(event.involvedObject.kind, event.involvedObject.name)),
    Column("Subobject", lambda event, now: event.involvedObject.fieldPath or "", priority=1),
    Column(
        "Source",
        lambda event, now: _source(
            event.source.component, event.reportingComponent, event.source.host, event.reportingInstance
        ),
        priority=1,
    ),
    Column("Message", lambda event, now: (event.message or "").strip()),
    Column("First Seen", lambda event, now: duration.since(event.firstTimestamp or event.eventTime, now), priority=1),
    Column("Count", lambda event, now: str(_count(event.series, event.count)), priority=1),
    Column("Name", lambda event, now: event.metadata.name or "", format="name", priority=1),
)


def _regarding(event: events_v1.Event, field: str) -> str:
    return getattr(event.regarding, field, None) or "" if event.regarding else ""


def _source_v1(event: events_v1.Event, now: float) -> str:
    old = event.deprecatedSource or core_v1.EventSource()
    return _source(old.component, event.reportingController, old.host, event.reportingInstance)


EVENT_V1 = (
    Column("Last Seen", _last_seen_v1),
    Column("Type", lambda event, now: event.type or ""),
    Column("Reason", lambda event, now: event.reason or ""),
    Column("Object", lambda event, now: _object_reference(_regarding(event, "kind"), _regarding(event, "name"))),
    Column("Subobject", lambda event, now: _regarding(event, "fieldPath"), priority=1),
    Column("Source", _source_v1, priority=1),
    Column("Message", lambda event, now: (event.note or "").strip()),
    Column(
        "First Seen",
        lambda event, now: duration.since(event.deprecatedFirstTimestamp or event.eventTime, now),
        priority=1,
    ),
    Column("Count", lambda event, now: str(_count(event.series, event.deprecatedCount)), priority=1),
    Column("Name", lambda event, now: event.metadata.name or "", format="name", priority=1),
)


# --- volumes, quotas, components


def _phase(object: core_v1.PersistentVolume | core_v1.PersistentVolumeClaim, now: float) -> str:
    return "Terminating" if object.metadata.deletionTimestamp else object.status.phase or ""


def _claim(volume: core_v1.PersistentVolume, now: float) -> str:
    claim = volume.spec.claimRef
    return f"{claim.namespace}/{claim.name}" if claim else ""


def _old_class(object: Any) -> str:
    return (
        object.metadata.annotations.get("volume.beta.kubernetes.io/storage-class") or object.spec.storageClassName or ""
    )


PERSISTENT_VOLUME = (
    NAME,
    Column("Capacity", lambda object, now: object.spec.capacity.get("storage", "")),
    Column("Access Modes", lambda object, now: access_modes(object.spec.accessModes)),
    Column("Reclaim Policy", lambda object, now: object.spec.persistentVolumeReclaimPolicy or ""),
    Column("Status", _phase),
    Column("Claim", _claim),
    Column("StorageClass", lambda object, now: _old_class(object)),
    Column("VolumeAttributesClass", lambda object, now: object.spec.volumeAttributesClassName or UNSET),
    Column("Reason", lambda object, now: object.status.reason or ""),
    AGE,
    Column("VolumeMode", lambda object, now: object.spec.volumeMode or UNSET, priority=1),
)


def _bound(claim: core_v1.PersistentVolumeClaim) -> bool:
    return bool(claim.spec.volumeName)


PERSISTENT_VOLUME_CLAIM = (
    NAME,
    Column("Status", _phase),
    Column("Volume", lambda object, now: object.spec.volumeName or ""),
    Column("Capacity", lambda object, now: object.status.capacity.get("storage", "") if _bound(object) else ""),
    Column("Access Modes", lambda object, now: access_modes(object.status.accessModes) if _bound(object) else ""),
    Column("StorageClass", lambda object, now: _old_class(object)),
    Column("VolumeAttributesClass", lambda object, now: object.spec.volumeAttributesClassName or UNSET),
    AGE,
    Column("VolumeMode", lambda object, now: object.spec.volumeMode or UNSET, priority=1),
)


def _quota(limits: bool) -> Any:
    def cell(object: core_v1.ResourceQuota, now: float) -> str:
        used, hard = object.status.used, object.status.hard
        names = sorted(name for name in hard if name.startswith("limits.") == limits)
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return cell


RESOURCE_QUOTA = (NAME, Column("Request", _quota(False)), Column("Limit", _quota(True)), AGE)


def _healthy(object: core_v1.ComponentStatus) -> Any:
    return condition(_conditions(object), "Healthy")


def _conditions(object: core_v1.ComponentStatus) -> Iterable[core_v1.ComponentCondition]:
    return object.conditions


def _component_status(object: core_v1.ComponentStatus, now: float) -> str:
    found = _healthy(object)
    if found is None:
        return "Unknown"
    return "Healthy" if found.status == "True" else "Unhealthy"


COMPONENT_STATUS = (
    NAME,
    Column("Status", _component_status),
    Column("Message", lambda object, now: getattr(_healthy(object), "message", "") or ""),
    Column("Error", lambda object, now: getattr(_healthy(object), "error", "") or ""),
)

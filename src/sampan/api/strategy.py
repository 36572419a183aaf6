"""What the server owns of an object on creation and update: upstream's strategies, on documents in place."""

from __future__ import annotations

from typing import Any

from sampan.api import quantity
from sampan.api.defaults.document import Document, each, given, section

# --- the common ones


def drop_status(document: Document) -> None:
    """Creation: status belongs to the status subresource."""
    document["status"] = {}


def keep_status(document: Document, old: Document) -> None:
    """Update: status stays as it was."""
    _carry(document, old, "status")


def _carry(document: Document, old: Document, key: str) -> None:
    if key in old:
        document[key] = old[key]
    else:
        document.pop(key, None)


# --- pods


def create_pod(pod: Document) -> None:
    """A new pod is Pending, of a quality of service, and perhaps gated."""
    spec = section(pod, "spec")
    status: Document = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    pod["status"] = status


def qos_class(spec: Document) -> str:
    """Guaranteed, Burstable or BestEffort, from the CPU and memory of every container or of the pod itself."""
    own = given(spec, "resources")
    if own and (own.get("requests") or own.get("limits")):
        parts = [own]
    else:
        containers = [*each(spec, "containers"), *each(spec, "initContainers")]
        parts = [given(container, "resources") or {} for container in containers]
    requests = [_amounts(part, "requests") for part in parts]
    limits = [_amounts(part, "limits") for part in parts]
    if not any(requests) and not any(limits):
        return "BestEffort"
    guaranteed = all(limit.keys() == {"cpu", "memory"} for limit in limits) and all(
        request in ({}, limit) or {**limit, **request} == limit for request, limit in zip(requests, limits, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(resources: Document, key: str) -> dict[str, int]:
    """CPU and memory that are not zero, in nano units; what is no quantity counts as absent."""
    found = {}
    for name, value in (given(resources, key) or {}).items():
        if name in ("cpu", "memory"):
            try:
                amount = quantity.read(str(value)).nano
            except ValueError:
                continue  # the decoder refuses it in a moment, with the field's path
            if amount:
                found[name] = amount
    return found


# --- core


def create_namespace(namespace: Document) -> None:
    """A new namespace is Active and is held by the finalizer that empties it."""
    namespace["status"] = {"phase": "Active"}
    spec = section(namespace, "spec")
    finalizers = spec.get("finalizers")
    if not finalizers:
        spec["finalizers"] = ["kubernetes"]
    elif isinstance(finalizers, list) and "kubernetes" not in finalizers:
        spec["finalizers"] = [*finalizers, "kubernetes"]


def update_namespace(namespace: Document, old: Document) -> None:
    """Finalizers of the spec change through /finalize only."""
    keep_status(namespace, old)
    _carry(section(namespace, "spec"), given(old, "spec") or {}, "finalizers")


def create_pending(document: Document) -> None:
    """Persistent volumes and claims begin as Pending."""
    document["status"] = {"phase": "Pending"}


def update_signing_request(request: Document, old: Document) -> None:
    """A certificate request never changes; status and conditions have their own subresources."""
    keep_status(request, old)
    _carry(request, old, "spec")


# --- services


def update_service(service: Document, old: Document) -> None:
    """What was allocated stays unless the update says otherwise; what the new type has no use for goes."""
    keep_status(service, old)
    new_spec, old_spec = section(service, "spec"), given(old, "spec") or {}
    _keep_allocated(new_spec, old_spec)
    _drop_unused(new_spec, old_spec)


def _has_ip(spec: Document) -> bool:
    return spec.get("type") != "ExternalName"


def _has_node_ports(spec: Document) -> bool:
    return spec.get("type") == "NodePort" or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def _has_health_port(spec: Document) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _keep_allocated(new: Document, old: Document) -> None:
    if _has_ip(new) and _has_ip(old):
        if not new.get("clusterIP") and not new.get("clusterIPs"):
            _keep(new, old, "clusterIP")
        if new.get("clusterIP") == old.get("clusterIP") and not new.get("clusterIPs"):
            _keep(new, old, "clusterIPs")
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not new.get(key):
                _keep(new, old, key)
    if _has_node_ports(new) and _has_node_ports(old):
        taken = {port.get("nodePort") for port in each(new, "ports")}
        known = {(port.get("protocol"), _key(port.get("port"))): port.get("nodePort") for port in each(old, "ports")}
        for port in each(new, "ports"):
            number = known.get((port.get("protocol"), _key(port.get("port"))))
            if not port.get("nodePort") and number and number not in taken:
                port["nodePort"] = number
    if _has_health_port(new) and _has_health_port(old) and not new.get("healthCheckNodePort"):
        _keep(new, old, "healthCheckNodePort")


def _key(port: Any) -> Any:
    return port if isinstance(port, int) else None


def _keep(new: Document, old: Document, key: str) -> None:
    if old.get(key):
        new[key] = old[key]


def _drop_unused(new: Document, old: Document) -> None:
    """Only what the client merely left as it was goes; what it set on purpose stays for validation to refuse."""

    def forget(*keys: str) -> None:
        for key in keys:
            if key in new and new[key] == old.get(key):
                del new[key]

    if _has_ip(old) and not _has_ip(new):
        forget("clusterIPs", "clusterIP", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if _has_node_ports(old) and not _has_node_ports(new):
        numbers = [port.get("nodePort") for port in each(old, "ports")]
        for port in each(new, "ports"):
            if port.get("nodePort") in numbers:
                port.pop("nodePort", None)
    if _has_health_port(old) and not _has_health_port(new):
        forget("healthCheckNodePort")
    if new.get("type") != "LoadBalancer":
        forget("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if new.get("type") not in ("NodePort", "LoadBalancer") and not new.get("externalIPs"):
        forget("externalTrafficPolicy")


# --- batch


def create_job(job: Document) -> None:
    """The selector and labels by which a job knows its pods; needs `metadata.uid`, which the server sets before."""
    drop_status(job)
    spec, metadata = section(job, "spec"), section(job, "metadata")
    uid, name = metadata.get("uid"), metadata.get("name")
    if spec.get("manualSelector") is True or not uid:
        return
    labels = section(section(section(spec, "template"), "metadata"), "labels")
    for key in ("controller-uid", "batch.kubernetes.io/controller-uid"):
        labels.setdefault(key, uid)
    for key in ("job-name", "batch.kubernetes.io/job-name"):
        labels.setdefault(key, name)
    section(section(spec, "selector"), "matchLabels").setdefault("batch.kubernetes.io/controller-uid", uid)


# --- extension


def create_definition(definition: Document) -> None:
    definition["status"] = {}
    _note_storage_version(definition)


def update_definition(definition: Document, old: Document) -> None:
    """Every version that was ever the storage version stays listed, because objects may be stored in it."""
    keep_status(definition, old)
    if given(definition, "status") is not None:
        definition["status"] = dict(definition["status"])
    _note_storage_version(definition)


def _note_storage_version(definition: Document) -> None:
    status = section(definition, "status")
    for version in each(given(definition, "spec") or {}, "versions"):
        name = version.get("name")
        stored = status.get("storedVersions") or []
        if version.get("storage") is True and isinstance(stored, list) and name not in stored:
            status["storedVersions"] = [*stored, name]

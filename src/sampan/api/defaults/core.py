"""Defaults of core/v1 but pods and services."""

from __future__ import annotations

import base64

from sampan.api.defaults.document import Document, each, fill, given, section
from sampan.api.defaults.pods import default_template, default_volume_source

NAME_LABEL = "kubernetes.io/metadata.name"


def default_namespace(namespace: Document) -> None:
    """The label that carries the name, and the phase."""
    metadata = section(namespace, "metadata")
    if metadata.get("name"):
        section(metadata, "labels")[NAME_LABEL] = metadata["name"]
    fill(section(namespace, "status"), "phase", "Active")


def default_secret(secret: Document) -> None:
    """The type; stringData, which is for writing only, goes into data."""
    fill(secret, "type", "Opaque")
    strings = given(secret, "stringData")
    if strings is not None and all(isinstance(value, str) for value in strings.values()):
        data = section(secret, "data") if strings else {}
        for key, value in strings.items():
            data[key] = base64.b64encode(value.encode("utf-8", "replace")).decode()
        del secret["stringData"]


def default_endpoints(endpoints: Document) -> None:
    for subset in each(endpoints, "subsets"):
        for port in each(subset, "ports"):
            fill(port, "protocol", "TCP")


def default_limit_range(limits: Document) -> None:
    """Containers: the default limit is the maximum, the default request the limit, else the minimum."""
    for item in each(section(limits, "spec"), "limits"):
        if item.get("type") != "Container":
            continue
        default, request = dict(given(item, "default") or {}), dict(given(item, "defaultRequest") or {})
        default = {**(given(item, "max") or {}), **default}
        request = {**(given(item, "min") or {}), **default, **request}
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def default_node(node: Document) -> None:
    status = given(node, "status")
    if status and given(status, "capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])


def default_persistent_volume(volume: Document) -> None:
    spec = section(volume, "spec")
    fill(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill(spec, "volumeMode", "Filesystem")
    default_volume_source(spec)
    fill(section(volume, "status"), "phase", "Pending")


def default_persistent_volume_claim(claim: Document) -> None:
    fill(section(claim, "spec"), "volumeMode", "Filesystem")
    fill(section(claim, "status"), "phase", "Pending")


def default_pod_template(template: Document) -> None:
    default_template(section(template, "template"))


def default_replication_controller(controller: Document) -> None:
    """The template's labels are the selector and the labels when there are none."""
    spec = section(controller, "spec")
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    template = given(spec, "template")
    if template is None:
        return
    default_template(template)
    labels = given(section(template, "metadata"), "labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = section(controller, "metadata")
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)

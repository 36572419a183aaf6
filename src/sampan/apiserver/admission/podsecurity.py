"""PodSecurity: a namespace's labels say how far its pods may go; `enforce` refuses, `warn` tells the client.

    pod-security.kubernetes.io/enforce: restricted      pod-security.kubernetes.io/warn: restricted

The checks are those of v1.37 whatever version a label asks for.
"""

from __future__ import annotations

import re
from typing import Any

from sampan.api import codec
from sampan.api.errors import FieldError, invalid, invalid_error
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import Plugin, metadata, refuse
from sampan.apiserver.admission.standards import LEVELS, violations
from sampan.apiserver.contracts import Admission, View

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
_TEMPLATES = {
    "daemonsets": ("spec", "template"),
    "deployments": ("spec", "template"),
    "jobs": ("spec", "template"),
    "replicasets": ("spec", "template"),
    "replicationcontrollers": ("spec", "template"),
    "statefulsets": ("spec", "template"),
    "cronjobs": ("spec", "jobTemplate", "spec", "template"),
    "podtemplates": ("template",),
}
_is_version = re.compile(r"latest|v1\.(0|[1-9][0-9]*)").fullmatch


class PodSecurity(Plugin):
    name = "PodSecurity"
    handles = (
        "namespaces",
        "pods",
        "podtemplates",
        "replicationcontrollers",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "jobs.batch",
        "cronjobs.batch",
    )

    def __init__(self, view: View) -> None:
        self._view = view

    def validate(self, admission: Admission) -> None:
        document = admission.document
        if document is None or admission.attributes.subresource not in ("", "ephemeralcontainers"):
            return
        if admission.kind.plural == "namespaces":
            _judge_labels(admission, document)
            return
        namespace = self._view.get(core_v1.Namespace, admission.attributes.namespace)
        labels = namespace.metadata.labels if namespace is not None else {}
        if not any(f"{PREFIX}{mode}" in labels for mode in MODES):
            return
        spec = _spec(admission, document)
        if spec is None:
            return
        if admission.kind.plural == "pods":
            verdict = _verdict(labels, "enforce", spec)
            if verdict:
                raise refuse(admission, f"violates PodSecurity {verdict}")
        verdict = _verdict(labels, "warn", spec)
        if verdict:
            admission.warnings.append(f"would violate PodSecurity {verdict}")


def _spec(admission: Admission, document: Document) -> core_v1.PodSpec | None:
    """The pod's spec, or its template's; None for a change that concerns nothing the standards look at."""
    whole = codec.decode(admission.kind, document)
    old = codec.decode(admission.kind, admission.old) if admission.old is not None else None
    if admission.kind.plural == "pods":
        return None if old is not None and _images(whole.spec) == _images(old.spec) else whole.spec
    template: Any = whole
    for step in _TEMPLATES[admission.kind.plural]:
        template = getattr(template, step)
    spec: core_v1.PodSpec | None = template.spec if template is not None else None
    return spec


def _images(spec: core_v1.PodSpec) -> list[tuple[str, str | None]]:
    parts = (spec.initContainers, spec.containers, spec.ephemeralContainers)
    return [(container.name, container.image) for part in parts for container in part]


def _verdict(labels: Any, mode: str, spec: core_v1.PodSpec) -> str:
    """`"restricted:latest": reason (detail), ...`, or "" for a pod that keeps to the level."""
    level = labels.get(f"{PREFIX}{mode}") or "privileged"
    if level not in LEVELS:
        # What cannot be understood is held to the strictest.
        level = "restricted"
    found = violations(level, spec)
    if not found:
        return ""
    version = labels.get(f"{PREFIX}{mode}-version") or "latest"
    listed = ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)
    return f'"{level}:{version}": {listed}'


def _judge_labels(admission: Admission, namespace: Document) -> None:
    """Labels that say nothing known are refused when they are set."""
    labels = metadata(namespace).get("labels") or {}
    before = metadata(admission.old or {}).get("labels") or {}
    errors: list[FieldError] = []
    for mode in MODES:
        for key, good, text in (
            (f"{PREFIX}{mode}", LEVELS.__contains__, f"must be one of {', '.join(LEVELS)}"),
            (f"{PREFIX}{mode}-version", _is_version, 'must be "latest" or "v1.x"'),
        ):
            value = labels.get(key)
            if value is not None and value != before.get(key) and not good(value):
                errors.append(invalid(f"metadata.labels[{key}]", value, text))
    if errors:
        name = str(metadata(namespace).get("name") or "")
        raise invalid_error("Namespace", "", name, errors)

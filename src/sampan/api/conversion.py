"""Between the versions of kinds that are served in more than one: events and horizontal pod autoscalers."""

from __future__ import annotations

from typing import Any

import msgspec

Document = dict[str, Any]

# --- events: kept as core/v1, served also as events.k8s.io/v1

_TO_CORE = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_FROM_CORE = {core: name for name, core in _TO_CORE.items()}


def event_to_core(event: Document) -> Document:
    made = {_TO_CORE.get(key, key): value for key, value in event.items()}
    made.setdefault("involvedObject", {})
    return {**made, "apiVersion": "v1"}


def event_from_core(event: Document) -> Document:
    made = {_FROM_CORE.get(key, key): value for key, value in event.items()}
    if not made.get("deprecatedSource"):
        made.pop("deprecatedSource", None)
    return {**made, "apiVersion": "events.k8s.io/v1"}


# --- autoscalers: kept as autoscaling/v2; what v1 cannot say travels in annotations

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_ANNOTATIONS = {
    ("spec", "metrics"): f"{_PREFIX}metrics",
    ("spec", "behavior"): f"{_PREFIX}behavior",
    ("status", "conditions"): f"{_PREFIX}conditions",
    ("status", "currentMetrics"): f"{_PREFIX}current-metrics",
}


def autoscaler_to_v2(autoscaler: Document) -> Document:
    spec, status, annotations = _parts(autoscaler)
    for (part, field), annotation in _ANNOTATIONS.items():
        text = annotations.pop(annotation, None)
        value = _read(text)
        if value is not None:
            (spec if part == "spec" else status)[field] = value
    wanted = spec.pop("targetCPUUtilizationPercentage", None)
    if wanted is not None:
        target = {"type": "Utilization", "averageUtilization": wanted}
        spec["metrics"] = [_cpu({"target": target}), *spec.get("metrics", ())]
    found = status.pop("currentCPUUtilizationPercentage", None)
    if found is not None:
        current = {"averageUtilization": found}
        status["currentMetrics"] = [_cpu({"current": current}), *status.get("currentMetrics", ())]
    return _whole(autoscaler, "autoscaling/v2", spec, status, annotations)


def autoscaler_to_v1(autoscaler: Document) -> Document:
    spec, status, annotations = _parts(autoscaler)
    wanted, rest = _take_cpu(spec.get("metrics") or [], "target")
    found, current = _take_cpu(status.get("currentMetrics") or [], "current")
    spec["metrics"], status["currentMetrics"] = rest, current
    if wanted is not None:
        spec["targetCPUUtilizationPercentage"] = wanted
    if found is not None:
        status["currentCPUUtilizationPercentage"] = found
    for (part, field), annotation in _ANNOTATIONS.items():
        value = (spec if part == "spec" else status).pop(field, None)
        if value:
            annotations[annotation] = msgspec.json.encode(value).decode()
    return _whole(autoscaler, "autoscaling/v1", spec, status, annotations)


def _parts(autoscaler: Document) -> tuple[Document, Document, dict[str, str]]:
    """Copies of spec, status and annotations, so that the original stays."""
    metadata = _object(autoscaler.get("metadata"))
    return (
        dict(_object(autoscaler.get("spec"))),
        dict(_object(autoscaler.get("status"))),
        dict(_object(metadata.get("annotations"))),
    )


def _object(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _whole(old: Document, version: str, spec: Document, status: Document, annotations: dict[str, str]) -> Document:
    metadata = {key: value for key, value in _object(old.get("metadata")).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**old, "apiVersion": version, "metadata": metadata, "spec": spec, "status": status}


def _read(text: Any) -> Any:
    """An annotation's JSON; what is none was written by somebody else and is dropped with the annotation."""
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None


def _cpu(detail: Document) -> Document:
    return {"type": "Resource", "resource": {"name": "cpu", **detail}}


def _take_cpu(metrics: list[Any], side: str) -> tuple[int | None, list[Any]]:
    """The CPU utilization that v1 has a field for, and the other metrics."""
    for index, metric in enumerate(metrics):
        resource = _object(_object(metric).get("resource"))
        value = _object(resource.get(side)).get("averageUtilization")
        if resource.get("name") == "cpu" and value is not None:
            return value, [*metrics[:index], *metrics[index + 1 :]]
    return None, metrics

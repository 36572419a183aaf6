from __future__ import annotations

import copy
from typing import Any

import pytest

from sampan.api import codec
from sampan.api.kinds import ALL, autoscaling, events
from sampan.api.kinds.kind import Kind

EVENT: dict[str, Any] = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "regarding": {"kind": "Pod", "name": "p"},
    "note": "hello",
    "reportingController": "kubelet",
    "deprecatedCount": 2,
    "eventTime": "2026-01-02T03:04:05.000000Z",
}
METRICS = [{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization"}}}]
AUTOSCALER: dict[str, Any] = {
    "apiVersion": "autoscaling/v1",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "a", "annotations": {"mine": "x"}},
    "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70},
    "status": {"currentCPUUtilizationPercentage": 10, "desiredReplicas": 1},
}


@pytest.mark.parametrize(
    ("kind", "document"),
    [(events.EVENT, EVENT), (autoscaling.HORIZONTAL_POD_AUTOSCALER_V1, AUTOSCALER)],
    ids=["event", "autoscaler"],
)
def test_there_and_back(kind: Kind, document: dict[str, Any]) -> None:
    assert kind.storage is not None
    before = copy.deepcopy(document)
    stored = kind.storage.to_stored(document)
    assert document == before
    keeper = next(
        k for k in ALL if (k.group, k.version, k.plural) == (kind.storage.group, kind.storage.version, kind.plural)
    )
    assert keeper.storage is None
    assert stored["apiVersion"] == keeper.api_version
    codec.decode(keeper, stored)
    assert codec.unknown_fields(keeper, stored) == []
    assert kind.storage.from_stored(stored) == document


def test_what_v1_cannot_say_travels_in_annotations() -> None:
    storage = autoscaling.HORIZONTAL_POD_AUTOSCALER_V1.storage
    assert storage is not None
    v2 = {"metadata": {"name": "a"}, "spec": {"metrics": METRICS, "behavior": {"scaleUp": {}}}, "status": {}}
    v1 = storage.from_stored(v2)
    assert "metrics" not in v1["spec"]
    assert "autoscaling.alpha.kubernetes.io/metrics" in v1["metadata"]["annotations"]
    assert storage.to_stored(v1) == {**v2, "apiVersion": "autoscaling/v2"}


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.storage], ids=lambda kind: kind.api_version)
@pytest.mark.parametrize("wrong", ["x", 1, [], None])
def test_wrong_shapes_do_not_matter(kind: Kind, wrong: Any) -> None:
    assert kind.storage is not None
    for convert in (kind.storage.to_stored, kind.storage.from_stored):
        convert({"metadata": wrong, "spec": wrong, "status": wrong})
        convert({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "{"}}})

"""Kinds of metrics.k8s.io/v1beta1: answered from what nodes tell, never stored."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import quantity
from sampan.api.columns.common import NAME
from sampan.api.extra import metrics_v1beta1
from sampan.api.kinds.kind import Column, Kind

GROUP = "metrics.k8s.io"
VERBS = ("get", "list")


def _cpu(*usages: Mapping[str, str]) -> str:
    return quantity.round_up(quantity.add(*(each.get("cpu", "0") for each in usages)), -3)


def _memory(*usages: Mapping[str, str]) -> str:
    return quantity.add(*(each.get("memory", "0") for each in usages))


POD_METRICS = Kind(
    metrics_v1beta1.PodMetrics,
    GROUP,
    "v1beta1",
    "pods",
    verbs=VERBS,
    stored=False,
    columns=(
        NAME,
        Column(
            "CPU", lambda pod, now: _cpu(*(each.usage for each in pod.containers)), description="Processors in use."
        ),
        Column(
            "Memory",
            lambda pod, now: _memory(*(each.usage for each in pod.containers)),
            description="Memory that cannot be given up.",
        ),
        Column("Window", lambda pod, now: pod.window, description="The time over which it was measured."),
    ),
)
NODE_METRICS = Kind(
    metrics_v1beta1.NodeMetrics,
    GROUP,
    "v1beta1",
    "nodes",
    namespaced=False,
    verbs=VERBS,
    stored=False,
    columns=(
        NAME,
        Column("CPU", lambda node, now: _cpu(node.usage), description="Processors in use."),
        Column("Memory", lambda node, now: _memory(node.usage), description="Memory that is not free."),
        Column("Window", lambda node, now: node.window, description="The time over which it was measured."),
    ),
)

KINDS = (POD_METRICS, NODE_METRICS)

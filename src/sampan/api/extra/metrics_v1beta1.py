"""Structs of metrics.k8s.io/v1beta1: what pods and nodes use. Source: the resource metrics API of k8s.io/metrics."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from sampan.api.types import meta_v1
from sampan.api.types.base import Quantity, Time


class NodeMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`usage` (cpu, memory) over the `window`, a Go duration, that ended at `timestamp`."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = field(default_factory=lambda: meta_v1.ObjectMeta())
    timestamp: Time | None = None
    window: str = field(default_factory=str)
    usage: Mapping[str, Quantity] = field(default_factory=dict)


class NodeMetricsList(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ListMeta = field(default_factory=lambda: meta_v1.ListMeta())
    items: tuple[NodeMetrics, ...] = field(default_factory=lambda: ())


class ContainerMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    name: str = field(default_factory=str)
    usage: Mapping[str, Quantity] = field(default_factory=dict)


class PodMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`usage` of each container over the `window`, a Go duration, that ended at `timestamp`."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = field(default_factory=lambda: meta_v1.ObjectMeta())
    timestamp: Time | None = None
    window: str = field(default_factory=str)
    containers: tuple[ContainerMetrics, ...] = field(default_factory=lambda: ())


class PodMetricsList(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ListMeta = field(default_factory=lambda: meta_v1.ListMeta())
    items: tuple[PodMetrics, ...] = field(default_factory=lambda: ())

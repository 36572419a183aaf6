"""Which containers are instrumented, and what they are told. Pure.

The annotations are those of the OpenTelemetry operator, so that manifests mean the same in other clusters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sampan.api.types import core_v1
from sampan.monitor.exposed import service_of

PREFIX = "instrumentation.opentelemetry.io/"
ANNOTATION = f"{PREFIX}inject-python"
CONTAINERS = (f"{PREFIX}python-container-names", f"{PREFIX}container-names")
"""Which of a pod's containers are meant, with commas between; the first one of a pod that does not say."""
PLACE = "/sampan/instrument/python"
"""Where containers find the packages."""

Pairs = tuple[tuple[str, str], ...]


class Additions(NamedTuple):
    """What a container gets: its environment anew, directories as (here, there), read-only; or why it gets nothing."""

    env: Pairs
    mounts: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def wanted(pod: core_v1.Pod, container: str) -> bool:
    annotations = pod.metadata.annotations
    # The operator knows names of its own objects here as well: whatever is not a no is a yes.
    if annotations.get(ANNOTATION, "false").strip().lower() in ("", "false"):
        return False
    named = next((annotations[each] for each in CONTAINERS if annotations.get(each)), "")
    names = [each.strip() for each in named.split(",")] if named else [each.name for each in pod.spec.containers[:1]]
    return container in names


def environment(pod: core_v1.Pod, container: str, own: Pairs, image: Iterable[str], endpoint: str) -> Pairs:
    """`own` with what OpenTelemetry has to know; what the pod or its image says about it already stays.

    `image` are the image's variables as NAME=VALUE.
    """
    said: dict[str, str] = dict(entry.partition("=")[::2] for entry in image) | dict(own)
    attributes = said.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ours = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        # Who waits for the monitor to come back waits in vain for long when it ends itself.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }
    probed = _probed(pod, container)
    if probed:
        ours["OTEL_PYTHON_EXCLUDED_URLS"] = probed
    if "service.name=" not in attributes:
        ours["OTEL_SERVICE_NAME"] = service_of(pod)
    changed = {
        "PYTHONPATH": ":".join(each for each in (f"{PLACE}/start", said.get("PYTHONPATH", "")) if each),
        # Of an attribute that is there twice, the later one counts.
        "OTEL_RESOURCE_ATTRIBUTES": ",".join([*_attributes(pod, container), *filter(None, [attributes])]),
    }
    made: Mapping[str, str] = {**{k: v for k, v in ours.items() if k not in said}, **dict(own), **changed}
    return tuple(made.items())


def _probed(pod: core_v1.Pod, container: str) -> str:
    """Paths that only probes ask for, as expressions; / is a page as well."""
    found = [
        probe.httpGet.path
        for each in pod.spec.containers
        for probe in (each.startupProbe, each.readinessProbe, each.livenessProbe)
        if each.name == container and probe is not None and probe.httpGet is not None and probe.httpGet.path
    ]
    return ",".join(dict.fromkeys(f"{re.escape(path)}$" for path in found if path != "/" and "," not in path))


def _attributes(pod: core_v1.Pod, container: str) -> list[str]:
    where = {
        "k8s.namespace.name": pod.metadata.namespace,
        "k8s.pod.name": pod.metadata.name,
        "k8s.container.name": container,
        "k8s.node.name": pod.spec.nodeName,
    }
    return [f"{name}={value}" for name, value in where.items() if value]

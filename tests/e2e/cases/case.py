"""What a case is, and the pieces that cases are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.manifests import IMAGE

NODE = "[NodeConformance]"


@dataclass(frozen=True, slots=True)
class Case:
    """`log` is what container `c` must have written, `phase` how the pod must end; `check` sees the final Pod."""

    name: str
    spec: dict[str, Any]
    log: str | None = None
    phase: str = "Succeeded"
    covers: Sequence[str] = ()
    objects: Sequence[dict[str, Any]] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    check: Callable[[dict[str, Any]], None] | None = None

    def pod(self) -> dict[str, Any]:
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **self.spec}
        for group in ("containers", "initContainers"):
            for container in spec.get(group, ()):
                container.setdefault("image", IMAGE)
                container.setdefault("imagePullPolicy", "Never")
        meta = {"name": self.name, "labels": {"case": self.name, **self.labels}, "annotations": self.annotations}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def says(script: str, **container: Any) -> dict[str, Any]:
    return {"name": "c", "command": ["/bin/sh", "-c", script], **container}


def config_map(name: str, data: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, **more}


def secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def volume(source: dict[str, Any], path: str = "/v", **mount: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(spec part, container part) of one volume named v."""
    return {"volumes": [{"name": "v", **source}]}, {"volumeMounts": [{"name": "v", "mountPath": path, **mount}]}


def with_volume(
    name: str, source: dict[str, Any], script: str, log: str, covers: Sequence[str] = (), **more: Any
) -> Case:
    mount = more.pop("mount", {})
    container = more.pop("container", {})
    spec, part = volume(source, **mount)
    return Case(
        name,
        {**spec, **more.pop("spec", {}), "containers": [says(script, **part, **container)]},
        log,
        covers=covers,
        **more,
    )

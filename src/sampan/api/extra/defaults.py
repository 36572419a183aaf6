"""What an App leaves open."""

from __future__ import annotations

import re

from sampan.api.defaults.document import Document, each, fill, given, section

SIZE = "1Gi"


def default_app(app: Document) -> None:
    spec = section(app, "spec")
    section(spec, "source")
    fill(spec, "type", "stateless")
    # `replicas` stays open: a 1 that nobody asked for would refuse the `scale` that is applied later.
    scale = given(spec, "scale")
    if scale is not None:
        if scale.get("min") is None:
            scale["min"] = 1
        if scale.get("cpu") is None and scale.get("memory") is None:
            scale["cpu"] = "80%"
    for volume in each(spec, "volumes"):
        fill(volume, "size", SIZE)
        path = volume.get("path")
        if isinstance(path, str):
            fill(volume, "name", volume_name(path))


def volume_name(path: str) -> str:
    """`/var/lib/mysql` as `var-lib-mysql`."""
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:40].rstrip("-") or "root"

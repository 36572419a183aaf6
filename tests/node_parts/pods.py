"""Pods for tests, from the part of their spec that matters."""

from __future__ import annotations

import textwrap
from typing import Any

from sampan.api.types import core_v1
from sampan.testing.objects import one

UID = "8f4d2a10-0000-4000-8000-000000000001"


def pod(spec: str, *, name: str = "web", metadata: str = "", status: str = "") -> core_v1.Pod:
    """`spec`, `metadata` and `status` are YAML, from any column."""
    text = spec_of(spec, name=name, metadata=f"uid: {UID}\n{textwrap.dedent(metadata)}")
    if status:
        text += "status:\n" + _under(status, "  ")
    found: Any = one(text)
    assert isinstance(found, core_v1.Pod)
    return found


def _under(text: str, indent: str) -> str:
    text = textwrap.dedent(text).strip("\n")
    return textwrap.indent(text, indent) + "\n" if text else ""


def spec_of(spec: str, *, name: str, metadata: str = "", node: str = "") -> str:
    """A pod's manifest."""
    text = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: default\n"
    text += _under(metadata, "  ") + "spec:\n" + _under(spec, "  ")
    return text + (f"  nodeName: {node}\n" if node else "")

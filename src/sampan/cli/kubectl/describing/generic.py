"""Any object of which nothing more is known: every field, its name in words."""

from __future__ import annotations

import re
from typing import Any

from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SHOWN = ("managedFields", "annotations", "labels", "name", "namespace")


def describe(write: Writer, document: Document, found: Document) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta.get('name', '')}")
    write(0, f"Namespace:\t{meta.get('namespace', '')}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    rest = {key: value for key, value in document.items() if key != "metadata"}
    rest["metadata"] = {key: value for key, value in meta.items() if key not in _SHOWN}
    rest.setdefault("apiVersion", "")
    _fields(write, rest, 0)
    common.events(write, found["events"])


def words(name: str) -> str:
    """`podCIDRs` -> `Pod CIDRs`, `apiVersion` -> `API Version`."""
    parts = [part for part in _HUMP.split(name) if part]
    initials = ("api", "url", "uid", "id", "ip", "tls", "dns", "http", "uri", "ttl")
    return " ".join(part.upper() if part.lower() in initials else part[:1].upper() + part[1:] for part in parts)


def _fields(write: Writer, document: Document, level: int) -> None:
    for key, value in sorted(document.items()):
        title = words(key)
        if isinstance(value, dict):
            write(level, f"{title}:")
            _fields(write, value, level + 1)
        elif isinstance(value, list):
            write(level, f"{title}:")
            for item in value:
                if isinstance(item, dict):
                    _fields(write, item, level + 1)
                else:
                    write(level + 1, _scalar(item))
        else:
            write(level, f"{title}:\t{_scalar(value)}")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return common.NONE if value is None else str(value)

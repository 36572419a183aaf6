"""Columns and cells that many kinds share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sampan.api import duration
from sampan.api.kinds.kind import Column
from sampan.api.types import core_v1, meta_v1

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
_NAME_ABOUT = "Name must be unique within a namespace."
_AGE_ABOUT = "The time since the object was created."


def name_of(object: Any, now: float) -> str:
    return object.metadata.name or ""


def age_of(object: Any, now: float) -> str:
    return duration.since(object.metadata.creationTimestamp, now)


NAME = Column("Name", name_of, format="name", description=_NAME_ABOUT)
AGE = Column("Age", age_of, description=_AGE_ABOUT)
CREATED_AT = Column(
    "Created At", lambda object, now: object.metadata.creationTimestamp or "", type="date", description=_AGE_ABOUT
)
NAME_AND_AGE = (NAME, AGE)
NAME_AND_CREATED = (NAME, CREATED_AT)


def boolean(value: bool | None) -> str:
    """`True`, `False`, `<unset>`."""
    if value is None:
        return UNSET
    return "True" if value else "False"


def labels(pairs: Mapping[str, str]) -> str:
    """`a=b,c=d` in the keys' order, `<none>` for none."""
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs)) or NONE


def selector(given: meta_v1.LabelSelector | None) -> str:
    """A label selector in the form that `-l` takes; empty for none."""
    if given is None:
        return ""
    found = [(key, f"{key}={value}") for key, value in given.matchLabels.items()]
    for need in given.matchExpressions:
        values = ",".join(sorted(need.values))
        word = {"Exists": need.key, "DoesNotExist": f"!{need.key}", "In": f"{need.key} in ({values})"}.get(
            need.operator, f"{need.key} notin ({values})"
        )
        found.append((need.key, word))
    return ",".join(text for _, text in sorted(found))


def selector_or_none(given: meta_v1.LabelSelector | None) -> str:
    return selector(given) or NONE


def container_names(spec: core_v1.PodSpec | None) -> str:
    return ",".join(container.name for container in spec.containers) if spec else ""


def container_images(spec: core_v1.PodSpec | None) -> str:
    return ",".join(container.image or "" for container in spec.containers) if spec else ""


def first(items: Sequence[str], most: int = 3) -> str:
    """The first few, joined by commas, and how many more there are."""
    shown = ",".join(items[:most])
    return f"{shown} + {len(items) - most} more..." if len(items) > most else shown


def access_modes(modes: Iterable[str]) -> str:
    """`RWO,ROX,RWX,RWOP` in that order."""
    given = set(modes)
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(text for mode, text in short.items() if mode in given)


def condition(conditions: Iterable[Any], type: str) -> Any:
    """The condition of a type, or None."""
    return next((found for found in conditions if found.type == type), None)


def host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

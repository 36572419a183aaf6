"""The patch that apply sends: from what was applied last, what is wanted now, and what is there."""

from __future__ import annotations

import re
from typing import Any

from sampan.cli.kubectl.resources import Resource

Document = dict[str, Any]

_GROUPS = re.compile(r"([a-z0-9]*)(?:\.k8s\.io)?|(rbac)\.authorization\.k8s\.io|(flowcontrol)\.apiserver\.k8s\.io")


def definition(resource: Resource) -> str:
    """The name of a built-in kind's type (`apps_v1.Deployment`), "" for custom resources."""
    import importlib

    match = _GROUPS.fullmatch(resource.group)
    if match is None:
        return ""
    module = f"{next(filter(None, match.groups()), 'core')}_{resource.version}"
    try:
        types = importlib.import_module(f"sampan.api.types.{module}")
    except ImportError:
        return ""
    return f"{module}.{resource.kind}" if hasattr(types, resource.kind) else ""


def patch(resource: Resource, original: Document, wanted: Document, live: Document) -> tuple[Document, str]:
    """The patch and its kind: strategic for kinds that are built in, merge for all others."""
    known = definition(resource)
    if known:
        from sampan.api.patch import strategic_diff

        return _without_status(strategic_diff.create(original, wanted, live, known)), "strategic"
    from sampan.api.patch import merge

    return _without_status(merge.create(original, wanted, live)), "merge"


def applied(resource: Resource, live: Document, patch: Document, how: str) -> Document:
    """What the patch would make of the object."""
    if how == "strategic":
        from sampan.api.patch import strategic

        return strategic.apply(live, patch, definition(resource))
    from sampan.api.patch import merge

    return merge.apply(live, patch)


def _without_status(patch: Document) -> Document:
    """A manifest's status is never sent: only the status subresource takes it."""
    return {key: value for key, value in patch.items() if key != "status"}

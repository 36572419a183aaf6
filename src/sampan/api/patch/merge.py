"""JSON Merge Patch (RFC 7386), and the three-way patch of `apply` for kinds without merge keys (CRDs)."""

from __future__ import annotations

from typing import Any

from sampan.api.patch import limits

Document = dict[str, Any]


def apply(document: Document, patch: Any) -> Document:
    """The document with the patch merged in. Raises BadRequest for a patch that is no object or too deep."""
    return merge(document, limits.check_object(patch))


def merge(target: Any, patch: Document) -> Document:
    """RFC 7386's MergePatch for an object; `target` is left alone."""
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge(result.get(key), value)
        else:
            result[key] = value
    return result


def create(original: Document, modified: Document, current: Document) -> Document:
    """The patch that brings `current` to `modified` and deletes what only `original` had."""
    return _unite(_changes(current, modified), _deletions(original, modified))


def difference(current: Document, modified: Document) -> Document:
    """The patch from `current` to `modified`."""
    return _unite(_changes(current, modified), _deletions(current, modified))


def _changes(current: Document, modified: Document) -> Document:
    patch: Document = {}
    for key, value in modified.items():
        if key in current:
            before = current[key]
            if isinstance(before, dict) and isinstance(value, dict):
                if below := _changes(before, value):
                    patch[key] = below
                continue
            if before == value and isinstance(before, bool) is isinstance(value, bool):
                continue
        if value is not None:
            patch[key] = value
    return patch


def _deletions(original: Document, modified: Document) -> Document:
    patch: Document = {}
    for key, before in original.items():
        value = modified.get(key)
        if value is None:
            if before is not None:
                patch[key] = None
        elif isinstance(before, dict) and isinstance(value, dict):
            if below := _deletions(before, value):
                patch[key] = below
    return patch


def _unite(changes: Document, deletions: Document) -> Document:
    """Both patches as one; a deletion stands below a map or is the only word on its key."""
    patch = dict(changes)
    for key, value in deletions.items():
        below = patch.get(key)
        patch[key] = _unite(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return patch

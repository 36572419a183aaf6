"""The three-way strategic patch that `kubectl apply` sends: from last applied, wanted and live to a patch.

Additions and changes come from live to wanted, deletions from last applied to wanted.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sampan.api.patch import metadata

Document = dict[str, Any]


class _What(NamedTuple):
    changes: bool
    deletions: bool


_CHANGES = _What(changes=True, deletions=False)
_DELETIONS = _What(changes=False, deletions=True)
_BOTH = _What(changes=True, deletions=True)


def create(original: Document, modified: Document, current: Document, definition: str) -> Document:
    """The patch that brings `current` to `modified` and deletes what only `original` had."""
    changes = _diff_maps(current, modified, definition, _CHANGES)
    deletions = _diff_maps(original, modified, definition, _DELETIONS)
    return _unite(deletions, changes, definition)


def difference(current: Document, modified: Document, definition: str) -> Document:
    """The patch from `current` to `modified`."""
    return _diff_maps(current, modified, definition, _BOTH)


def _diff_maps(
    before: Document, after: Document, definition: str, what: _What, *, retain_keys: bool = False
) -> Document:
    patch: Document = {}
    for key, old in before.items():
        new = after.get(key)
        if new is None:
            if what.deletions and old is not None:
                patch[key] = None
            continue
        field = metadata.field(definition, key)
        if isinstance(old, dict) and isinstance(new, dict) and not field.replace:
            if below := _diff_maps(old, new, field.definition, what, retain_keys=field.retain_keys):
                patch[key] = below
        elif isinstance(old, list) and isinstance(new, list) and field.merge:
            _diff_lists(patch, key, old, new, field, what)
        elif what.changes and not _equal(old, new):
            patch[key] = new
    if what.changes:
        patch.update({key: new for key, new in after.items() if key not in before and new is not None})
    if retain_keys and patch:
        patch["$retainKeys"] = sorted(key for key, value in after.items() if value is not None)
    return patch


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) is isinstance(right, bool)


def _diff_lists(patch: Document, key: str, old: list[Any], new: list[Any], field: metadata.Field, what: _What) -> None:
    if not old:
        if new and what.changes:
            patch[key] = new
        return
    if any(isinstance(item, dict) for item in (*old, *new)):
        changed = _diff_items(old, new, field, what)
        order: list[Any] = [{field.merge_key: item.get(field.merge_key)} for item in new]
        had = [{field.merge_key: item.get(field.merge_key)} for item in old]
        if changed:
            patch[key] = changed
    else:
        removed = [item for item in old if item not in new] if what.deletions else []
        changed = [item for item in new if item not in old] if what.changes else []
        order, had = new, old
        if changed:
            patch[key] = changed
        if removed:
            patch[f"$deleteFromPrimitiveList/{key}"] = removed
        changed = changed or removed
    # What only the server has does not count: an injected sidecar is no change.
    if changed or (what.changes and [item for item in had if item in order] != order):
        patch[f"$setElementOrder/{key}"] = order


def _diff_items(old: list[Any], new: list[Any], field: metadata.Field, what: _What) -> list[Any]:
    before = {_identity(item, field.merge_key): item for item in old}
    after = {_identity(item, field.merge_key): item for item in new}
    changed: list[Any] = []
    for identity, item in after.items():
        if identity not in before:
            if what.changes:
                changed.append(item)
            continue
        below = _diff_maps(before[identity], item, field.definition, what, retain_keys=field.retain_keys)
        if below:
            changed.append({**below, field.merge_key: item[field.merge_key]})
    if what.deletions:
        gone = [item for identity, item in before.items() if identity not in after]
        changed += [{"$patch": "delete", field.merge_key: item[field.merge_key]} for item in gone]
    return changed


def _identity(item: Any, merge_key: str) -> str:
    if not isinstance(item, dict) or merge_key not in item:
        raise ValueError(f"map does not contain declared merge key: {merge_key}")
    return json.dumps(item[merge_key], sort_keys=True)


def _unite(deletions: Document, changes: Document, definition: str) -> Document:
    """Both patches as one. The order lists are those of the changes: both name the wanted order."""
    patch = {**deletions, **changes}
    for key in deletions.keys() & changes.keys():
        gone, new = deletions[key], changes[key]
        field = metadata.field(definition, key)
        if isinstance(gone, dict) and isinstance(new, dict):
            patch[key] = _unite(gone, new, field.definition)
        elif isinstance(gone, list) and isinstance(new, list) and not key.startswith("$"):
            patch[key] = _unite_lists(gone, new, field, patch.get(f"$setElementOrder/{key}", []))
    return patch


def _unite_lists(gone: list[Any], new: list[Any], field: metadata.Field, order: list[Any]) -> list[Any]:
    """The items of both, in the wanted order, deletions last."""
    pending = {_identity(item, field.merge_key): item for item in gone}
    result = []
    for item in new:
        other = pending.pop(_identity(item, field.merge_key), None)
        result.append(item if other is None or "$patch" in other else _unite(other, item, field.definition))
    rank = {_identity(item, field.merge_key): at for at, item in enumerate(order)}
    result += pending.values()
    return sorted(result, key=lambda item: rank.get(_identity(item, field.merge_key), len(rank)))

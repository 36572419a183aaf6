"""Strategic merge patch: merge patch with merge keys, directives and element order.

The type of the object says how each list is treated (patch.metadata). Directives: `$patch` (replace, delete,
merge), `$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`.
Source: the field's documentation "Strategic Merge Patch" (sig-api-machinery).
"""

from __future__ import annotations

import json
from typing import Any

from sampan.api.errors import bad_request, show, status_error
from sampan.api.patch import limits, metadata
from sampan.api.patch.strategic_diff import create

__all__ = ["apply", "create"]

Document = dict[str, Any]

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList/"
SET_ORDER = "$setElementOrder/"


def apply(document: Document, patch: Any, definition: str) -> Document:
    """The document with the patch merged in; `definition` is its type, such as `core_v1.Pod`.

    Raises StatusError: 400 for a malformed patch, 422 for one that does not fit the object.
    """
    return _merge_map(document, limits.check_object(patch), definition, retain_keys=False)


def _merge_map(original: Document, patch: Document, definition: str, *, retain_keys: bool) -> Document:
    directive = patch.get(PATCH)
    if directive == "replace":
        return {key: _plain(value) for key, value in patch.items() if key != PATCH and value is not None}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type: {show(directive)}")
    result = _retain(original, patch, retain_keys)
    for key, value in patch.items():
        if key[:1] == "$" and (key in (PATCH, RETAIN_KEYS) or key.startswith((DELETE_FROM, SET_ORDER))):
            continue
        if value is None:
            result.pop(key, None)
            continue
        below = metadata.field(definition, key)
        before = result.get(key)
        if isinstance(value, dict):
            if below.replace or not isinstance(before, dict):
                result[key] = _plain(value)
            else:
                result[key] = _merge_map(before, value, below.definition, retain_keys=below.retain_keys)
        elif isinstance(value, list):
            result[key] = _merge_list(key, before, value, below) if below.merge else _plain(value)
        else:
            result[key] = value
    _delete_and_order(original, result, patch, definition)
    return result


def _retain(original: Document, patch: Document, allowed: bool) -> Document:
    """A copy of `original` without the keys that `$retainKeys` does not name."""
    if RETAIN_KEYS not in patch:
        return dict(original)
    keep = patch[RETAIN_KEYS]
    if not allowed or not _strings(keep):
        raise bad_request("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in keep:
            raise bad_request("patch content doesn't match retainKeys list")
    return {key: value for key, value in original.items() if key in keep}


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _plain(value: Any) -> Any:
    """A value of the patch as it enters a document: without nulls in maps and without directives."""
    if isinstance(value, dict):
        return {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and not (key[:1] == "$" and _directive(key))
        }
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and item.get(PATCH) == "delete")]
    return value


def _directive(key: str) -> bool:
    return key in (PATCH, RETAIN_KEYS) or key.startswith((DELETE_FROM, SET_ORDER))


# --- lists that merge ------------------------------------------------------------------------------------------------


def _merge_list(name: str, original: Any, patch: list[Any], field: metadata.Field) -> list[Any]:
    before = original if isinstance(original, list) else []
    if any(isinstance(item, list) for item in (*before, *patch)):
        raise bad_request("lists of lists are not supported")
    maps = sum(isinstance(item, dict) for item in (*before, *patch))
    if not maps:
        return list(dict.fromkeys((*before, *patch)))
    if maps < len(before) + len(patch):
        raise bad_request(f"list {show(name)} holds objects and other values")
    if not field.merge_key:
        raise bad_request(f"cannot merge lists without merge key for {name}")
    if any(item.get(PATCH) == "replace" for item in patch):
        return [_plain(item) for item in patch if item.get(PATCH) != "replace"]
    return _merge_maps(before, patch, field)


def _merge_maps(before: list[Document], patch: list[Document], field: metadata.Field) -> list[Document]:
    result: list[Document | None] = list(before)
    places = _places(before, field.merge_key)
    for item in patch:
        key = _key(item, field.merge_key)
        directive = item.get(PATCH)
        if directive == "delete":
            for at in places.pop(key, ()):
                result[at] = None
        elif directive is not None:
            text = (
                "merging lists cannot yet be specified in the patch" if directive == "merge" else "unknown patch type"
            )
            raise bad_request(f"{text}: {show(directive)}")
        elif key in places:
            at = places[key][0]
            result[at] = _merge_map(result[at] or {}, item, field.definition, retain_keys=field.retain_keys)
        else:
            places[key] = [len(result)]
            result.append(_plain(item))
    return [item for item in result if item is not None]


def _places(items: list[Document], merge_key: str) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        if merge_key in item:
            places.setdefault(_key(item, merge_key), []).append(at)
    return places


def _key(item: Document, merge_key: str) -> str:
    """The value of the merge key, hashable whatever a client put there."""
    if merge_key not in item:
        raise status_error(422, "Invalid", f"map: {show(item)} does not contain declared merge key: {merge_key}")
    value = item[merge_key]
    return value if isinstance(value, str) else "\0" + json.dumps(value, sort_keys=True)


# --- directives for lists --------------------------------------------------------------------------------------------


def _delete_and_order(original: Document, result: Document, patch: Document, definition: str) -> None:
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            name = key[len(DELETE_FROM) :]
            if not isinstance(value, list) or any(isinstance(item, (dict, list)) for item in value):
                raise bad_request("invalid patch format of primitive list")
            if isinstance(result.get(name), list):
                result[name] = [item for item in result[name] if isinstance(item, (dict, list)) or item not in value]
    for key, value in patch.items():
        if key.startswith(SET_ORDER):
            name = key[len(SET_ORDER) :]
            if not isinstance(value, list):
                raise bad_request("invalid patch format of setElementOrder list")
            field = metadata.field(definition, name)
            wanted = [_identity(item, field.merge_key) for item in value]
            _check_order(patch.get(name), wanted, key, value, field.merge_key)
            if isinstance(result.get(name), list):
                before = original.get(name)
                known = [_identity(item, field.merge_key) for item in before] if isinstance(before, list) else []
                result[name] = _ordered(result[name], wanted, known, field.merge_key)


def _identity(item: Any, merge_key: str) -> str:
    """What tells list items apart: the merge key's value, or the item itself."""
    if isinstance(item, dict):
        return _key(item, merge_key)
    return item if isinstance(item, str) else "\0" + json.dumps(item, sort_keys=True)


def _check_order(patch_list: Any, wanted: list[str], key: str, order: list[Any], merge_key: str) -> None:
    """The items that a patch adds or changes must stand in the order list, in its order."""
    if not isinstance(patch_list, list):
        return
    at = 0
    for item in patch_list:
        if isinstance(item, dict) and item.get(PATCH) == "delete":
            continue
        identity = _identity(item, merge_key)
        while at < len(wanted) and wanted[at] != identity:
            at += 1
        if at == len(wanted):
            raise bad_request(
                f"The order in patch list:\n{show(patch_list)}\n doesn't match {key} list:\n{show(order)}\n"
            )


def _ordered(items: list[Any], wanted: list[str], known: list[str], merge_key: str) -> list[Any]:
    """Items of the order list in its order; those that only the server has keep their place among them."""
    rank = {identity: at for at, identity in reversed(list(enumerate(wanted)))}
    server = {identity: at for at, identity in reversed(list(enumerate(known)))}
    ours: list[tuple[str, Any]] = []
    theirs: list[tuple[str, Any]] = []
    for item in items:
        identity = _identity(item, merge_key)
        (ours if identity in rank else theirs).append((identity, item))
    ours.sort(key=lambda pair: rank[pair[0]])
    result: list[Any] = []
    for identity, item in ours:
        while theirs and not (
            identity in server and theirs[0][0] in server and server[identity] < server[theirs[0][0]]
        ):
            result.append(theirs.pop(0)[1])
        result.append(item)
    return result + [item for _, item in theirs]

"""Server-side apply: a manager's wish merged into the live object, with every field's owners kept in managedFields.

Ownership is tracked from an object's first apply on: what was there before belongs to `before-first-apply`, as it
does upstream for objects without managedFields. Objects that nobody applies carry nothing.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from sampan.api.errors import StatusError, status_error
from sampan.api.patch import fieldsets
from sampan.api.patch.fieldsets import Definition, Fields, Path, Shape
from sampan.api.types import meta_v1

Document = dict[str, Any]
BEFORE = "before-first-apply"


class Manager(NamedTuple):
    """Who owns fields: a name, how it writes (Apply or Update), in which version, through which subresource."""

    name: str
    operation: str
    apiVersion: str
    subresource: str = ""


Owners = dict[Manager, tuple[Fields, str]]
"""The fields of each manager, and when it last changed them (RFC 3339)."""


def owners_of(document: Document) -> Owners:
    """What managedFields say."""
    found: Owners = {}
    for entry in (document.get("metadata") or {}).get("managedFields") or ():
        if isinstance(entry, dict) and entry.get("manager") is not None:
            manager = Manager(
                str(entry["manager"]),
                str(entry.get("operation") or "Update"),
                str(entry.get("apiVersion") or ""),
                str(entry.get("subresource") or ""),
            )
            found[manager] = (fieldsets.decode(entry.get("fieldsV1")), str(entry.get("time") or ""))
    return found


def write_owners(document: Document, owners: Owners) -> None:
    """Put managedFields into a document, in place."""
    entries = []
    for manager, (fields, moment) in sorted(owners.items(), key=lambda pair: (pair[0].operation, pair[1][1], pair[0])):
        if not fields:
            continue
        entry: Document = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.apiVersion,
            "time": moment,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.encode(fields),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    meta = document.setdefault("metadata", {})
    if entries:
        meta["managedFields"] = entries
    else:
        meta.pop("managedFields", None)


def apply(live: Document, wish: Document, manager: Manager, definition: Definition, *, force: bool) -> Document:
    """The live object with the wish merged in and managedFields brought up to date. Raises Conflict.

    `live` is {} when the object is new. Both stay unchanged.
    """
    owners = owners_of(live)
    if live and not owners:
        existing = fieldsets.of_document(live, definition)
        owners[Manager(BEFORE, "Update", manager.apiVersion)] = (existing, now())
    wanted = fieldsets.of_document(wish, definition)
    before = owners.get(manager, (fieldsets.EMPTY, ""))[0]
    _settle(live, wish, wanted, manager, definition, owners, force)
    merged: Document = _merge(live, wish, Shape(definition))
    others: Fields = fieldsets.EMPTY.union(*(fields for other, (fields, _) in owners.items() if other != manager))
    kept = others | wanted
    # Items before their members: an item without the fields of its key could not be found any more.
    for path in sorted(before - wanted, key=len):
        if not _names_item(path) and not any(other[: len(path)] == path for other in kept):
            _remove(merged, path, definition)
    moment = owners[manager][1] if before == wanted and manager in owners else now()
    owners[manager] = (wanted, moment)
    write_owners(merged, owners)
    return merged


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _settle(
    live: Document,
    wish: Document,
    wanted: Fields,
    manager: Manager,
    definition: Definition,
    owners: Owners,
    force: bool,
) -> None:
    """Find fields that others own with another value: refuse, or take them over."""
    conflicts: list[tuple[Manager, Path]] = []
    for other, (fields, moment) in list(owners.items()):
        if other == manager:
            continue
        lost = {path for path in fields & wanted if not _same(live, wish, path, definition)}
        if force and lost:
            owners[other] = (fields - lost, moment)
        conflicts += [(other, path) for path in sorted(lost)]
    if conflicts and not force:
        raise _conflict(conflicts)


def _same(live: Document, wish: Document, path: Path, definition: Definition) -> bool:
    if path[-1].startswith("k:"):
        return True  # the item as such; its members speak for themselves
    return bool(fieldsets.find(live, definition, path) == fieldsets.find(wish, definition, path))


def _conflict(conflicts: list[tuple[Manager, Path]]) -> StatusError:
    causes = tuple(
        meta_v1.StatusCause(
            reason="FieldManagerConflict", message=f"conflict with {_who(manager)}", field_=fieldsets.dotted(path)
        )
        for manager, path in conflicts
    )
    number = len(conflicts)
    if number == 1:
        listed = f"{causes[0].message}: {causes[0].field_}"
    else:
        by_manager: dict[str, list[str]] = {}
        for cause in causes:
            by_manager.setdefault(cause.message or "", []).append(cause.field_ or "")
        listed = "\n".join(f"{who}:\n- " + "\n- ".join(fields) for who, fields in by_manager.items())
    text = f"Apply failed with {number} conflict{'s' if number > 1 else ''}: {listed}"
    return status_error(409, "Conflict", text, meta_v1.StatusDetails(causes=causes))


def _who(manager: Manager) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    return f"{text} using {manager.apiVersion}" if manager.operation == "Update" else text


def _merge(live: Any, wish: Any, about: Shape) -> Any:
    if isinstance(wish, dict) and isinstance(live, dict) and not about.atomic:
        merged = dict(live)
        for name, value in wish.items():
            inner = fieldsets.shape(about.definition, name) if about.definition else fieldsets.GRANULAR
            merged[name] = _merge(live.get(name), value, inner)
        return merged
    if isinstance(wish, list) and isinstance(live, list):
        if about.list_type == "map" and all(isinstance(item, dict) for item in (*wish, *live)):
            return _merge_items(live, wish, about)
        if about.list_type == "set":
            return [*live, *(member for member in wish if member not in live)]
    return wish


def _merge_items(live: list[Document], wish: list[Document], about: Shape) -> list[Document]:
    """Items of the wish in its order, those of others where they stood."""
    inner = Shape(about.definition)
    wanted = {fieldsets.key_of(item, about.keys): item for item in wish}
    merged = []
    for item in live:
        mine = wanted.pop(fieldsets.key_of(item, about.keys), None)
        merged.append(item if mine is None else _merge(item, mine, inner))
    return [*merged, *wanted.values()]


def _names_item(path: Path) -> bool:
    """Whether a field is part of the key of the item that it stands in."""
    if len(path) < 2 or not path[-2].startswith("k:"):
        return False
    return path[-1].removeprefix("f:") in json.loads(path[-2].removeprefix("k:"))


def _remove(document: Document, path: Path, definition: Definition) -> None:
    """Take away what is at a path, in place along a copy of the way there."""
    owner: Any = document
    about = Shape(definition)
    for element in path[:-1]:
        kind, _, text = element.partition(":")
        if kind == "f":
            if not isinstance(owner, dict) or text not in owner:
                return
            owner[text] = _own(owner[text])
            owner, about = owner[text], fieldsets.shape(about.definition, text) if about.definition else Shape()
        elif isinstance(owner, list):
            at = next((i for i, item in enumerate(owner) if fieldsets.key_of(item, about.keys) == element), None)
            if at is None:
                return
            owner[at] = _own(owner[at])
            owner, about = owner[at], Shape(about.definition)
        else:
            return
    kind, _, text = path[-1].partition(":")
    if kind == "f" and isinstance(owner, dict):
        owner.pop(text, None)
    elif kind == "k" and isinstance(owner, list):
        owner[:] = [item for item in owner if fieldsets.key_of(item, about.keys) != path[-1]]
    elif isinstance(owner, list):
        owner[:] = [member for member in owner if fieldsets.member_of(member) != path[-1]]


def _own(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value


def track(old: Document, new: Document, manager: Manager, definition: Definition) -> None:
    """After an update of an object whose owners are tracked: what changed is the updater's now. `new` in place."""
    owners = owners_of(old)
    if not owners:
        new.setdefault("metadata", {}).pop("managedFields", None)
        return
    before, after = fieldsets.of_document(old, definition), fieldsets.of_document(new, definition)
    changed = frozenset(path for path in after if path not in before or not _same(old, new, path, definition))
    gone = before - after
    for other, (fields, moment) in list(owners.items()):
        if other != manager:
            owners[other] = (fields - changed - gone, moment)
    fields, moment = owners.get(manager, (fieldsets.EMPTY, ""))
    updated = (fields | changed) - gone
    owners[manager] = (updated, now() if changed or gone or not moment else moment)
    write_owners(new, owners)

"""The metadata of documents: what the server owns of it, and what a client may say. Changes are in place."""

from __future__ import annotations

import time

from sampan.api.errors import bad_request, conflict
from sampan.api.kinds.kind import Document, Kind


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def metadata(document: Document) -> Document:
    """The document's metadata, made when it has none. Its type has been checked by the decoder."""
    meta = document.get("metadata")
    if not isinstance(meta, dict):
        meta = document["metadata"] = {}
    return meta


def place(kind: Kind, namespace: str, meta: Document) -> None:
    if not kind.namespaced:
        return
    given = meta.get("namespace")
    if given and given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta["namespace"] = namespace


def check_identity(kind: Kind, namespace: str, name: str, document: Document, old: Document, uid: str) -> None:
    meta = metadata(document)
    given = meta.get("name")
    if given and given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    meta["name"] = name
    place(kind, namespace, meta)
    wanted, had = uid or str(meta.get("uid") or ""), str(metadata(old).get("uid") or "")
    if wanted and wanted != had:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {had}"
        raise conflict(kind.plural, kind.group, name, why)


def carry_over(document: Document, old: Document) -> None:
    """What the server owns stays when the client left it out."""
    meta, before = metadata(document), metadata(old)
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        if name in before and (name == "generation" or not meta.get(name)):
            meta[name] = before[name]
        elif name == "generation" or (name not in before and name.startswith("deletion")):
            meta.pop(name, None)
    meta.pop("selfLink", None)


def count_generation(document: Document, old: Document, *, whole: bool = False) -> None:
    """One more when something besides metadata and status changed; with `whole` the status counts, too."""
    skip = ("metadata", "apiVersion", "kind") if whole else ("metadata", "status", "apiVersion", "kind")
    new_rest = {key: value for key, value in document.items() if key not in skip}
    old_rest = {key: value for key, value in old.items() if key not in skip}
    if new_rest != old_rest:
        metadata(document)["generation"] = int(metadata(old).get("generation") or 0) + 1

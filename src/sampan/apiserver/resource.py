"""The generic resource: how any kind of object is created, changed and deleted.

    document -> defaults -> mutating admission -> canonical form -> what the server owns -> Struct -> validation
        -> validating admission -> bytes -> store (compare and swap)

Reads come from the watch cache, which the store's watch keeps up to date before a write's answer goes out.
"""

from __future__ import annotations

import inspect
import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from sampan.api import codec
from sampan.api.errors import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid_error,
    not_found_error,
    service_unavailable,
)
from sampan.api.kinds.kind import Document, Kind
from sampan.api.patch import apply
from sampan.api.patch.fieldsets import Definition
from sampan.api.types import meta_v1
from sampan.api.validation import meta as meta_rules
from sampan.apiserver import deletion, traits
from sampan.apiserver.allocation import ServiceAllocator
from sampan.apiserver.cacher import Cacher, Item
from sampan.apiserver.contracts import Admission, AdmissionPlugin, Attributes
from sampan.apiserver.meta import carry_over, check_identity, count_generation, metadata, now, place
from sampan.store.types import Conflict, Store, Unavailable

RETRIES = 16
NAME_TRIES = 8
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_decode_any = msgspec.json.Decoder().decode

Change = Callable[[Document], Document]
"""From the object as it is (a document of its own, with resourceVersion) to what it shall be."""


@dataclass(slots=True)
class Write:
    """What one write request carries besides its body. `warnings` gathers what the client shall be told.

    `manager` owns what changes where owners are tracked; `applied` says that the document names the owners itself.
    """

    attributes: Attributes
    dry_run: bool = False
    field_validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)
    manager: str = ""
    applied: bool = False


class Resources:
    """Writes to every stored kind."""

    def __init__(
        self, store: Store, cacher: Cacher, plugins: Sequence[AdmissionPlugin], services: ServiceAllocator
    ) -> None:
        self.store = store
        self.cacher = cacher
        self._plugins = tuple(plugins)
        self._by_resource: dict[str, tuple[AdmissionPlugin, ...]] = {}
        self._services = services

    # Reading what a write starts from

    async def current(self, kind: Kind, namespace: str, name: str) -> Item:
        """The object as of now. Raises NotFound."""
        if not self.cacher.fresh:
            await self.cacher.catch_up()
        item = self.cacher.of(kind).items.get(_key(kind, namespace, name))
        if item is None:
            raise not_found_error(kind.plural, kind.group, name)
        return item

    def key(self, kind: Kind, namespace: str, name: str) -> str:
        return self.cacher.of(kind).prefix + _key(kind, namespace, name)

    # Creation

    async def create(self, kind: Kind, namespace: str, document: Document, write: Write) -> bytes:
        """Store a new object and return it encoded, with resourceVersion."""
        meta = metadata(document)
        place(kind, namespace, meta)
        generated = not meta.get("name") and bool(meta.get("generateName"))
        base = str(meta.get("generateName") or "")
        for attempt in range(NAME_TRIES if generated else 1):
            if generated:
                meta["name"] = base[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))
            try:
                return await self._create(kind, namespace, document, write)
            except StatusError as error:
                if error.reason != "AlreadyExists" or not generated or attempt == NAME_TRIES - 1:
                    raise
                document = dict(document, metadata={k: v for k, v in metadata(document).items() if k != "name"})
                meta = metadata(document)
        raise AssertionError("unreachable")

    async def _create(self, kind: Kind, namespace: str, document: Document, write: Write) -> bytes:
        meta = metadata(document)
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        owners = meta.get("managedFields") if write.applied else None
        for name in traits.SERVER_OWNED:
            meta.pop(name, None)
        if owners:
            meta["managedFields"] = owners
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = now()
        if kind.resource in traits.GENERATION or kind.custom is not None:
            meta["generation"] = 1
        kind.default(document)
        admission = Admission(write.attributes, kind, "CREATE", document, None, write.dry_run, warnings=write.warnings)
        stamped = {name: meta[name] for name in traits.SERVER_OWNED if name in meta}
        await self._run(admission, "admit")
        if admission.changed:
            restore(document, stamped)
        codec.normalize(kind, document)
        kind.prepare_create(document)
        name = str(meta.get("name") or "")
        with self._services.reserve(kind, document, None):
            object = codec.decode(kind, document)
            errors = [*meta_rules.validate(kind, object), *kind.validate(object)]
            if errors:
                raise invalid_error(kind.name, kind.group, name, errors)
            await self._run(admission, "validate")
            value = self.encode(kind, object)
            if write.dry_run:
                if _key(kind, namespace, name) in self.cacher.of(kind).items:
                    raise already_exists(kind.plural, kind.group, name)
                return self.shown(kind, value)
            try:
                revision = await self.store.put(
                    self.key(kind, namespace, name), value, expect=0, ttl=traits.TTL.get(kind.plural, 0)
                )
            except Conflict:
                raise already_exists(kind.plural, kind.group, name) from None
            except Unavailable as error:
                raise service_unavailable(str(error)) from None
        return self.shown(kind, codec.with_revision(value, revision))

    # Change

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        write: Write,
        *,
        part: str = "",
        conditional: bool = False,
        uid: str = "",
    ) -> bytes:
        """Apply `change` to the object and store it, again when another write came between.

        The changed document's resourceVersion, when it has one, must be the current one; with `conditional` it
        came from the client, so that a lost race is the client's conflict. `part` is a subresource's name.
        """
        for _ in range(RETRIES):
            item = await self.current(kind, namespace, name)
            old = self.document(kind, item)
            document = change(_decode_any(codec.encode(old)))
            check_identity(kind, namespace, name, document, old, uid)
            given = str(metadata(document).get("resourceVersion") or "")
            if given and given != str(item.revision):
                raise conflict(kind.plural, kind.group, name)
            try:
                return await self._swap(kind, namespace, name, item, document, old, write, part)
            except Conflict:
                if conditional:
                    raise conflict(kind.plural, kind.group, name) from None
        raise conflict(kind.plural, kind.group, name, MODIFIED)

    async def _swap(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        item: Item,
        document: Document,
        old: Document,
        write: Write,
        part: str,
    ) -> bytes:
        """One attempt; raises Conflict of the store when the object changed meanwhile."""
        carry_over(document, old)
        kept: Document = {}
        if part == "status":
            kept = {key: value for key, value in old.items() if key not in ("metadata", "status")}
            document = {**kept, **_status_part(kind, document, old)}
        kind.default(document)
        admission = Admission(write.attributes, kind, "UPDATE", document, old, write.dry_run, warnings=write.warnings)
        await self._run(admission, "admit")
        if part == "status" and admission.changed:
            only = _status_part(kind, document, old)
            document.clear()
            document.update({**kept, **only})
        codec.normalize(kind, document)
        if not part:
            kind.prepare_update(document, old)
        if (kind.resource in traits.GENERATION or kind.custom is not None) and part != "binding":
            # Being given a node is no wish of anybody: a pod that nobody changed stays at generation 1.
            count_generation(document, old, whole=kind.custom is not None and not kind.custom.status)
        _track(kind, document, old, write, part)
        with self._services.reserve(kind, document, old):
            object, before = codec.decode(kind, document), codec.decode(kind, old)
            errors = list(meta_rules.validate_update(kind, object, before))
            if kind.custom is not None:
                errors += kind.custom.new_errors(kind.validate(object), document, old)
            elif part != "status":
                errors += kind.validate(object) if part not in ("ephemeralcontainers", "resize", "binding") else ()
                if not part:
                    errors += kind.validate_update(object, before)
            if errors:
                raise invalid_error(kind.name, kind.group, name, errors)
            await self._run(admission, "validate")
            value = self.encode(kind, object)
            return await self._store(kind, namespace, name, item, value, write)

    async def _store(self, kind: Kind, namespace: str, name: str, item: Item, value: bytes, write: Write) -> bytes:
        key = self.key(kind, namespace, name)
        unchanged = codec.with_revision(value, item.revision) == item.value
        if write.dry_run or (unchanged and not deletion.finished(value)):
            return self.shown(kind, codec.with_revision(value, item.revision))
        try:
            if deletion.finished(value):
                revision = await self.store.delete(key, expect=item.revision)
            else:
                revision = await self.store.put(key, value, expect=item.revision, ttl=traits.TTL.get(kind.plural, 0))
        except Unavailable as error:
            raise service_unavailable(str(error)) from None
        return self.shown(kind, codec.with_revision(value, revision))

    # Deletion

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: meta_v1.DeleteOptions, write: Write
    ) -> tuple[bytes, bool]:
        """Delete, or mark for deletion. Returns the object as it was or is now, and whether it is gone."""
        for _ in range(RETRIES):
            item = await self.current(kind, namespace, name)
            deletion.check_preconditions(kind, name, item, options)
            old = self.document(kind, item)
            await self._run_both(
                Admission(write.attributes, kind, "DELETE", None, old, write.dry_run, warnings=write.warnings)
            )
            document = _decode_any(codec.encode(old))
            wait = deletion.mark(kind, document, options)
            if not wait:
                if not write.dry_run:
                    try:
                        await self.store.delete(self.key(kind, namespace, name), expect=item.revision)
                    except Conflict:
                        continue
                    except Unavailable as error:
                        raise service_unavailable(str(error)) from None
                return self.shown(kind, item.value), True
            object = codec.decode(kind, document)
            try:
                value = await self._store(kind, namespace, name, item, self.encode(kind, object), write)
            except Conflict:
                continue
            return value, False
        raise conflict(kind.plural, kind.group, name)

    # Forms

    def document(self, kind: Kind, item: Item) -> Document:
        """The object in the kind's own version."""
        made: Document = _decode_any(item.value)
        return kind.storage.from_stored(made) if kind.storage else made

    def encode(self, kind: Kind, object: msgspec.Struct) -> bytes:
        """What is stored: the storage version, without resourceVersion."""
        meta: meta_v1.ObjectMeta | None = getattr(object, "metadata", None)
        if meta is not None and (meta.resourceVersion or meta.selfLink):
            plain = msgspec.structs.replace(meta, resourceVersion=None, selfLink=None)
            object = msgspec.structs.replace(object, metadata=plain)
        if kind.storage:
            return codec.encode(kind.storage.to_stored(codec.document(object)))
        return codec.encode(object)

    def shown(self, kind: Kind, value: bytes) -> bytes:
        """Stored bytes in the kind's own version."""
        if kind.storage is None:
            return value
        return codec.encode(kind.storage.from_stored(_decode_any(value)))

    # Admission

    async def _run_both(self, admission: Admission) -> None:
        await self._run(admission, "admit")
        await self._run(admission, "validate")

    async def _run(self, admission: Admission, step: str) -> None:
        await self._round(admission, step)
        if admission.changed and not admission.second and step == "admit":
            admission.second = True
            await self._round(admission, step)

    async def _round(self, admission: Admission, step: str) -> None:
        for plugin in self._plugins_for(admission.kind):
            waiting: Awaitable[None] | None = getattr(plugin, step)(admission)
            if waiting is not None and inspect.isawaitable(waiting):
                await waiting

    async def admit_unstored(self, kind: Kind, document: Document, write: Write) -> None:
        """Admission of what is only answered: a binding, an eviction, a token request, a review."""
        warnings = write.warnings
        await self._run_both(
            Admission(write.attributes, kind, "CREATE", document, None, write.dry_run, warnings=warnings)
        )

    async def admit_connect(self, attributes: Attributes, kind: Kind, options: Document) -> None:
        """Admission of a connection with its options, such as PodExecOptions."""
        await self._run_both(Admission(attributes, kind, "CONNECT", None, connection=options))

    def _plugins_for(self, kind: Kind) -> tuple[AdmissionPlugin, ...]:
        found = self._by_resource.get(kind.resource)
        if found is None:
            found = tuple(plugin for plugin in self._plugins if not plugin.handles or kind.resource in plugin.handles)
            self._by_resource[kind.resource] = found
        return found


def _key(kind: Kind, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if kind.namespaced else name


def restore(document: Document, stamped: Document) -> None:
    """What the server alone decides about a new object, whatever webhooks have made of it."""
    meta = metadata(document)
    for name in (*traits.SERVER_OWNED, "resourceVersion"):
        meta.pop(name, None)
    meta.update(stamped)


def _status_part(kind: Kind, document: Document, old: Document) -> Document:
    """What a write of the status changes: of custom resources not even labels, and no status is a status."""
    if kind.custom is None:
        return {"metadata": document["metadata"], "status": document.get("status") or {}}
    meta = dict(metadata(old))
    for name in ("managedFields", "resourceVersion"):
        if name in metadata(document):
            meta[name] = metadata(document)[name]
    return {"metadata": meta, **({"status": document["status"]} if "status" in document else {})}


def _track(kind: Kind, document: Document, old: Document, write: Write, part: str) -> None:
    """Keep managedFields, for objects that have them: those that somebody applied."""
    meta, before = metadata(document), metadata(old)
    given, had = meta.get("managedFields"), before.get("managedFields")
    if write.applied or not (given or had):
        return
    if given in ([], [{}]):
        meta.pop("managedFields", None)  # the client's way to say: forget the owners
        return
    if given and given != had:
        return  # owners that the client has rewritten
    manager = apply.Manager(write.manager or "unknown", "Update", kind.api_version, part if part == "status" else "")
    apply.track(old, document, manager, definition_of(kind))


def definition_of(kind: Kind) -> Definition:
    """The name of the kind's type in patch metadata, such as `core_v1.Pod`; a custom kind's schema."""
    if kind.custom is not None:
        described: Definition = kind.custom.definition
        return described
    return f"{kind.type.__module__.rpartition('.')[2]}.{kind.type.__name__}"

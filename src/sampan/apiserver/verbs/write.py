"""create, update, patch, delete, deletecollection: from a request's body and options to the generic resource."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sampan.api import codec
from sampan.api.errors import (
    StatusError,
    bad_request,
    invalid,
    invalid_error,
    not_supported,
    required,
    status_error,
    unsupported_media_type,
)
from sampan.api.kinds.kind import Document, Kind
from sampan.api.patch import apply
from sampan.api.patch import json as json_patch
from sampan.api.patch import merge as merge_patch
from sampan.api.patch import strategic as strategic_patch
from sampan.api.types import meta_v1
from sampan.apiserver import negotiation, traits
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.deletion import check_delete_options
from sampan.apiserver.meta import metadata
from sampan.apiserver.negotiation import WHOLE
from sampan.apiserver.resource import Change, Resources, Write, definition_of
from sampan.apiserver.routes import Route
from sampan.apiserver.verbs import selection
from sampan.apiserver.verbs.read import Reader
from sampan.http.errors import BodyTooLarge
from sampan.http.types import Request, Response

BODY_LIMIT = 3 * 1024 * 1024
AT_ONCE = 16
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
APPLIES = ("application/apply-patch+yaml", "application/apply-patch+json")
Merge = Callable[[Document, Document], Document]
VALIDATIONS = ("Ignore", "Warn", "Strict")
_OPTIONS = msgspec.json.Decoder(meta_v1.DeleteOptions)


async def body_of(request: Request) -> bytes:
    """The request's body. Raises RequestEntityTooLarge."""
    content = request.content
    if isinstance(content, bytes) and len(content) <= BODY_LIMIT:
        return content
    try:
        if isinstance(content, bytes):
            raise BodyTooLarge(BODY_LIMIT)
        return await content.read(BODY_LIMIT)
    except BodyTooLarge:
        message = f"Request entity too large: limit is {BODY_LIMIT}"
        raise status_error(413, "RequestEntityTooLarge", message) from None


def write_of(request: Request, attributes: Attributes) -> Write:
    """The options of a writing request. Raises Invalid for unknown values."""
    if "?" not in request.target:
        return Write(attributes, manager=_agent(request))
    errors = []
    dry_run = request.query.get("dryRun") or []
    if dry_run and dry_run != ["All"]:
        errors.append(not_supported("dryRun", dry_run, ("All",)))
    validation = request.param("fieldValidation") or "Warn"
    if validation not in VALIDATIONS:
        errors.append(not_supported("fieldValidation", validation, VALIDATIONS))
    if errors:
        raise invalid_error("CreateOptions", "meta.k8s.io", "", errors)
    manager = request.param("fieldManager") or _agent(request)
    return Write(attributes, bool(dry_run), validation, manager=manager)


def _agent(request: Request) -> str:
    """A client that does not name itself is known by its program."""
    return request.headers.get("user-agent", "").partition("/")[0][:128]


def read_document(kind: Kind, body: bytes, content_type: str, write: Write) -> Document:
    """A whole object from a body: of the right kind, of the right types, without unknown fields as asked for."""
    document = codec.parse(body, content_type, kind=kind.name, keep_nulls=kind.custom is not None)
    codec.identify(kind, document)
    check_fields(
        kind,
        document,
        write,
        codec.duplicates(body, content_type, document) if write.field_validation != "Ignore" else [],
    )
    return document


def check_fields(kind: Kind, document: Document, write: Write, duplicates: list[str]) -> None:
    """Refuse wrong types; treat unknown and repeated fields as fieldValidation says.

    Quantities may come as numbers, which the types do not know: they are brought into form before.
    """
    codec.normalize(kind, document)
    codec.decode(kind, document)
    if write.field_validation == "Ignore":
        return
    problems = [f'unknown field "{path}"' for path in codec.unknown_fields(kind, document)]
    problems += duplicates
    if not problems:
        return
    if write.field_validation == "Strict":
        raise codec.refuse(kind, "strict decoding error: " + ", ".join(problems))
    write.warnings += problems


class Writer:
    """The writing verbs of every stored kind."""

    def __init__(self, resources: Resources, reader: Reader) -> None:
        self._resources = resources
        self._reader = reader

    def _shown(self, request: Request, kind: Kind, value: bytes, write: Write, status: int = 200) -> Response:
        form = self._reader.negotiator.form(request)
        if form is WHOLE and not write.warnings and "pretty=" not in request.target:
            return Response(status, value, negotiation.JSON_HEADERS)
        response = self._reader.present(request, kind, value, 0, form, status)
        if write.warnings:
            response.headers = (*response.headers, *negotiation.warning_headers(write.warnings))
        return response

    async def create(self, request: Request, route: Route, attributes: Attributes) -> Response:
        kind = route.kind
        write = write_of(request, attributes)
        document = read_document(kind, await body_of(request), request.headers.get("content-type", ""), write)
        try:
            value = await self._resources.create(kind, route.namespace, document, write)
        except StatusError as error:
            error.headers = (*error.headers, *negotiation.warning_headers(write.warnings))
            raise
        return self._shown(request, kind, value, write, 201)

    async def update(
        self, request: Request, route: Route, attributes: Attributes, part: str = "", only: Merge | None = None
    ) -> Response:
        """PUT. `only(old, new)` limits what a subresource may change."""
        kind = route.kind
        write = write_of(request, attributes)
        document = read_document(kind, await body_of(request), request.headers.get("content-type", ""), write)
        given = metadata(document).get("resourceVersion")
        if not given and (kind.resource in traits.CONDITIONAL or kind.custom is not None):
            errors = [invalid("metadata.resourceVersion", 0, "must be specified for an update")]
            if _key(route) in self._reader.cacher.of(kind).items or kind.resource not in traits.CREATED_BY_UPDATE:
                raise invalid_error(kind.name, kind.group, route.name, errors)

        def change(old: Document) -> Document:
            new = dict(document)
            new["metadata"] = {"resourceVersion": metadata(old)["resourceVersion"], **metadata(document)}
            if not given:
                new["metadata"]["resourceVersion"] = metadata(old)["resourceVersion"]
            return only(old, _copy(new)) if only else _copy(new)

        try:
            value = await self._resources.update(
                kind, route.namespace, route.name, change, write, part=part, conditional=bool(given)
            )
        except StatusError as error:
            if error.reason != "NotFound" or kind.resource not in traits.CREATED_BY_UPDATE or part:
                raise
            metadata(document).setdefault("name", route.name)
            metadata(document).pop("resourceVersion", None)
            value = await self._resources.create(kind, route.namespace, document, write)
            return self._shown(request, kind, value, write, 201)
        return self._shown(request, kind, value, write)

    async def patch(
        self, request: Request, route: Route, attributes: Attributes, part: str = "", only: Merge | None = None
    ) -> Response:
        kind = route.kind
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() in APPLIES:
            return await self.apply(request, route, attributes, part)
        write = write_of(request, attributes)
        patch, change = patch_of(kind, request.headers.get("content-type", ""), await body_of(request))

        def apply(old: Document) -> Document:
            new = change(old)
            if not isinstance(new, dict):
                raise bad_request("the patch does not leave an object behind")
            codec.identify(kind, new)
            write.warnings.clear()
            check_fields(kind, new, write, [])
            return only(old, new) if only else new

        meta = patch.get("metadata") if isinstance(patch, dict) else None
        conditional = isinstance(meta, dict) and bool(meta.get("resourceVersion"))
        value = await self._resources.update(
            kind, route.namespace, route.name, apply, write, part=part, conditional=conditional
        )
        return self._shown(request, kind, value, write)

    async def apply(self, request: Request, route: Route, attributes: Attributes, part: str) -> Response:
        """Server-side apply: what the body says is this manager's wish; makes the object when there is none."""
        kind = route.kind
        write = write_of(request, attributes)
        if not request.param("fieldManager"):
            missing = [required("fieldManager", "is required for apply patch")]
            raise invalid_error("PatchOptions", "meta.k8s.io", "", missing)
        wish = read_document(kind, await body_of(request), codec.YAML, write)
        if metadata(wish).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        given = str(metadata(wish).pop("resourceVersion", None) or "")
        if not part and any(sub.replaces == "status" for sub in kind.subresources):
            wish.pop("status", None)
        if kind.custom is not None:
            kind.custom.prune(wish)
        write.applied = True
        manager = apply.Manager(write.manager, "Apply", kind.api_version, part)
        force = request.param("force") in ("true", "1")

        def change(old: Document) -> Document:
            merged = apply.apply(old, wish, manager, definition_of(kind), force=force)
            if given:
                metadata(merged)["resourceVersion"] = given
            return merged

        try:
            value = await self._resources.update(
                kind, route.namespace, route.name, change, write, part=part, conditional=bool(given)
            )
        except StatusError as error:
            if error.reason != "NotFound" or part or given:
                raise
            new = apply.apply({}, wish, manager, definition_of(kind), force=force)
            named = metadata(new).setdefault("name", route.name)
            if named != route.name:
                raise bad_request(
                    f"the name of the object ({named}) does not match the name on the URL ({route.name})"
                ) from None
            value = await self._resources.create(kind, route.namespace, new, write)
            return self._shown(request, kind, value, write, 201)
        return self._shown(request, kind, value, write)

    async def delete(self, request: Request, route: Route, attributes: Attributes) -> Response:
        kind = route.kind
        options = await delete_options(request)
        write = Write(attributes, bool(options.dryRun))
        value, gone = await self._resources.delete(kind, route.namespace, route.name, options, write)
        if gone and kind.resource not in traits.RETURNED_WHEN_DELETED:
            response = negotiation.answer(request, _success(kind, route.name, value))
            response.headers = (*response.headers, *negotiation.warning_headers(write.warnings))
            return response
        foreground = options.propagationPolicy == "Foreground" or options.orphanDependents is False
        return self._shown(request, kind, value, write, 202 if not gone and foreground else 200)

    async def delete_collection(self, request: Request, route: Route, attributes: Attributes) -> Response:
        kind = route.kind
        options = await delete_options(request)
        write = Write(attributes, bool(options.dryRun))
        selected = selection.of_request(request, route)
        await self._reader.cacher.catch_up()
        items = self._reader.select(kind, selected)[1]
        gate = asyncio.Semaphore(AT_ONCE)

        async def remove(namespace: str, name: str) -> bytes | None:
            async with gate:
                try:
                    value, _ = await self._resources.delete(kind, namespace, name, options, write)
                except StatusError as error:
                    if error.reason == "NotFound":
                        return None
                    raise
                return value

        removed = await asyncio.gather(*(remove(item.meta.namespace, item.meta.name) for item in items))
        values = [value for value in removed if value is not None]
        head = f'{{"kind":"{kind.name}List","apiVersion":"{kind.api_version}","metadata":'.encode()
        meta = b'{"resourceVersion":"%d"}' % self._reader.cacher.revision
        return negotiation.answer(request, b"".join((head, meta, b',"items":[', b",".join(values), b"]}\n")))


def _key(route: Route) -> str:
    return f"{route.namespace}/{route.name}" if route.kind.namespaced else route.name


def _copy(document: Document) -> Document:
    made: Document = msgspec.json.decode(msgspec.json.encode(document))
    return made


def _success(kind: Kind, name: str, value: bytes) -> bytes:
    details: dict[str, Any] = {"name": name}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = codec.meta(value).uid
    return msgspec.json.encode(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    )


async def delete_options(request: Request) -> meta_v1.DeleteOptions:
    """From the body, or from the query when there is none."""
    body = await body_of(request)
    if body:
        document = codec.parse(body, request.headers.get("content-type", ""), kind="DeleteOptions")
        given = document.get("kind")
        if given not in (None, "", "DeleteOptions"):
            raise bad_request(f'the object provided is unrecognized (must be of type DeleteOptions): no kind "{given}"')
        try:
            options = msgspec.convert(document, meta_v1.DeleteOptions)
        except msgspec.ValidationError as error:
            raise bad_request(f"the object provided is no DeleteOptions: {error}") from None
    else:
        options = meta_v1.DeleteOptions()
    if "?" in request.target:
        options = _with_query(options, {name: values[0] for name, values in request.query.items() if values})
    check_delete_options(options)
    return options


def _with_query(options: meta_v1.DeleteOptions, query: Mapping[str, str]) -> meta_v1.DeleteOptions:
    changes: dict[str, Any] = {}
    if query.get("gracePeriodSeconds"):
        try:
            changes["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
        except ValueError:
            text = query["gracePeriodSeconds"][:40]
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if query.get("propagationPolicy"):
        changes["propagationPolicy"] = query["propagationPolicy"]
    if query.get("orphanDependents"):
        changes["orphanDependents"] = query["orphanDependents"] in ("true", "1")
    if query.get("dryRun"):
        changes["dryRun"] = (query["dryRun"],)
    return msgspec.structs.replace(options, **changes)


def patch_of(kind: Kind, content_type: str, body: bytes) -> tuple[Any, Change]:
    """The patch as sent, and what it does to a document. Raises BadRequest, UnsupportedMediaType."""
    media = content_type.partition(";")[0].strip().lower()
    if media not in PATCHES or (kind.custom is not None and media == PATCHES[2]):
        accepted = ", ".join((*(PATCHES if kind.custom is None else PATCHES[:2]), APPLIES[0]))
        raise unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    try:
        patch = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if media == PATCHES[0]:
        return patch, lambda old: json_patch.apply(old, patch)
    if media == PATCHES[1]:
        return patch, lambda old: merge_patch.apply(old, patch)
    return patch, lambda old: strategic_patch.apply(old, patch, str(definition_of(kind)))

"""get and list: answered from memory with bytes that were encoded once."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec

from sampan.api import codec
from sampan.api.errors import (
    FieldError,
    bad_request,
    gone,
    invalid,
    invalid_error,
    not_found_error,
    not_supported,
)
from sampan.api.errors import forbidden as forbidden_field
from sampan.api.kinds.kind import Kind
from sampan.api.types import meta_v1
from sampan.apiserver import negotiation
from sampan.apiserver.cacher import Cacher, Item, ResourceCache
from sampan.apiserver.negotiation import WHOLE, Form, Negotiator
from sampan.apiserver.routes import Route
from sampan.apiserver.table import Tables, partial, partial_list
from sampan.apiserver.verbs import selection
from sampan.apiserver.verbs.selection import Selection
from sampan.http.types import Request, Response
from sampan.store.types import Compacted, FutureRevision, Store

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


class _Token(msgspec.Struct):
    """What a continue token says: the list's revision and the key to go on from."""

    rv: int
    start: str
    v: str = "meta.k8s.io/v1"


_TOKEN = msgspec.json.Decoder(_Token)


class Reader:
    """Reads of every stored kind."""

    def __init__(self, store: Store, cacher: Cacher, negotiator: Negotiator) -> None:
        self.store = store
        self.cacher = cacher
        self.negotiator = negotiator
        self._tables: dict[Kind, Tables] = {}

    def tables(self, kind: Kind) -> Tables:
        found = self._tables.get(kind)
        if found is None:
            found = self._tables[kind] = Tables(kind, codec.decoder(kind))
        return found

    def forget(self) -> None:
        """What was made of kinds that have changed."""
        self._tables.clear()

    def value(self, kind: Kind, item: Item) -> bytes:
        """The object's bytes in the kind's own version."""
        if kind.storage is None:
            return item.value
        return codec.encode(kind.storage.from_stored(msgspec.json.decode(item.value)))

    # get

    def get(self, request: Request, route: Route) -> Response | Awaitable[Response]:
        wanted = request.param("resourceVersion") if "?" in request.target else ""
        if wanted and wanted != "0":
            return self._get_at(request, route, revision_of(route.kind, wanted))
        if wanted == "0" or self.cacher.fresh:
            return self._get(request, route)
        return self._get_at(request, route, self.store.revision)

    async def _get_at(self, request: Request, route: Route, revision: int) -> Response:
        await self.cacher.reach(revision)
        return self._get(request, route)

    def _get(self, request: Request, route: Route) -> Response:
        kind = route.kind
        form = self.negotiator.form(request)
        item = self.cacher.of(kind).items.get(f"{route.namespace}/{route.name}" if kind.namespaced else route.name)
        if item is None:
            raise not_found_error(kind.plural, kind.group, route.name)
        if form is WHOLE and "?" not in request.target:
            return Response(200, self.value(kind, item), negotiation.JSON_HEADERS)
        return self.present(request, kind, self.value(kind, item), item.revision, form)

    def present(
        self, request: Request, kind: Kind, value: bytes, revision: int, form: Form, status: int = 200
    ) -> Response:
        """One object in the form asked for."""
        if form.shape == "Table":
            metadata = b'{"resourceVersion":"%d"}' % revision
            value = self.tables(kind).make((value,), metadata, request.param("includeObject", "Metadata"))
        elif form.shape == "PartialObjectMetadata":
            value = partial(value)
        return negotiation.answer(request, value, form, status)

    # list

    def list_all(self, request: Request, route: Route) -> Response | Awaitable[Response]:
        selected = selection.of_request(request, route)
        if "?" not in request.target:
            if self.cacher.fresh:
                return self._list_now(request, route, selected)
            return self._list_fresh(request, route, selected)
        wanted, match = request.param("resourceVersion"), request.param("resourceVersionMatch")
        limit = number(request.param("limit"), "limit")
        token = request.param("continue")
        _check_options(wanted, match, token)
        if token:
            return self._list_on(request, route, selected, limit, _read_token(token))
        if match == "Exact" or (limit and wanted not in ("", "0") and match != "NotOlderThan"):
            return self._list_then(request, route, selected, limit, revision_of(route.kind, wanted), "")
        if wanted in ("", "0"):
            if wanted == "0" or self.cacher.fresh:
                return self._list_now(request, route, selected, limit)
            return self._list_fresh(request, route, selected, limit)
        return self._list_fresh(request, route, selected, limit, revision_of(route.kind, wanted))

    async def _list_fresh(
        self, request: Request, route: Route, selected: Selection, limit: int = 0, revision: int = 0
    ) -> Response:
        await self.cacher.reach(revision or self.store.revision)
        return self._list_now(request, route, selected, limit)

    def select(self, kind: Kind, selected: Selection, start: str = "") -> tuple[ResourceCache, list[Item]]:
        """What matches now, in key order, from key `start` on."""
        cache = self.cacher.of(kind)
        items = cache.items
        if selected.name and (selected.namespace or not kind.namespaced):
            found = items.get(f"{selected.namespace}/{selected.name}" if kind.namespaced else selected.name)
            return cache, [found] if found is not None and selected.matches(found) else []
        chosen = [items[name] for name in cache.select(selected.namespace) if name >= start]
        if not selected.everything:
            chosen = [item for item in chosen if selected.matches(item)]
        return cache, chosen

    def _list_now(
        self,
        request: Request,
        route: Route,
        selected: Selection,
        limit: int = 0,
        start: str = "",
        revision: int = 0,
    ) -> Response:
        _, items = self.select(route.kind, selected, start)
        revision = revision or self.cacher.revision
        remaining = 0
        following = ""
        if limit and len(items) > limit:
            remaining, following = len(items) - limit, items[limit].key
            items = items[:limit]
        if not selected.everything:
            remaining = 0
        values = [self.value(route.kind, item) for item in items] if route.kind.storage else [i.value for i in items]
        return self.answer(request, route.kind, values, _list_meta(revision, following, remaining))

    async def _list_on(
        self, request: Request, route: Route, selected: Selection, limit: int, token: _Token
    ) -> Response:
        """The next page: from memory when nothing of the kind changed since the first, else from the history."""
        if not self.cacher.fresh:
            await self.cacher.catch_up()
        if self.cacher.of(route.kind).changed <= token.rv:
            return self._list_now(request, route, selected, limit, token.start, token.rv)
        return await self._list_then(request, route, selected, limit, token.rv, token.start)

    async def _list_then(
        self, request: Request, route: Route, selected: Selection, limit: int, revision: int, start: str
    ) -> Response:
        """What there was at one revision, from the store."""
        cache = self.cacher.of(route.kind)
        prefix = cache.prefix + (f"{selected.namespace}/" if selected.namespace else "")
        found: list[Item] = []
        at = cache.prefix + start if start else ""
        more = True
        while more and (not limit or len(found) <= limit):
            try:
                page = await self.store.range(prefix, start=at, limit=limit + 1 if limit else 0, revision=revision)
            except Compacted:
                raise _expired(self.cacher.revision, start) from None
            except FutureRevision:
                await self.cacher.reach(revision)
                continue
            items = [Item(entry.key[len(cache.prefix) :], entry.value, entry.revision) for entry in page.entries]
            found += [item for item in items if selected.everything or selected.matches(item)]
            more = bool(page.remaining)
            if more:
                at = page.entries[-1].key + "\0"
        following = found[limit].key if limit and len(found) > limit else ""
        shown = found[:limit] if limit else found
        meta = _list_meta(revision, following, 0)
        return self.answer(request, route.kind, [self.value(route.kind, item) for item in shown], meta)

    def answer(self, request: Request, kind: Kind, values: Sequence[bytes], meta: bytes) -> Response:
        """A list of encoded objects in the form asked for; `meta` is its metadata, encoded."""
        form = self.negotiator.form(request)
        if form.shape == "Table":
            body = self.tables(kind).make(values, meta, request.param("includeObject", "Metadata"))
        elif form.shape == "PartialObjectMetadata":
            body = partial_list(values, meta)
        else:
            head = f'{{"kind":"{kind.name}List","apiVersion":"{kind.api_version}","metadata":'.encode()
            body = b"".join((head, meta, b',"items":[', b",".join(values), b"]}\n"))
        return negotiation.answer(request, body, form)


def _list_meta(revision: int, following: str, remaining: int) -> bytes:
    meta: dict[str, Any] = {"resourceVersion": str(revision)}
    if following:
        meta["continue"] = _make_token(revision, following)
        if remaining:
            meta["remainingItemCount"] = remaining
    return msgspec.json.encode(meta)


def _make_token(revision: int, start: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token(revision, start))).decode().rstrip("=")


def _read_token(text: str) -> _Token:
    try:
        token = _TOKEN.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.DecodeError):
        raise bad_request("continue key is not valid: encoding is not recognized") from None
    if token.rv <= 0 or token.start.startswith("/") or ".." in token.start.split("/"):
        raise bad_request(f"continue key is not valid: {text[:60]}")
    return token


def _expired(revision: int, start: str) -> Exception:
    error = gone(_EXPIRED)
    meta = meta_v1.ListMeta(continue_=_make_token(revision, start)) if start else meta_v1.ListMeta()
    error.status = msgspec.structs.replace(error.status, metadata=meta)
    return error


def number(text: str, name: str) -> int:
    if not text:
        return 0
    try:
        number = int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text[:40]}": invalid syntax') from None
    if number < 0 or number >= 1 << 63:
        raise bad_request(f"{name} must not be negative: {number}")
    return number


def revision_of(kind: Kind, text: str) -> int:
    """A resourceVersion of a query. Raises BadRequest."""
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise invalid_error(
        kind.name,
        kind.group,
        "",
        [invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text[:40]}": invalid syntax')],
    )


def _check_options(wanted: str, match: str, token: str) -> None:
    """resourceVersion, resourceVersionMatch and continue in the combinations that upstream allows."""
    errors: list[FieldError] = []
    if match:
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan")))
        if not wanted:
            errors.append(
                forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if token:
            errors.append(
                forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match == "Exact" and wanted == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(forbidden_field("resourceVersionMatch", text))
    if errors:
        raise invalid_error("ListOptions", "meta.k8s.io", "", errors)
    if token and wanted not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")

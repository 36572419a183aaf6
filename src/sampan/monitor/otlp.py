"""Reads what OpenTelemetry's exporters send: ExportTraceServiceRequest in protobuf and in JSON.

Source: opentelemetry-proto v1 (trace.proto, common.proto, resource.proto) and the OTLP/HTTP specification.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sampan.monitor.protobuf import VARINT, Malformed, double, fields, signed
from sampan.monitor.spans import ERROR, KINDS, Span

NAME_LIMIT, VALUE_LIMIT = 256, 1024
"""Characters that are kept of names, and of values and messages."""
ATTRIBUTES, EVENTS = 64, 16
"""How many are kept of one span."""
DEPTH = 8
SERVICE = "service.name"
_PLACE = {"k8s.namespace.name": "namespace", "k8s.pod.name": "pod"}

Attributes = dict[str, str]


class _Draft(NamedTuple):
    """A span as either form says it."""

    trace: str
    span: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    attributes: Attributes
    events: Sequence[tuple[str, Attributes]]
    status: int
    message: str


def read(body: bytes, media: str) -> list[Span]:
    """`media` is the Content-Type. Raises Malformed, whose message is for whoever sent it."""
    media = media.partition(";")[0].strip().lower()
    if media == "application/json":
        return list(_from_json(body))
    if media in ("application/x-protobuf", "application/protobuf"):
        return list(_from_protobuf(body))
    raise Malformed(f"content type {media!r}: send application/x-protobuf or application/json")


def _made(drafts: Iterator[_Draft], resource: Mapping[str, str]) -> Iterator[Span]:
    where = {field: resource.get(name, "")[:NAME_LIMIT] for name, field in _PLACE.items()}
    service = resource.get(SERVICE, "")[:NAME_LIMIT]
    for draft in drafts:
        if len(draft.trace) != 32 or not draft.trace.strip("0"):
            raise Malformed("a span has no traceId of 16 bytes")
        if len(draft.span) != 16 or not draft.span.strip("0"):
            raise Malformed("a span has no spanId of 8 bytes")
        if draft.parent and len(draft.parent) != 16:
            raise Malformed("a span has a parentSpanId that is not of 8 bytes")
        yield Span(
            trace=draft.trace,
            span=draft.span,
            parent=draft.parent if draft.parent.strip("0") else "",
            service=service,
            name=draft.name[:NAME_LIMIT],
            kind=KINDS[draft.kind] if 0 <= draft.kind < len(KINDS) else "",
            start=min(draft.start, (1 << 63) - 1),
            duration=max(0, min(draft.end, (1 << 63) - 1) - draft.start),
            error=draft.status == ERROR,
            message=draft.message[:VALUE_LIMIT],
            attributes=dict(list(draft.attributes.items())[:ATTRIBUTES]),
            events=tuple(_event(*each) for each in draft.events[:EVENTS]),
            **where,
        )


def _event(name: str, attributes: Attributes) -> str:
    """An exception's event says what it was."""
    kind, message = attributes.get("exception.type", ""), attributes.get("exception.message", "")
    words = [name, ": ".join(each for each in (kind, message) if each)]
    return " ".join(each for each in words if each)[:VALUE_LIMIT]


# --- protobuf ---


def _from_protobuf(body: bytes) -> Iterator[Span]:
    for number, _, resource_spans in fields(body):
        if number != 1:
            continue
        resource: Attributes = {}
        scopes: list[bytes] = []
        for inner, _, value in fields(_bytes(resource_spans)):
            if inner == 1:
                resource = _attributes(_bytes(value), 1)
            elif inner == 2:
                scopes.append(_bytes(value))
        for scope in scopes:
            yield from _made((_span(_bytes(value)) for inner, _, value in fields(scope) if inner == 2), resource)


def _span(message: bytes) -> _Draft:
    ids = {1: "", 2: "", 4: ""}
    name, text = "", ""
    kind = start = end = code = 0
    attributes: Attributes = {}
    events: list[tuple[str, Attributes]] = []
    for number, _, value in fields(message):
        if number in ids:
            ids[number] = _bytes(value).hex()
        elif number == 5:
            name = _text(value)
        elif number == 6:
            kind = _number(value)
        elif number == 7:
            start = _number(value)
        elif number == 8:
            end = _number(value)
        elif number == 9:
            attributes |= _pair(_bytes(value))
        elif number == 11:
            events.append(_read_event(_bytes(value)))
        elif number == 15:
            for inner, _, part in fields(_bytes(value)):
                if inner == 2:
                    text = _text(part)
                elif inner == 3:
                    code = _number(part)
    return _Draft(ids[1], ids[2], ids[4], name, kind, start, end, attributes, events, code, text)


def _read_event(message: bytes) -> tuple[str, Attributes]:
    name = "".join(_text(value) for number, _, value in fields(message) if number == 2)
    return name, _attributes(message, 3)


def _attributes(message: bytes, at: int) -> Attributes:
    found: Attributes = {}
    for number, _, value in fields(message):
        if number == at:
            found |= _pair(_bytes(value))
    return found


def _pair(message: bytes) -> Attributes:
    key, value = "", ""
    for number, _, part in fields(message):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _shown(_any(_bytes(part)))
    return {key[:NAME_LIMIT]: value} if key else {}


def _any(message: bytes, depth: int = 0) -> Any:
    """AnyValue. Raises Malformed."""
    if depth > DEPTH:
        raise Malformed(f"values lie in each other more than {DEPTH} deep")
    for number, wire, value in fields(message):
        if number == 1:
            return _text(value)
        if number == 2:
            return bool(value)
        if number == 3 and wire == VARINT:
            return signed(_number(value))
        if number == 4:
            return double(_number(value))
        if number == 5:
            return [_any(_bytes(part), depth + 1) for inner, _, part in fields(_bytes(value)) if inner == 1]
        if number == 6:
            return dict(_named(_bytes(part), depth + 1) for inner, _, part in fields(_bytes(value)) if inner == 1)
        if number == 7:
            return base64.b64encode(_bytes(value)).decode()
    return ""


def _named(message: bytes, depth: int) -> tuple[str, Any]:
    key, value = "", ""
    for number, _, part in fields(message):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _any(_bytes(part), depth)
    return key, value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("a number stands where a message belongs")
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise Malformed("a message stands where a number belongs")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode(errors="replace")


# --- JSON ---


def _from_json(body: bytes) -> Iterator[Span]:
    try:
        document = json.loads(body)
        for resource_spans in document.get("resourceSpans") or ():
            resource = _json_attributes((resource_spans.get("resource") or {}).get("attributes"))
            for scope in resource_spans.get("scopeSpans") or ():
                yield from _made((_json_span(each) for each in scope.get("spans") or ()), resource)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("values lie in each other too deep") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Malformed(f"no ExportTraceServiceRequest: {error}") from None


def _json_span(span: Mapping[str, Any]) -> _Draft:
    status = span.get("status") or {}
    return _Draft(
        _hex(span.get("traceId", ""), 16),
        _hex(span.get("spanId", ""), 8),
        _hex(span.get("parentSpanId") or "", 8),
        str(span.get("name", "")),
        _enum(span.get("kind", 0), "SPAN_KIND_", [each.upper() or "UNSPECIFIED" for each in KINDS]),
        int(span.get("startTimeUnixNano", 0)),
        int(span.get("endTimeUnixNano", 0)),
        _json_attributes(span.get("attributes")),
        [(str(each.get("name", "")), _json_attributes(each.get("attributes"))) for each in span.get("events") or ()],
        _enum(status.get("code", 0), "STATUS_CODE_", ["UNSET", "OK", "ERROR"]),
        str(status.get("message", "")),
    )


def _hex(text: str, size: int) -> str:
    """Hexadecimal, as OTLP asks, or base64, as protobuf's own JSON form has it."""
    if len(text) != 2 * size and text:
        try:
            return base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            raise Malformed(f"{text[:40]!r} is no identifier of {size} bytes") from None
    return bytes.fromhex(text).hex()


def _enum(value: Any, prefix: str, names: Sequence[str]) -> int:
    if isinstance(value, str) and not value.isdigit():
        word = value.removeprefix(prefix)
        return names.index(word) if word in names else 0
    return int(value)


def _json_attributes(listed: Any) -> Attributes:
    found = {str(each["key"])[:NAME_LIMIT]: _shown(_json_any(each.get("value") or {})) for each in listed or ()}
    return {key: value for key, value in found.items() if key}


def _json_any(value: Mapping[str, Any], depth: int = 0) -> Any:
    if depth > DEPTH:
        raise Malformed(f"values lie in each other more than {DEPTH} deep")
    for name, content in value.items():
        if name == "intValue":
            return int(content)
        if name == "arrayValue":
            return [_json_any(each, depth + 1) for each in content.get("values") or ()]
        if name == "kvlistValue":
            return {each["key"]: _json_any(each.get("value") or {}, depth + 1) for each in content.get("values") or ()}
        return content
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else str(value)
    return text[:VALUE_LIMIT]

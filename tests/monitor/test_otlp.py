from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from sampan.monitor import otlp
from sampan.monitor.protobuf import Malformed, fields, signed, varint
from sampan.monitor.spans import Span

TRACE, SPAN, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"
START = 1_544_712_660_000_000_000


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(at: int, value: int | float | str | bytes, wire: int | None = None) -> bytes:
    if isinstance(value, float):
        return number(at << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        if wire == 1:
            return number(at << 3 | 1) + value.to_bytes(8, "little")
        return number(at << 3) + number(value & 0xFFFFFFFFFFFFFFFF)
    data = value.encode() if isinstance(value, str) else value
    return number(at << 3 | 2) + number(len(data)) + data


def pair(key: str, value: bytes) -> bytes:
    return field(1, key) + field(2, value)


def protobuf(**without: bool) -> bytes:
    attributes = [
        pair("http.route", field(1, "/")),
        pair("ok", field(2, 1)),
        pair("size", field(3, -5)),
        pair("share", field(4, 0.5)),
        pair("list", field(5, field(1, field(3, 1)) + field(1, field(1, "b")))),
        pair("map", field(6, field(1, pair("a", field(3, 1))))),
        pair("raw", field(7, b"\x00\x01")),
    ]
    event = field(1, START, 1) + field(2, "exception") + field(3, pair("exception.type", field(1, "ValueError")))
    span = b"".join(
        (
            b"" if without.get("trace") else field(1, bytes.fromhex(TRACE)),
            field(2, bytes.fromhex(SPAN)),
            field(3, "k=v"),
            field(4, bytes.fromhex(PARENT)),
            field(5, "GET /"),
            field(6, 2),
            field(7, START, 1),
            field(8, START + 1_500_000, 1),
            *(field(9, each) for each in attributes),
            field(11, event),
            field(15, field(2, "broken") + field(3, 2)),
            number(16 << 3 | 5) + b"\x01\x00\x00\x00",
        )
    )
    resource = field(1, pair("service.name", field(1, "shop"))) + field(1, pair("k8s.pod.name", field(1, "shop-1")))
    scope = field(1, field(1, "lib")) + field(2, span)
    return field(1, field(1, resource) + field(2, scope))


def document(**changes: Any) -> bytes:
    def value(name: str, content: Any) -> dict[str, Any]:
        return {"key": name, "value": content}

    span = {
        "traceId": TRACE.upper(),
        "spanId": SPAN,
        "parentSpanId": PARENT,
        "name": "GET /",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": START + 1_500_000,
        "attributes": [
            value("http.route", {"stringValue": "/"}),
            value("ok", {"boolValue": True}),
            value("size", {"intValue": "-5"}),
            value("share", {"doubleValue": 0.5}),
            value("list", {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "b"}]}}),
            value("map", {"kvlistValue": {"values": [value("a", {"intValue": 1})]}}),
            value("raw", {"bytesValue": "AAE="}),
        ],
        "events": [{"name": "exception", "attributes": [value("exception.type", {"stringValue": "ValueError"})]}],
        "status": {"code": 2, "message": "broken"},
        **changes,
    }
    attributes = [value("service.name", {"stringValue": "shop"}), value("k8s.pod.name", {"stringValue": "shop-1"})]
    scopes = [{"scope": {"name": "lib"}, "spans": [span]}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scopes}]}).encode()


EXPECTED = Span(
    trace=TRACE,
    span=SPAN,
    parent=PARENT,
    service="shop",
    pod="shop-1",
    name="GET /",
    kind="server",
    start=START,
    duration=1_500_000,
    error=True,
    message="broken",
    attributes={
        "http.route": "/",
        "ok": "true",
        "size": "-5",
        "share": "0.5",
        "list": '[1, "b"]',
        "map": '{"a": 1}',
        "raw": "AAE=",
    },
    events=("exception ValueError",),
)


def test_both_forms_say_the_same() -> None:
    assert otlp.read(protobuf(), "application/x-protobuf") == [EXPECTED]
    assert otlp.read(document(), "application/json; charset=utf-8") == [EXPECTED]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traceId": ""}, "no traceId of 16 bytes"),
        ({"traceId": "0" * 32}, "no traceId of 16 bytes"),
        ({"traceId": "xyz"}, "'xyz' is no identifier of 16 bytes"),
        ({"spanId": ""}, "no spanId of 8 bytes"),
        ({"startTimeUnixNano": "soon"}, "no ExportTraceServiceRequest"),
        ({"attributes": [1]}, "no ExportTraceServiceRequest"),
        ({"events": 1}, "no ExportTraceServiceRequest"),
    ],
)
def test_json_that_is_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        otlp.read(document(**changes), "application/json")


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"1", b'{"resourceSpans": 1}', b'{"resourceSpans": ["x"]}'])
def test_json_of_another_kind(body: bytes) -> None:
    with pytest.raises(Malformed):
        otlp.read(body, "application/json")


def test_protobuf_that_is_none() -> None:
    with pytest.raises(Malformed, match="no traceId"):
        otlp.read(protobuf(trace=True), "application/x-protobuf")
    with pytest.raises(Malformed, match="content type 'text/plain'"):
        otlp.read(b"", "text/plain")
    whole = protobuf()
    for end in range(1, len(whole)):
        with pytest.raises(Malformed):
            otlp.read(whole[:end], "application/x-protobuf")


def test_any_bytes_are_read_or_refused() -> None:
    whole = bytearray(protobuf())
    for at in range(len(whole)):
        for change in (0x00, 0x7F, 0xFF):
            mutated = bytes((*whole[:at], change, *whole[at + 1 :]))
            try:
                otlp.read(mutated, "application/x-protobuf")
            except Malformed:
                continue


def test_an_empty_export_is_fine() -> None:
    assert otlp.read(b"", "application/x-protobuf") == []
    assert otlp.read(b"{}", "application/json") == []


def test_long_things_are_cut() -> None:
    many = [{"key": f"k{n}", "value": {"stringValue": "x" * 5000}} for n in range(200)]
    span = otlp.read(document(name="n" * 5000, attributes=many, events=[{"name": "e"}] * 99), "application/json")[0]
    assert (len(span.name), len(span.attributes), len(span.attributes["k0"]), len(span.events)) == (256, 64, 1024, 16)


def test_values_do_not_nest_for_ever() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    packed = field(1, "x")
    for _ in range(20):
        value = {"arrayValue": {"values": [value]}}
        packed = field(5, field(1, packed))
    with pytest.raises(Malformed, match="deep"):
        otlp.read(document(attributes=[{"key": "k", "value": value}]), "application/json")
    span = field(1, bytes.fromhex(TRACE)) + field(2, bytes.fromhex(SPAN)) + field(9, pair("k", packed))
    with pytest.raises(Malformed, match="deep"):
        otlp.read(field(1, field(2, field(2, span))), "application/x-protobuf")


def test_a_parent_of_zeros_is_none() -> None:
    assert otlp.read(document(parentSpanId="0" * 16), "application/json")[0].parent == ""


def test_identifiers_may_be_base64() -> None:
    import base64

    text = base64.b64encode(bytes.fromhex(TRACE)).decode()
    assert otlp.read(document(traceId=text), "application/json")[0].trace == TRACE


def test_the_wire() -> None:
    assert list(fields(field(1, 300) + field(2, "ab"))) == [(1, 0, 300), (2, 2, b"ab")]
    assert signed(varint(number((1 << 64) - 5), 0)[0]) == -5
    for bad in (b"\x80", b"\x0a\x05ab", b"\x09\x00", b"\x0b", b"\x00\x01", b"\x80" * 11):
        with pytest.raises(Malformed):
            list(fields(bad))

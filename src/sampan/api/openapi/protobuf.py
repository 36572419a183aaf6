"""OpenAPI v2 as protobuf (gnostic's openapi.v2 messages): the only form in which kubectl reads it.

Written are the parts that clients use: every definition whole, and of each path which kinds its operations are
about and which of the verified parameters (dryRun, fieldValidation) they take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_STRINGS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_INTEGERS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18}
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
_VERIFIED = ("dryRun", "fieldValidation")


def encode(document: Mapping[str, Any]) -> bytes:
    """The Document message of an OpenAPI v2 document."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    paths = b"".join(_bytes(2, _named(path, _path(item))) for path, item in document["paths"].items())
    definitions = b"".join(_bytes(1, _named(name, _schema(body))) for name, body in document["definitions"].items())
    return _text(1, document["swagger"]) + _bytes(2, info) + _bytes(8, paths) + _bytes(9, definitions)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _bytes(2, value)


def _any(value: Any) -> bytes:
    """JSON is YAML."""
    return _text(2, json.dumps(value, separators=(",", ":")) + "\n")


def _extensions(field: int, owner: Mapping[str, Any]) -> Iterable[bytes]:
    for name, value in owner.items():
        if name.startswith("x-"):
            yield _bytes(field, _named(name, _any(value)))


def _schema(schema: Mapping[str, Any]) -> bytes:
    parts = [_text(field, schema[name]) for name, field in _STRINGS.items() if name in schema]
    parts += [_number(field, schema[name]) for name, field in _INTEGERS.items() if name in schema]
    if "default" in schema:
        parts.append(_bytes(5, _any(schema["default"])))
    parts += [_text(19, name) for name in schema.get("required", ())]
    parts += [_bytes(20, _any(value)) for value in schema.get("enum", ())]
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        parts.append(_bytes(21, _bytes(1, _schema(more))))
    elif isinstance(more, bool):
        parts.append(_bytes(21, _number(2, int(more))))
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        parts.append(_bytes(22, b"".join(_text(1, name) for name in types)))
    if "items" in schema:
        parts.append(_bytes(23, _bytes(1, _schema(schema["items"]))))
    parts += [_bytes(24, _schema(each)) for each in schema.get("allOf", ())]
    if "properties" in schema:
        members = (_bytes(1, _named(name, _schema(body))) for name, body in schema["properties"].items())
        parts.append(_bytes(25, b"".join(members)))
    parts += _extensions(31, schema)
    return b"".join(parts)


def _path(item: Mapping[str, Any]) -> bytes:
    return b"".join(_bytes(field, _operation(item[name])) for name, field in _METHODS.items() if name in item)


def _operation(operation: Mapping[str, Any]) -> bytes:
    parts = []
    for parameter in operation.get("parameters", ()):
        if parameter.get("name") in _VERIFIED and parameter.get("in") == "query":
            query = _text(2, "query") + _text(4, parameter["name"]) + _text(6, "string")
            parts.append(_bytes(8, _bytes(1, _bytes(2, _bytes(3, query)))))
    parts += _extensions(13, operation)
    return b"".join(parts)

"""Protobuf bodies of requests: bytes of `application/vnd.kubernetes.protobuf` to documents.

The envelope is `k8s\\0` and a runtime.Unknown; the fields' numbers and types are in protobuf.txt (made by
`scripts/update protobuf`). Answers are always JSON, which every client that sends protobuf accepts as well.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
import struct
import time
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import msgspec

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
DEPTH = 64

Document = dict[str, Any]

# Go sends these whether they are set or not, so zero says nothing; other numbers and booleans are sent when set.
_UNSET_WHEN_ZERO = frozenset(
    """
    hostNetwork hostPID hostIPC stdin stdinOnce tty readOnly unschedulable ready publishNotReadyAddresses paused
    initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold hostPort nodePort
    containerPort minReadySeconds restartCount observedGeneration generation count exitCode signal
    healthCheckNodePort availableReplicas readyReplicas updatedReplicas unavailableReplicas fullyLabeledReplicas
    currentReplicas currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady numberAvailable
    numberUnavailable updatedNumberScheduled disruptionsAllowed currentHealthy desiredHealthy expectedPods active
    succeeded failed globalDefault remainingItemCount sizeBytes
    """.split()  # noqa: SIM905
)
_META_KINDS = frozenset(("DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "Status", "ListOptions"))


class Malformed(ValueError):
    """The bytes are no such message."""


class _Field(NamedTuple):
    """`inline` members have no name in JSON: theirs stand in the owner itself (Go's embedded structs)."""

    name: str
    type: str
    inline: bool = False


def decode(body: bytes) -> Document:
    """The object in a protobuf body, with apiVersion and kind. Raises Malformed."""
    if not body.startswith(MAGIC):
        raise Malformed("the body does not begin with k8s\\0")
    envelope = _message("runtime.Unknown", body[len(MAGIC) :], 0)
    names = envelope.get("typeMeta") or {}
    version, kind = str(names.get("apiVersion") or ""), str(names.get("kind") or "")
    raw = base64.b64decode(envelope.get("raw") or "")
    if envelope.get("contentType") == "application/json":
        document = json.loads(raw)
        if not isinstance(document, dict):
            raise Malformed("the JSON inside is no object")
    else:
        document = _message(_name(version, kind), raw, 0)
    return {"apiVersion": version, "kind": kind, **document}


def _name(version: str, kind: str) -> str:
    if kind in _META_KINDS:
        return f"meta.v1.{kind}"
    group, _, bare = version.rpartition("/")
    name = f"{group.partition('.')[0] or 'core'}.{bare}.{kind}"
    if name not in _messages():
        raise Malformed(f'no kind "{kind}" is known in version "{version}"')
    return name


@functools.cache
def _messages() -> dict[str, dict[int, _Field]]:
    text = resources.files("sampan.api").joinpath("protobuf.txt").read_text(encoding="ascii")
    found = {}
    for line in text.splitlines():
        name, *fields = line.split(" ")
        known = _members(name)
        members = {}
        for field in fields:
            number, member, type = field.split(":")
            inline = bool(known) and member not in known and "." in type and "/" not in type
            members[int(number)] = _Field(member, type, inline)
        found[name] = members
    return found


def _members(name: str) -> frozenset[str]:
    """The names that a message's fields have in JSON; none for a message without a type of its own there."""
    module, _, message = name.rpartition(".")
    try:
        types = importlib.import_module(f"sampan.api.types.{module.replace('.', '_')}")
    except ImportError:
        return frozenset()
    struct = getattr(types, message, None)
    if not isinstance(struct, type) or not issubclass(struct, msgspec.Struct):
        return frozenset()
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct))


def _message(name: str, data: bytes, depth: int) -> Document:
    if depth > DEPTH:
        raise Malformed("the message is nested too deeply")
    fields = _messages().get(name)
    if fields is None:
        raise Malformed(f"no message {name}")
    document: Document = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _wire(data, at, tag & 7)
        field = fields.get(tag >> 3)
        if field is not None:
            _put(document, field, value, depth)
    return document


def _put(document: Document, field: _Field, value: int | bytes, depth: int) -> None:
    shape, _, inner = field.type.partition("/")
    if shape == "list":
        document.setdefault(field.name, []).append(_value(inner, value, depth))
        return
    if shape == "map":
        key, member = _entry(inner, _bytes(value), depth)
        document.setdefault(field.name, {})[key] = member
        return
    decoded = _value(field.type, value, depth)
    if field.inline and isinstance(decoded, dict):
        document.update(decoded)
        return
    if decoded is None or (decoded == "" and field.name != "storageClassName"):
        return
    if decoded in (0, False) and field.name in _UNSET_WHEN_ZERO:
        return
    document[field.name] = decoded


def _entry(type: str, data: bytes, depth: int) -> tuple[str, Any]:
    key, member = "", _zero(type)
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _wire(data, at, tag & 7)
        if tag >> 3 == 1:
            key = _text(value)
        elif tag >> 3 == 2:
            member = _value(type, value, depth)
    return key, member


def _zero(type: str) -> Any:
    if type in ("string", "bytes"):
        return ""
    if type in ("int32", "int64", "double"):
        return 0
    return False if type == "bool" else {}


def _value(type: str, value: int | bytes, depth: int) -> Any:
    if type == "string":
        return _text(value)
    if type in ("int32", "int64"):
        number = _number(value)
        return number - (1 << 64) if number >> 63 else number
    if type == "bool":
        return bool(_number(value))
    if type == "bytes":
        return base64.b64encode(_bytes(value)).decode()
    if type == "double":
        return struct.unpack("<d", _bytes(value))[0]
    message = _message(type, _bytes(value), depth + 1)
    special = _SPECIAL.get(type.rpartition(".")[2])
    return special(message) if special else message


def _wire(data: bytes, at: int, type: int) -> tuple[int | bytes, int]:
    if type == 0:
        return _varint(data, at)
    if type == 2:
        length, at = _varint(data, at)
    elif type in (1, 5):
        length = 8 if type == 1 else 4
    else:
        raise Malformed(f"wire type {type} is unknown")
    if at + length > len(data):
        raise Malformed("unexpected EOF")
    return data[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("unexpected EOF")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("a number where bytes belong")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise Malformed("bytes where a number belongs")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed("a string is no valid UTF-8") from None


# --- messages that JSON shows as something else


def _time(message: Document) -> str | None:
    if not message:
        return None
    seconds = int(message.get("seconds") or 0)
    if not -62135596800 < seconds < 253402300800:
        raise Malformed(f"{seconds} is no time")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _micro_time(message: Document) -> str | None:
    whole = _time(message)
    if whole is None:
        return None
    return f"{whole[:-1]}.{int(message.get('nanos') or 0) // 1000 % 1_000_000:06d}Z"


def _duration(message: Document) -> str:
    seconds = int(message.get("duration") or 0) / 1e9
    return f"{seconds:g}s"


def _int_or_string(message: Document) -> int | str:
    if message.get("type"):
        return str(message.get("strVal") or "")
    return int(message.get("intVal") or 0)


def _raw(message: Document) -> Any:
    raw = base64.b64decode(next(iter(message.values()), ""))
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise Malformed(str(error)) from None


_SPECIAL: dict[str, Callable[[Document], Any]] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Timestamp": _time,
    "Duration": _duration,
    "Quantity": lambda message: message.get("string") or "0",
    "IntOrString": _int_or_string,
    "RawExtension": _raw,
    "JSON": _raw,
    "FieldsV1": _raw,
    "ExtraValue": lambda message: message.get("items") or [],
    "Verbs": lambda message: message.get("items") or [],
}

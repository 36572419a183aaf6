"""Reads protobuf's wire format: fields by number, nothing more. Source: the Encoding page of its documentation."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int | bytes]
"""Number, wire type, and the value: an unsigned integer, or bytes."""


class Malformed(ValueError):
    """These bytes are no message."""


def fields(message: bytes) -> Iterator[Field]:
    """Raises Malformed."""
    at, end = 0, len(message)
    while at < end:
        key, at = varint(message, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == VARINT:
            value, at = varint(message, at)
        elif wire == BYTES:
            size, at = varint(message, at)
            value = message[at : at + size]
            if len(value) != size:
                raise Malformed(f"field {number} ends after {len(value)} of {size} bytes")
            at += size
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            if at + size > end:
                raise Malformed(f"field {number} ends early")
            value = int.from_bytes(message[at : at + size], "little")
            at += size
        else:
            raise Malformed(f"field {number} has wire type {wire}")
        if not number:
            raise Malformed("a field has number 0")
        yield number, wire, value


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The number and where the next thing begins. Raises Malformed."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise Malformed("a number does not end")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def signed(value: int) -> int:
    """An int64 of its unsigned form."""
    return value - (1 << 64) if value >= 1 << 63 else value


def double(value: int) -> float:
    """A double of the bits of a fixed64."""
    return float(struct.unpack("<d", value.to_bytes(8, "little"))[0])

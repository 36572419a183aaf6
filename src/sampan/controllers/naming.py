"""Names that follow from content."""

from __future__ import annotations

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""Letters that make no words."""


def digest(data: bytes, collisions: int = 0) -> str:
    """32 bits of FNV-1a over the data, and the collisions so far, as up to ten safe letters."""
    if collisions:
        data += collisions.to_bytes(8, "little")
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE[ord(letter) % len(_SAFE)] for letter in str(value))

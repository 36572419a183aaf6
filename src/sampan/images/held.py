"""What else than images needs content: the build cache and the registry, each entry a JSON file below `held/`.

A file has `blobs` and `layers`; other fields are its owner's. Removing an image and collecting spare what any of
them names. Every process that opens the store sees the same.
"""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec

N = TypeVar("N", bound="Needs")


class Needs(msgspec.Struct, frozen=True):
    """`blobs` are digests, `layers` diffIDs."""

    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


class Held:
    def __init__(self, root: str) -> None:
        self.directory = f"{root}/held"

    def needs(self) -> tuple[set[str], set[str]]:
        """(blobs, layers) that somebody holds. An unreadable file is skipped: a power loss may leave one empty."""
        blobs: set[str] = set()
        layers: set[str] = set()
        for directory, _, files in os.walk(self.directory):
            for name in files:
                if not name.endswith(".json"):
                    continue
                found = read(f"{directory}/{name}", Needs)
                if found is not None:
                    blobs.update(found.blobs)
                    layers.update(found.layers)
        return blobs, layers


def read(path: str, kind: type[N]) -> N | None:
    """The entry; None when it is missing or unreadable."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write(path: str, entry: Needs) -> None:
    """Replace an entry, whole or not at all; the content that it names is on disk before."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.urandom(4).hex()}.new"
    with open(temporary, "wb") as file:
        file.write(msgspec.json.encode(entry))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def drop(path: str) -> bool:
    """Forget an entry; False when there is none."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True

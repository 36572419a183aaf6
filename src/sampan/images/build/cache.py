"""Layers by what they were made of: the same instruction on the same layers with the same files.

An entry is a file of the store's `held/build`, so that its layer outlives images. What was not used for long goes
when there are too many, or when they take too much room.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from sampan.images import held
from sampan.images.build.state import Layer
from sampan.images.held import Needs
from sampan.images.store import ImageStore

VERSION = 1
ENTRIES = 2000
BYTES = 20 << 30


class Entry(Needs, frozen=True):
    """Without blobs the instruction changed no file. `text` is for people."""

    size: int = 0
    text: str = ""


def key(kind: str, chain: Sequence[str], *parts: Any) -> str:
    """`parts` are what JSON can say."""
    document = json.dumps([VERSION, kind, list(chain), *parts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(document.encode()).hexdigest()


class Cache:
    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.directory = f"{store.root_directory}/held/build"

    def _path(self, key: str) -> str:
        return f"{self.directory}/{key}.json"

    def get(self, key: str) -> Entry | None:
        """An entry whose layer is here."""
        path = self._path(key)
        entry = held.read(path, Entry)
        if entry is None:
            return None
        if not all(map(self._store.content.has, entry.blobs)) or not all(map(self._store.layers.has, entry.layers)):
            return None
        os.utime(path)
        return entry

    def put(self, key: str, layer: Layer | None, text: str) -> None:
        if layer is None:
            held.write(self._path(key), Entry(text=text))
        else:
            held.write(self._path(key), Entry((layer.digest,), (layer.diff_id,), layer.size, text))

    def prune(self, entries: int = ENTRIES, size: int = BYTES) -> int:
        """Forget what was used longest ago until the rest is within the limits; returns how many went."""
        kept: set[str] = set()
        gone = 0
        total = 0
        for path in self._newest_first():
            entry = held.read(path, Entry)
            fresh = entry is not None and entry.layers and entry.layers[0] not in kept
            total += entry.size if entry is not None and fresh else 0
            entries -= 1
            if entry is None or entries < 0 or total > size:
                gone += held.drop(path)
            elif entry.layers:
                kept.add(entry.layers[0])
        return gone

    def _newest_first(self) -> list[str]:
        try:
            with os.scandir(self.directory) as found:
                times = {entry.path: entry.stat().st_mtime_ns for entry in found if entry.name.endswith(".json")}
        except FileNotFoundError:
            return []
        return sorted(times, key=lambda path: times[path], reverse=True)


def layer(entry: Entry) -> Layer | None:
    return Layer(entry.layers[0], entry.blobs[0], entry.size) if entry.layers else None

"""A sorted set of keys in buckets: insertion and removal move at most one bucket's worth of memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

BUCKET = 1024


def upper_bound(prefix: str) -> str:
    """A string above every key with `prefix`."""
    return prefix + "\U0010ffff"


class SortedKeys:
    """Keys in code point order, which is also SQLite's and etcd's order of their UTF-8 bytes."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        ordered = sorted(set(keys))
        self._buckets = [ordered[i : i + BUCKET] for i in range(0, len(ordered), BUCKET)]
        self._last = [bucket[-1] for bucket in self._buckets]

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def add(self, key: str) -> None:
        """Add a key that is not there."""
        if not self._buckets:
            self._buckets.append([key])
            self._last.append(key)
            return
        at = min(bisect_left(self._last, key), len(self._buckets) - 1)
        bucket = self._buckets[at]
        insort(bucket, key)
        if len(bucket) > 2 * BUCKET:
            self._buckets[at : at + 1] = [bucket[:BUCKET], bucket[BUCKET:]]
            self._last[at : at + 1] = [bucket[BUCKET - 1], bucket[-1]]
        else:
            self._last[at] = bucket[-1]

    def remove(self, key: str) -> None:
        """Remove a key that is there."""
        at = bisect_left(self._last, key)
        bucket = self._buckets[at]
        del bucket[bisect_left(bucket, key)]
        if bucket:
            self._last[at] = bucket[-1]
        else:
            del self._buckets[at], self._last[at]

    def between(self, low: str, high: str, limit: int = 0) -> list[str]:
        """Keys with low <= key < high in order, at most `limit` (0: all)."""
        found: list[str] = []
        for bucket, first, end in self._slices(low, high):
            found += bucket[first:end]
            if limit and len(found) >= limit:
                return found[:limit]
        return found

    def count(self, low: str, high: str) -> int:
        return sum(end - first for _, first, end in self._slices(low, high))

    def _slices(self, low: str, high: str) -> Iterator[tuple[list[str], int, int]]:
        if low >= high:
            return
        for at in range(bisect_left(self._last, low), len(self._buckets)):
            bucket = self._buckets[at]
            if bucket[0] >= high:
                return
            first = bisect_left(bucket, low) if bucket[0] < low else 0
            end = bisect_left(bucket, high) if bucket[-1] >= high else len(bucket)
            yield bucket, first, end

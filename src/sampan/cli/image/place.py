"""The node's image store as a command opens it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sampan.cli.context import CommandError
from sampan.config import ClusterConfig

if TYPE_CHECKING:
    from sampan.images.store import ImageStore


@dataclass(frozen=True, slots=True)
class Place:
    cluster: ClusterConfig
    store: ImageStore


@contextlib.contextmanager
def opened(cluster: ClusterConfig, *, make: bool) -> Iterator[Place]:
    """Open the store; `make` one where there is none. Raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError("not root: the node's images belong to root; run it with sudo")
    directory = cluster.data_dir / "images"
    if not make and not directory.is_dir():
        raise CommandError(f"cluster {cluster.name} has no images yet; `sampan image load FILE` brings one")
    from sampan.images.pull import Puller
    from sampan.images.store import ImageStore

    store = ImageStore(str(directory), Puller(connect))
    try:
        yield Place(cluster, store)
    finally:
        store.close()


ANSWER = 3600.0
"""Seconds that a registry may take over one request: layers are large, and lines slow."""


def connect(base: str):  # type: ignore[no-untyped-def]
    """A transport to a registry; TLS is set up only where it is spoken."""
    from sampan.http.client import HttpTransport
    from sampan.http.tls import client_context

    tls = None if base.startswith("http://") else client_context()
    return HttpTransport(base, tls=tls, answer_timeout=ANSWER)


def size(count: int) -> str:
    value, units = float(count), ["GB", "MB", "kB", "B"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:.4g}{units[-1]}"


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def short(id: str) -> str:
    return id.removeprefix("sha256:")[:12]

"""One `sampan up` or `sampan down` of a cluster at a time: the next waits for its turn.

The lock belongs to open descriptors, so it goes with the last process that has one, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sampan.cli.context import Context
from sampan.config import ClusterConfig


@contextlib.contextmanager
def turn(cluster: ClusterConfig, context: Context) -> Iterator[int]:
    """The lock's descriptor: a copy in another process prolongs the turn until that is closed, too."""
    path = cluster.run_root / f"{cluster.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, cluster.name, context)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def end(cluster: ClusterConfig) -> None:
    """Take the lock's file away, for whoever has the turn."""
    (cluster.run_root / f"{cluster.name}.lock").unlink(missing_ok=True)


def _locked(path: Path, name: str, context: Context) -> int:
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                context.err(f"  waiting for another `sampan up` or `sampan down` of cluster {name} to finish")
            told = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is(path, descriptor):
            return descriptor
        os.close(descriptor)  # whoever had the turn took the file away: the turn is at the new one


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False

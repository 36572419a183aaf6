"""P21: 1 GB into the registry and out of it, against copying the file with sha256 on the same disk in the same turn.

The copy is the fastest that we found: `cp` (which the kernel does alone), then `sha256sum`, then `sync`. The client is
curl: it sends a file, which the registry writes, hashes and syncs (push), or writes what the registry sends, and the
same `sha256sum` and `sync` follow (pull).
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.lab import Lab, call

SIZE = 1_000_000_000
TURNS = 5
REPOSITORY = "bench/blob"


async def push(place: Lab) -> float:
    return await ratio(place, lambda file, digest: pushed(place, file, digest))


async def pull(place: Lab) -> float:
    file, digest = content(place)
    await pushed(place, file, digest)
    return await ratio(place, lambda _, digest: pulled(place, digest))


async def ratio(place: Lab, transfer: Callable[[Path, str], Awaitable[float]]) -> float:
    """The median of turns, each of them a copy and a transfer."""
    file, digest = content(place)
    turns = []
    for _ in range(TURNS):
        alone = await copied(place, f"cp {file}", digest)
        turns.append(alone / await transfer(file, digest))
    return statistics.median(turns)


def content(place: Lab) -> tuple[Path, str]:
    """A file that nothing compresses, and its digest; made once."""
    file, note = place.root / "blob", place.root / "blob.sha256"
    if not note.exists():
        found = hashlib.sha256()
        with file.open("wb") as out:
            for at in range(0, SIZE, 1 << 20):
                chunk = os.urandom(min(1 << 20, SIZE - at))
                found.update(chunk)
                out.write(chunk)
        note.write_text(found.hexdigest())
    return file, note.read_text()


async def copied(place: Lab, fetch: str, digest: str) -> float:
    """Seconds in which what a command writes to the file named last is on the disk, and its sum known."""
    target = place.root / "copy"
    started = time.perf_counter()
    out = await call("sh", "-c", f"{fetch} {target} && sha256sum {target} && sync {target}")
    took = time.perf_counter() - started
    target.unlink()
    if not out.startswith(digest):
        raise RuntimeError(f"{fetch}: the sum is {out}")
    return took


async def pushed(place: Lab, file: Path, digest: str) -> float:
    """Seconds of an upload in one piece, as docker and skopeo send it: a session, then a PUT."""
    base = f"http://127.0.0.1:{place.registry_port}"
    started = time.perf_counter()
    head = await call("curl", "-sfi", "-X", "POST", f"{base}/v2/{REPOSITORY}/blobs/uploads/")
    location = next(line.split()[1] for line in head.splitlines() if line.lower().startswith("location:"))
    where = f"{base}{location}?digest=sha256:{digest}"
    kind = ("-H", "Content-Type: application/octet-stream", "-H", "Expect:")
    await call("curl", "-sf", "-T", str(file), *kind, where)
    return time.perf_counter() - started


async def pulled(place: Lab, digest: str) -> float:
    url = f"http://127.0.0.1:{place.registry_port}/v2/{REPOSITORY}/blobs/sha256:{digest}"
    return await copied(place, f"curl -sf {url} -o", digest)


FIGURES = (
    Figure("P21/push", "1 GB into the registry against a copy with sha256, MB/s", "ratio", 0.5, "higher", push, runs=1),
    Figure(
        "P21/pull", "1 GB out of the registry against a copy with sha256, MB/s", "ratio", 0.5, "higher", pull, runs=1
    ),
)

"""What images cost: `python -m tests.images.measure` prints one table."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from sampan.images import archive
from sampan.images.store import ImageStore
from tests.images.build import docker_files, image, layer, write


async def measure() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        small = image(layer(("bin/busybox", os.urandom(2_000_000)), *((f"f{at}", b"x") for at in range(60))))
        path = str(write(root / "small.tar", docker_files(small, "small:1")))
        new, old, find = [], [], []
        for at in range(10):
            store = ImageStore(str(root / f"store{at}"))
            new.append(await timed(archive.load(store, path)))
            old.append(await timed(archive.load(store, path)))
            began = time.perf_counter()
            for _ in range(1000):
                assert store.find("small:1") is not None
            find.append((time.perf_counter() - began) * 1e6 / 1000)
            store.close()
        print(f"load of 2 MB, new    {statistics.median(new):8.1f} ms")
        print(f"the same, known      {statistics.median(old):8.1f} ms")
        print(f"find by name         {statistics.median(find):8.1f} us")
        store = ImageStore(str(root / "large"))
        many = layer(*((f"d{at % 50}/f{at}", os.urandom(10_000)) for at in range(10_000)))
        path = str(write(root / "large.tar", docker_files(image(many), "large:1")))
        took = await timed(archive.load(store, path))
        print(f"load of 10,000 files, 100 MB {took:8.1f} ms")
        store.close()


async def timed(work: object) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc]
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    asyncio.run(measure())

"""A process that writes as fast as it can and says on stdout which writes were acknowledged, until killed."""

from __future__ import annotations

import asyncio
import os
import sys

from sampan.store.sqlite import SqliteStore


async def main(path: str, name: str) -> None:
    store = await SqliteStore.open(path)

    async def write(worker: int) -> None:
        number = 0
        while True:
            number += 1
            key, value = f"/{name}/{worker}/{number % 50:02}", f"{number}"
            revision = await store.put(key, value.encode() * 20)
            os.write(1, f"{revision} {key} {value}\n".encode())

    async def compact() -> None:
        while True:
            await asyncio.sleep(0.02)
            await store.compact(max(store.revision - 100, 0))

    await asyncio.gather(compact(), *(write(worker) for worker in range(16)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))

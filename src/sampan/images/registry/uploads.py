"""Blobs on their way in: one session each, written and hashed as the bytes come.

A session lives in this process's memory and on disk as a part of the content store; it ends with its blob, by
the client's wish, or when nothing came for `IDLE` seconds. While there is one, the store collects nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass

from sampan.http.types import Body
from sampan.images.content import DigestMismatch, Writer
from sampan.images.registry.errors import Refusal
from sampan.images.store import ImageStore

BATCH = 2 << 20  # bytes written and hashed at once, in a thread
IDLE = 900.0
SESSIONS = 256
LARGEST = 1 << 40


@dataclass(slots=True)
class Upload:
    """`busy` while a request writes to it; `used` is the loop's time."""

    id: str
    repository: str
    writer: Writer
    used: float
    busy: bool = False


class Uploads:
    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._sessions: dict[str, Upload] = {}
        self._adding: contextlib.AbstractAsyncContextManager[None] | None = None
        self._changing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def start(self, repository: str) -> Upload:
        """Raises Refusal when there are too many."""
        if len(self._sessions) >= SESSIONS:
            raise Refusal("TOOMANYREQUESTS", f"{SESSIONS} uploads are under way", headers=(("Retry-After", "5"),))
        async with self._changing:
            if self._adding is None:
                adding = self._store.adding()
                await adding.__aenter__()
                self._adding = adding
            loop = asyncio.get_running_loop()
            writer = await self._store.call(self._store.content.writer)
            upload = Upload(os.urandom(16).hex(), repository, writer, loop.time())
            self._sessions[upload.id] = upload
        if self._timer is None:
            self._timer = loop.call_later(IDLE, self._expire)
        return upload

    def get(self, id: str, repository: str) -> Upload:
        """Raises Refusal BLOB_UPLOAD_UNKNOWN."""
        upload = self._sessions.get(id)
        if upload is None or upload.repository != repository:
            raise Refusal("BLOB_UPLOAD_UNKNOWN", "there is no such upload, or it waited too long: start another")
        return upload

    async def append(self, upload: Upload, content: bytes | Body, start: int | None) -> None:
        """Add what a request brings. What came before a connection broke stays, and the client may go on behind it.

        `start` is where the client thinks that its bytes belong. Raises Refusal RANGE_INVALID.
        """
        with self._using(upload):
            if start is not None and start != upload.writer.written:
                raise Refusal(
                    "RANGE_INVALID", f"the upload has {upload.writer.written} bytes, these begin at {start}",
                    headers=(("Range", reached(upload)),),
                )  # fmt: skip
            if isinstance(content, bytes):
                await self._store.call(lambda: upload.writer.write(content))
            else:
                await self._copy(upload.writer, content)

    async def _copy(self, writer: Writer, content: Body) -> None:
        """Reads one batch while the one before is written."""
        batch: list[bytes] = []
        size = 0
        writing: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        try:
            async for chunk in content:
                batch.append(chunk)
                size += len(chunk)
                if size >= BATCH:
                    if writing is not None:
                        await writing
                    if writer.written > LARGEST:
                        raise Refusal("SIZE_INVALID", f"a blob has at most {LARGEST} bytes")
                    writing = asyncio.ensure_future(self._store.call(_write(writer, batch)))
                    batch, size = [], 0
        finally:
            if writing is not None:
                await writing
            if batch:
                await loop.run_in_executor(None, _write(writer, batch))

    @contextlib.contextmanager
    def _using(self, upload: Upload):  # type: ignore[no-untyped-def]
        if upload.busy:
            raise Refusal("BLOB_UPLOAD_INVALID", "another request writes to this upload", 409)
        upload.busy = True
        try:
            yield
        finally:
            upload.busy = False
            upload.used = asyncio.get_running_loop().time()

    async def finish(self, upload: Upload, digest: str) -> None:
        """Make it a blob. Raises Refusal DIGEST_INVALID; the session ends either way."""
        with self._using(upload):
            try:
                await self._store.call(lambda: upload.writer.commit(digest))
            except DigestMismatch as error:
                raise Refusal("DIGEST_INVALID", str(error)) from error
            finally:
                await self.end(upload)

    async def end(self, upload: Upload) -> None:
        """Forget a session, and its bytes unless they have become a blob."""
        if self._sessions.pop(upload.id, None) is None:
            return
        await self._store.call(lambda: upload.writer.__exit__(None, None, None))
        async with self._changing:
            if not self._sessions and self._adding is not None:
                adding, self._adding = self._adding, None
                await adding.__aexit__(None, None, None)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE
        for upload in list(self._sessions.values()):
            if not upload.busy and upload.used <= oldest:
                task = loop.create_task(self.end(upload))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        waiting = [upload.used for upload in self._sessions.values()]
        self._timer = loop.call_at(max(min(waiting) + IDLE, loop.time() + 1), self._expire) if waiting else None

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for upload in list(self._sessions.values()):
            await self.end(upload)
        if self._ending:
            await asyncio.wait(self._ending)


def _write(writer: Writer, batch: list[bytes]):  # type: ignore[no-untyped-def]
    return lambda: writer.write(b"".join(batch))


def reached(upload: Upload) -> str:
    """The Range of an upload: `0-0` before the first byte, as clients expect it."""
    return f"0-{max(0, upload.writer.written - 1)}"

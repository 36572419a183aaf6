"""Push an image: what the registry has is not sent, the rest in parallel, the manifest last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin

from sampan.host.containers import ImageFailure
from sampan.http.types import Response
from sampan.images import documents
from sampan.images.content import CHUNK
from sampan.images.documents import Descriptor, Manifest, decode
from sampan.images.pull import PARALLEL, Registries
from sampan.images.reference import Reference
from sampan.images.registry_client import Connect, RegistryClient, RegistryError, discard
from sampan.images.store import ImageStore, Record


@dataclass(frozen=True, slots=True)
class Pushed:
    """`sent` of `blobs` were not in the registry before."""

    digest: str
    blobs: int
    sent: int


class Pusher:
    def __init__(self, connect: Connect, registries: Registries = Registries()) -> None:
        self._connect = connect
        self._registries = registries

    async def push(
        self, record: Record, reference: Reference, store: ImageStore, credentials: Sequence[tuple[str, str]] = ()
    ) -> Pushed:
        """Raises ImageFailure ErrImagePush with what each way to the registry answered."""
        failures: list[str] = []
        for base in self._registries.endpoints(reference.registry):
            client = RegistryClient(base, reference.repository, self._connect, credentials)
            try:
                return await _Push(client, store).run(record, reference)
            except RegistryError as error:
                failures.append(_explain(base, error))
                break  # it is there, and it refused
            except (OSError, EOFError) as error:
                failures.append(f"{base}: {error or type(error).__name__}")
            finally:
                await client.close()
        raise ImageFailure("ErrImagePush", f"failed to push {reference}: {'; '.join(failures)}")


def _explain(base: str, error: RegistryError) -> str:
    if error.status in (401, 403):
        return f"{base} does not let us: {error}; give credentials with --user NAME:PASSWORD"
    return f"{base} answered {error.status}: {error}"


@dataclass(slots=True)
class _Push:
    client: RegistryClient
    store: ImageStore

    async def run(self, record: Record, reference: Reference) -> Pushed:
        data = await self.store.call(lambda: self.store.content.read(record.manifest))
        manifest = decode(data, Manifest, "manifest")
        parts = {part.digest: part for part in (manifest.config, *manifest.layers)}
        turns = asyncio.Semaphore(PARALLEL)

        async def send(part: Descriptor) -> bool:
            async with turns:
                return await self._blob(part)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(part)) for part in parts.values()]
        except* (RegistryError, OSError, EOFError) as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        kind = manifest.mediaType or documents.MANIFEST
        version = reference.tag or record.manifest
        headers = {"content-type": kind}
        await discard(await self.client.send("PUT", f"manifests/{version}", headers, lambda: data))
        return Pushed(record.manifest, len(tasks), sum(task.result() for task in tasks))

    async def _blob(self, part: Descriptor) -> bool:
        """Send one; False when it is there, or when the registry finds it elsewhere."""
        if await self._there(part.digest):
            return False
        response = await self.client.send("POST", f"blobs/uploads/?mount={part.digest}", {"content-length": "0"})
        await discard(response)
        if response.status == 201:
            return False
        location = urljoin(f"{self.client.base}/v2/", response.header("location"))
        target = f"{location}{'&' if '?' in location else '?'}digest={part.digest}"
        size = self.store.content.size(part.digest)
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}
        body = lambda: _File(self.store.content.open(part.digest))  # noqa: E731
        await discard(await self.client.send("PUT", target, headers, body))
        return True

    async def _there(self, digest: str) -> bool:
        try:
            response: Response = await self.client.send("HEAD", f"blobs/{digest}", {})
        except RegistryError as error:
            if error.status == 404:
                return False
            raise
        await discard(response)
        return True


class _File:
    """A file as a request's content: the next chunk is read while the last one is sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def read(self, limit: int) -> bytes:
        with self._file:
            return self._file.read(limit)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        with self._file:
            reading = loop.run_in_executor(None, self._file.read, CHUNK)
            while chunk := await reading:
                reading = loop.run_in_executor(None, self._file.read, CHUNK)
                try:
                    yield chunk
                except GeneratorExit:
                    await reading
                    raise

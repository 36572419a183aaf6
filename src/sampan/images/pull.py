"""Pull an image: resolve its name, choose the platform, fetch what is missing into the content store.

Blobs come in parallel, are verified while they are written, and go on where they stopped after a broken
connection. Unpacking is the store's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.host.containers import ImageFailure
from sampan.http.types import Response
from sampan.images import documents
from sampan.images.content import Content, DigestMismatch, Writer
from sampan.images.documents import BadImage, Descriptor, Index, Manifest
from sampan.images.flights import Turns
from sampan.images.reference import DEFAULT_REGISTRY, Reference
from sampan.images.registry_client import Connect, RegistryClient, RegistryError, read

PARALLEL = 3  # layers of one image under way at once
ATTEMPTS = 3  # of one blob that bring nothing more; each goes on where the last one stopped
BATCH = 1 << 20
_MANIFEST_LIMIT = 8 << 20
_UNAVAILABLE = (429, 500, 502, 503, 504)

Call = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs blocking work elsewhere."""


@dataclass(frozen=True, slots=True)
class Registries:
    """`mirrors` maps a registry to URLs tried before it; `insecure` are registries that speak plain HTTP."""

    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure: frozenset[str] = frozenset()

    def endpoints(self, registry: str) -> list[str]:
        """Base URLs in the order to try. Registries on this machine may speak HTTPS or plain HTTP."""
        found = [url.rstrip("/") for url in self.mirrors.get(registry, ())]
        if registry == DEFAULT_REGISTRY:
            return [*found, "https://registry-1.docker.io"]
        if registry in self.insecure:
            return [*found, f"http://{registry}"]
        host = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdigit() else registry
        if host in ("localhost", "[::1]") or host.startswith("127."):
            return [*found, f"https://{registry}", f"http://{registry}"]
        return [*found, f"https://{registry}"]


@dataclass(frozen=True, slots=True)
class Pulled:
    """`manifest` is this platform's, `digest` what the name resolved to (perhaps an index)."""

    manifest: str
    digest: str


class Puller:
    def __init__(self, connect: Connect, registries: Registries = Registries()) -> None:
        self._connect = connect
        self._registries = registries
        self._turns = Turns()

    async def pull(
        self, reference: Reference, credentials: Sequence[tuple[str, str]], content: Content, call: Call
    ) -> Pulled:
        """Fetch an image's manifest, configuration and layers.

        Raises ImageFailure: RegistryUnavailable when the registry says that it cannot serve now, else ErrImagePull.
        """
        failures: list[str] = []
        reason, answered = "RegistryUnavailable", False
        for base in self._registries.endpoints(reference.registry):
            client = RegistryClient(base, reference.repository, self._connect, credentials)
            try:
                return await _Pull(client, reference, content, call, self._turns).run()
            except RegistryError as error:
                answered = True
                failures.append(_explain(reference, error))
                if error.status not in _UNAVAILABLE:
                    reason = "ErrImagePull"
            except (OSError, EOFError) as error:
                failures.append(f"failed to do request to {base}: {error or type(error).__name__}")
                reason = "ErrImagePull"
            except (BadImage, ValueError) as error:
                answered = True
                failures.append(str(error))
                reason = "ErrImagePull"
            finally:
                await client.close()
        text = f'failed to pull and unpack image "{reference}": {"; ".join(failures)}'
        raise ImageFailure(reason, text, unreachable=not answered)


def _explain(reference: Reference, error: RegistryError) -> str:
    if error.status == 404:
        return f'failed to resolve reference "{reference}": {reference}: not found'
    if error.status in (401, 403):
        return (
            f"pull access denied, repository does not exist or may require authorization: authorization failed: {error}"
        )
    return f"registry answered {error.status}: {error}"


@dataclass(slots=True)
class _Pull:
    client: RegistryClient
    reference: Reference
    content: Content
    call: Call
    turns: Turns

    async def run(self) -> Pulled:
        data, media_type = await self._manifest(self.reference.version)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        chosen = data
        depth = 0
        while documents.is_index(chosen, media_type):
            depth += 1
            if depth > 3:
                raise BadImage("indexes are nested more than 3 deep")
            descriptor = documents.choose(documents.decode(chosen, Index, "index"))
            chosen, media_type = await self._part(descriptor.digest)
        manifest = documents.decode(chosen, Manifest, "manifest")
        await self._fetch_all((manifest.config, *manifest.layers))
        await self.call(lambda: self.content.put(data))
        name: str = await self.call(lambda: self.content.put(chosen))
        return Pulled(name, digest)

    async def _manifest(self, version: str) -> tuple[bytes, str]:
        """(bytes, media type); checked when asked for by digest."""
        response = await self.client.get(f"manifests/{version}", {"accept": documents.ACCEPT})
        data = await read(response, _MANIFEST_LIMIT)
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if version.startswith("sha256:") and found != version:
            raise DigestMismatch(f"manifest has digest {found}, expected {version}")
        return data, response.header("content-type").partition(";")[0].strip()

    async def _part(self, digest: str) -> tuple[bytes, str]:
        """A manifest that an index names; the registry has let us see the index, so ours will do."""
        if self.content.has(digest):
            return await self.call(lambda: self.content.read(digest, _MANIFEST_LIMIT)), ""
        return await self._manifest(digest)

    async def _fetch_all(self, descriptors: Sequence[Descriptor]) -> None:
        turns = asyncio.Semaphore(PARALLEL)

        async def fetch(descriptor: Descriptor) -> None:
            async with turns, self.turns.of(descriptor.digest):
                await self._fetch(descriptor)

        unique = {descriptor.digest: descriptor for descriptor in descriptors}
        try:
            async with asyncio.TaskGroup() as group:
                for descriptor in unique.values():
                    group.create_task(fetch(descriptor))
        except* (RegistryError, OSError, EOFError, ValueError) as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None

    async def _fetch(self, descriptor: Descriptor) -> None:
        if self.content.has(descriptor.digest):
            return
        name = descriptor.digest.removeprefix("sha256:")
        left, reached = ATTEMPTS, 0
        while True:
            try:
                with self.content.writer(resume=name) as writer:
                    await self.call(writer.recover)
                    await self._download(descriptor, writer)
                    await self.call(lambda: writer.commit(descriptor.digest))
                return
            except (OSError, EOFError):
                left = ATTEMPTS if writer.written > reached else left - 1
                reached = max(reached, writer.written)
                if not left:
                    raise

    async def _download(self, descriptor: Descriptor, writer: Writer) -> None:
        headers = {"range": f"bytes={writer.written}-"} if writer.written else {}
        try:
            response = await self.client.get(f"blobs/{descriptor.digest}", headers)
        except RegistryError as error:
            if error.status != 416:
                raise
            writer.restart()
            response = await self.client.get(f"blobs/{descriptor.digest}", {})
        if response.status != 206:
            writer.restart()
        await self._copy(response, writer, descriptor)

    async def _copy(self, response: Response, writer: Writer, descriptor: Descriptor) -> None:
        if isinstance(response.body, bytes):
            writer.write(response.body)
            return
        batch = bytearray()
        try:
            async for chunk in response.body:
                batch += chunk
                if len(batch) >= BATCH:
                    full, batch = batch, bytearray()
                    await self._write(writer, full, descriptor)
        except (OSError, EOFError):
            await self._write(writer, batch, descriptor)  # the next attempt goes on behind it
            raise
        await self._write(writer, batch, descriptor)

    async def _write(self, writer: Writer, batch: bytearray, descriptor: Descriptor) -> None:
        if descriptor.size and writer.written + len(batch) > descriptor.size:
            raise DigestMismatch(f"blob {descriptor.digest} is larger than its {descriptor.size} bytes")
        await self.call(lambda: writer.write(bytes(batch)))

"""What the registry remembers on disk: manifests, tags, and blobs that came before their manifest.

    held/registry/REPOSITORY/_manifests/HEX.json   a manifest, with all the content that it needs
    held/registry/REPOSITORY/_tags/TAG             where a tag leads
    held/registry/_uploaded/HEX.json               a blob that no manifest may need yet

The content itself lies in the node's store, once. Images of the node with a name of this registry are served too,
without having been pushed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import msgspec

from sampan.images import documents, held
from sampan.images.held import Needs
from sampan.images.store import ImageStore, Record

UPLOADED_TIME = 3600.0
"""Seconds that a blob may wait for its manifest."""

UNTAGGED_TIME = 7 * 86400.0
"""Seconds that a manifest stays after its last tag went elsewhere: deployments may name its digest."""


class Entry(Needs, frozen=True):
    """A manifest. `blobs` are itself and what it names; `subject` is a digest that it refers to, or ""."""

    digest: str = ""
    mediaType: str = ""
    size: int = 0
    artifactType: str = ""
    subject: str = ""
    annotations: dict[str, str] | None = None


class Tag(msgspec.Struct, frozen=True):
    """`seen` is the manifest of the node's image that had this name when the tag was pushed, "" without one."""

    digest: str
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Repositories:
    """`hosts` are the registry's own names in image references, such as localhost:5000."""

    store: ImageStore
    hosts: Collection[str]

    @property
    def _root(self) -> str:
        return f"{self.store.root_directory}/held/registry"

    def _manifest(self, repository: str, digest: str) -> str:
        return f"{self._root}/{repository}/_manifests/{digest.removeprefix('sha256:')}.json"

    def _tag(self, repository: str, tag: str) -> str:
        return f"{self._root}/{repository}/_tags/{tag}"

    # Manifests

    def find(self, repository: str, digest: str) -> Entry | None:
        """A manifest of a repository: pushed, or of an image of the node."""
        entry = held.read(self._manifest(repository, digest), Entry)
        if entry is not None and self.store.content.has(digest):
            return entry
        for _, record in self._images(repository):
            if record.manifest == digest:
                return of_record(record)
        return None

    def put(self, repository: str, entry: Entry) -> None:
        held.write(self._manifest(repository, entry.digest), entry)

    def remove(self, repository: str, digest: str) -> bool:
        """Forget a manifest and the tags that lead to it; False when it was not pushed."""
        if not held.drop(self._manifest(repository, digest)):
            return False
        for tag in self._pushed_tags(repository):
            found = self._read_tag(repository, tag)
            if found is not None and found.digest == digest:
                held.drop(self._tag(repository, tag))
        self._tidy(repository)
        return True

    def manifests(self, repository: str) -> Iterator[Entry]:
        """All that were pushed."""
        directory = f"{self._root}/{repository}/_manifests"
        for name in sorted(_listed(directory)):
            entry = held.read(f"{directory}/{name}", Entry)
            if entry is not None:
                yield entry

    # Tags

    def resolve(self, repository: str, tag: str) -> str:
        """The digest that a tag leads to, "" when there is none. What got the name last counts."""
        found = self._read_tag(repository, tag)
        record = next((record for name, record in self._images(repository) if name == tag), None)
        if found is None:
            return record.manifest if record is not None else ""
        if record is None or record.manifest in (found.seen, found.digest) or self._within(repository, found, record):
            return found.digest
        return record.manifest

    def _within(self, repository: str, tag: Tag, record: Record) -> bool:
        """Whether the node's image is the tag's for this platform: it was pulled from here."""
        entry = held.read(self._manifest(repository, tag.digest), Entry)
        return entry is not None and record.manifest in entry.blobs

    def tag(self, repository: str, tag: str, digest: str) -> None:
        record = next((record for name, record in self._images(repository) if name == tag), None)
        path = self._tag(repository, tag)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{os.path.dirname(path)}/.{os.urandom(6).hex()}"
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(Tag(digest, record.manifest if record is not None else "")))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def untag(self, repository: str, tag: str) -> bool:
        if not held.drop(self._tag(repository, tag)):
            return False
        self._tidy(repository)
        return True

    def tags(self, repository: str) -> list[str]:
        """Sorted by their bytes."""
        return sorted({*self._pushed_tags(repository), *(name for name, _ in self._images(repository))})

    def _pushed_tags(self, repository: str) -> list[str]:
        return [name for name in _listed(f"{self._root}/{repository}/_tags") if not name.startswith(".")]

    def _read_tag(self, repository: str, tag: str) -> Tag | None:
        try:
            with open(self._tag(repository, tag), "rb") as file:
                return msgspec.json.decode(file.read(), type=Tag)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def _images(self, repository: str) -> Iterator[tuple[str, Record]]:
        """(tag, image) of the node's images whose names lead to this repository."""
        prefixes = tuple(f"{host}/{repository}:" for host in self.hosts)
        for name, record in self.store.named():
            if name.startswith(prefixes):
                yield name.rpartition(":")[2], record

    # Blobs

    def uploaded(self, digest: str) -> None:
        """A blob came; it is kept for a while without a manifest."""
        held.write(self._uploaded(digest), Needs((digest,)))

    def forget_uploaded(self, digest: str) -> None:
        held.drop(self._uploaded(digest))

    def _uploaded(self, digest: str) -> str:
        return f"{self._root}/_uploaded/{digest.removeprefix('sha256:')}.json"

    # All of it

    def exists(self, repository: str) -> bool:
        pushed = os.path.isdir(f"{self._root}/{repository}/_manifests")
        return pushed or any(True for _ in self._images(repository))

    def names(self) -> list[str]:
        """Every repository, sorted."""
        found = set()
        for directory, names, _ in os.walk(self._root):
            if "_manifests" in names:
                found.add(os.path.relpath(directory, self._root))
            names[:] = [name for name in names if not name.startswith("_")]
        prefixes = tuple(f"{host}/" for host in self.hosts)
        for name, _ in self.store.named():
            if name.startswith(prefixes):
                found.add(name.partition("/")[2].rpartition(":")[0])
        return sorted(found)

    def expire(self, age: float = UPLOADED_TIME) -> int:
        """Forget blobs whose manifest never came; returns how many."""
        oldest = time.time() - age
        gone = 0
        directory = f"{self._root}/_uploaded"
        for name in _listed(directory):
            path = f"{directory}/{name}"
            try:
                old = os.stat(path).st_mtime < oldest
            except FileNotFoundError:
                continue
            if old:
                gone += held.drop(path)
        return gone

    def prune(self, age: float = UNTAGGED_TIME) -> int:
        """Forget manifests without a tag that nothing names and that refer to nothing here; returns how many."""
        oldest = time.time() - age
        gone = 0
        for repository in self.names():
            entries = {entry.digest: entry for entry in self.manifests(repository)}
            named = {self.resolve(repository, tag) for tag in self.tags(repository)}
            for entry in entries.values():
                named.update(blob for blob in entry.blobs if blob != entry.digest)
            for entry in entries.values():
                if entry.digest in named or entry.subject in entries:
                    continue
                path = self._manifest(repository, entry.digest)
                if os.stat(path).st_mtime < oldest:
                    gone += self.remove(repository, entry.digest)
        return gone

    def _tidy(self, repository: str) -> None:
        """Remove a repository that is empty now, and the directories above it that only it kept."""
        path = f"{self._root}/{repository}"
        if not _listed(f"{path}/_manifests") and not _listed(f"{path}/_tags"):
            for part in ("_manifests", "_tags"):
                shutil.rmtree(f"{path}/{part}", ignore_errors=True)
        while path != self._root:
            try:
                os.rmdir(path)
            except OSError:  # it has others in it
                return
            path = os.path.dirname(path)


def of_record(record: Record) -> Entry:
    """An image of the node as a manifest of a repository."""
    return Entry(record.blobs, digest=record.manifest, mediaType=documents.MANIFEST)


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []

"""Builds in a place of their own: a busybox to build on, a folder as context, and what came of a build."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.images.build import frontend
from sampan.images.build.builder import Builder
from sampan.images.build.progress import Progress
from sampan.images.build.request import Built, Secret
from sampan.images.build.workshop import Workshop
from sampan.images.store import ImageStore, Record
from tests.host import lab

BASE = lab.IMAGE
FROM = f"FROM {BASE}\n"


class Said(io.StringIO):
    """What a build printed; `heard` returns when a text was among it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def write(self, text: str) -> int:
        self._more.set()
        return super().write(text)

    async def heard(self, text: str) -> None:
        async with asyncio.timeout(lab.DEADLINE):
            while text not in self.getvalue():
                self._more.clear()
                await self._more.wait()


@dataclass
class Lab:
    root: Path
    store: ImageStore
    workshop: Workshop
    said: Said = field(default_factory=lambda: Said())

    @property
    def context(self) -> Path:
        return self.root / "context"

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    async def build(
        self, text: str | None, *, args: Mapping[str, str] | None = None, at_once: int = 0, **options: Any
    ) -> Made:
        """Build a Dockerfile's text in the context; without one the Dockerfile that lies there."""
        options.setdefault("names", ("test:1",))
        recipe = frontend.recipe(self.context, text=text)
        request = frontend.request(recipe, self.context, given=args, **options)
        self.said = Said()
        progress = Progress(self.said, verbose=True)
        built = await Builder(self.store, self.workshop, request, progress, at_once).build()
        record = self.store.find(built.id)
        assert record is not None
        return Made(self, built, record)

    def secret(self, name: str, content: str) -> dict[str, Secret]:
        path = self.root / name
        path.write_text(content)
        return {name: Secret(path=str(path))}


@dataclass
class Made:
    lab: Lab
    built: Built
    record: Record

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lab.store.content.read(self.record.id))
        return found

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["config"]
        return found

    @property
    def layers(self) -> list[Path]:
        """Unpacked, the bottom first, without those of the base."""
        return [Path(self.lab.store.layers.path(layer)) for layer in self.record.layers]

    @property
    def top(self) -> Path:
        return self.layers[-1]

    def read(self, path: str) -> str:
        """A file's text in the uppermost layer that has it."""
        for layer in reversed(self.layers):
            found = layer / path
            if found.is_file():
                return found.read_text()
        raise FileNotFoundError(path)

    def status(self, path: str) -> os.stat_result:
        for layer in reversed(self.layers):
            if os.path.lexists(layer / path):
                return os.lstat(layer / path)
        raise FileNotFoundError(path)


def leftovers(workshop: Workshop) -> list[str]:
    """Mounts, cgroups and directories that a build should not leave."""
    mounts = Path("/proc/self/mountinfo").read_text()
    found = [line for line in mounts.splitlines() if workshop.data in line or workshop.run in line]
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{directory}/{name}" for name in names if name.startswith(f"{workshop.name}-build")]
        if directory.count("/") > 5:
            names.clear()
    found += os.listdir(f"{workshop.data}/work") if os.path.isdir(f"{workshop.data}/work") else []
    found += [name for name in os.listdir(workshop.run) if name != "oci"] if os.path.isdir(workshop.run) else []
    oci = f"{workshop.run}/oci"
    return found + (os.listdir(oci) if os.path.isdir(oci) else [])

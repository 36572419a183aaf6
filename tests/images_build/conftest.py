from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.images.build.workshop import Workshop
from sampan.images.store import ImageStore
from tests.host.lab import add_image
from tests.images_build.lab import Lab, leftovers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    made = ImageStore(str(tmp_path / "store"))
    yield made
    made.close()


@pytest.fixture
async def lab(tmp_path: Path, store: ImageStore) -> AsyncIterator[Lab]:
    await add_image(store)
    name = f"t{os.urandom(3).hex()}"
    workshop = Workshop(name, str(tmp_path / "store/build"), str(tmp_path / "run"))
    made = Lab(tmp_path, store, workshop)
    made.context.mkdir()
    yield made
    assert leftovers(workshop) == []

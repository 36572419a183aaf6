from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from sampan.images.store import ImageStore
from tests.host import lab as labs


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    store = ImageStore(str(tmp_path_factory.mktemp("images")))
    asyncio.run(labs.add_image(store))
    yield store
    store.close()


@pytest.fixture
async def lab(images: ImageStore) -> AsyncIterator[labs.Lab]:
    async with labs.lab(images) as made:
        yield made

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.images.store import ImageStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    made = ImageStore(str(tmp_path / "store"))
    yield made
    made.close()

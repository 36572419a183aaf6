from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sampan.network.pods import BridgeNetwork
from tests.network import lab


@pytest.fixture
def host() -> Iterator[None]:
    """The test's thread lives in a network namespace of its own."""
    with lab.own_host():
        yield


@pytest.fixture
async def network(host: None, tmp_path: Path) -> AsyncIterator[BridgeNetwork]:
    made = lab.network(tmp_path)
    await made.setup()
    yield made
    await made.teardown()


@pytest.fixture
def namespace() -> Iterator[Callable[[], str]]:
    """Makes network namespaces that end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(lab.namespace())

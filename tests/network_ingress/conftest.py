from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.machine import KUBECTL, Machine, alone, eventually, leftovers
from tests.network_ingress.served import Published


@pytest.fixture(scope="session")
def published() -> Iterator[Published]:
    """A cluster with two services behind it, `one` and `two`; nothing of it is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    with alone() as machine:
        try:
            machine.root.mkdir()
            made = Published(machine)
            made.up()
            machine.load_images("v1", "v2")
            for name in ("one", "two"):
                made.deploy(name)
            eventually(lambda: made.ready("one") and made.ready("two"), "pods of both services")
            yield made
        finally:
            machine.purge()
        assert leftovers(machine) == []


@pytest.fixture
def machine(published: Published) -> Machine:
    return published.machine

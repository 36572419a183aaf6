from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.machine import KUBECTL, Machine, leftovers, new_root

NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """One real cluster for all end-to-end tests of the session."""
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    number = int(os.environ.get("SAMPAN_E2E", "0"))  # several runs beside each other need different ones
    place = Machine(new_root(), f"e2e{number}", number)
    try:
        place.up()
        place.load_images("v1", "v2")
        yield place
    finally:
        place.down("--purge")
        shutil.rmtree(place.root)
    assert leftovers(place.name) == []


@pytest.fixture
def namespace(machine: Machine) -> Iterator[str]:
    """A namespace of the test's own; deleting it is part of the test."""
    name = f"t{next(NAMES)}"
    machine.kubectl("create", "namespace", name)
    yield name
    machine.kubectl("delete", "namespace", name, "--timeout=60s")

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.machine import KUBECTL, Machine, alone, leftovers

NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """One real cluster for all end-to-end tests of the session; nothing of it is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    with alone() as place, ended_by_sigterm():
        try:
            place.root.mkdir()
            place.up()
            place.load_images("v1", "v2")
            yield place
        finally:
            place.purge()
        assert leftovers(place) == []


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """A run that is asked to end, by `timeout` for example, takes its cluster down first."""

    def end(*_: object) -> None:
        pytest.exit("terminated")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def base(machine: Machine) -> str:
    """A Debian of this machine's packages in the node's store, for images that are built on it."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get: a base image is made of a distribution's packages")
    machine.sampan("image", "base", "debian", "--suite", "bookworm", *machine.where())
    return "debian:bookworm-slim"


@pytest.fixture
def namespace(machine: Machine) -> Iterator[str]:
    """A namespace of the test's own; deleting it is part of the test."""
    name = f"t{next(NAMES)}"
    machine.kubectl("create", "namespace", name)
    yield name
    machine.kubectl("delete", "namespace", name, "--timeout=60s")

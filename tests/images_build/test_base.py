"""Bases of a distribution's packages: which names mean one, and builds on them where no registry can be reached."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sampan.images.build import base
from sampan.images.build.errors import DockerfileError
from sampan.images.store import ImageStore
from tests.images_build.lab import BASE, Lab


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("debian", "trixie"),
        ("debian:12", "bookworm"),
        ("debian:bookworm-slim", "bookworm"),
        ("docker.io/library/debian:12-slim", "bookworm"),
        ("ubuntu:24.04", "noble"),
    ],
)
def test_names_that_mean_a_distribution(name: str, suite: str) -> None:
    wanted = base.called(name)
    assert wanted is not None and wanted.suite == suite and name in base.names_of(wanted)


@pytest.mark.parametrize(
    "name", ["debian:noble", "debian:bookworm-20260101", "web:12", "me/debian:12", "r.test/debian:12"]
)
def test_names_that_do_not(name: str) -> None:
    assert base.called(name) is None


@pytest.mark.kernel
async def test_a_build_makes_the_base_that_no_registry_can_bring(lab: Lab) -> None:
    """The release is here under another name already, so that no package has to come."""
    await lab.store.tag(BASE, "debian:bookworm")
    made = await lab.build("FROM debian:12-slim AS a\nFROM debian:12-slim\nCOPY --from=a /etc /a\n")
    assert lab.said.getvalue().count("no registry can be reached for debian:12-slim") == 1
    assert len(made.layers) == 2 and lab.store.find("debian:12-slim") == lab.store.find(BASE)
    with pytest.raises(DockerfileError, match=r"Dockerfile:1: the image debian:never is not here: .*sampan image load"):
        await lab.build("FROM debian:never\n")


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("apt-get"), reason="needs root and a machine with apt")
async def test_a_base_of_packages(store: ImageStore) -> None:
    said: list[str] = []
    wanted = base.Wanted("debian", base.suite_of_machine("debian"))
    made = await base.make(store, wanted, said.append)
    assert not made.before and (await base.make(store, wanted, said.append)).before
    record = store.find(made.names[0])
    assert record is not None and len(record.layers) == 1
    root = Path(store.layers.path(record.layers[0]))
    assert (root / "usr/bin/apt-get").is_file() and not (root / "etc/hostname").exists()

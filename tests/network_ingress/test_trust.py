"""`sampan trust` with stores of the test's own."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import pytest

from sampan.cli import trust
from sampan.cli.context import CommandError, Context
from sampan.cli.trust import Store
from sampan.network.ingress import certificates


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(io.StringIO(), io.StringIO(), io.StringIO(), {"HOME": str(tmp_path)})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Its program writes what it found into a file."""
    place = tmp_path / "anchors"
    place.mkdir()
    program = tmp_path / "bin" / "update-store"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nls {place} > {tmp_path}/seen\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    made = Store(place, (program.name,))
    monkeypatch.setattr(trust, "STORES", (Store(tmp_path / "absent", ("true",)), made))
    monkeypatch.setattr(trust, "homes", lambda environ: [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


def options(root: Path, **more: bool) -> argparse.Namespace:
    given = {"remove": False, "show": False, **more}
    return argparse.Namespace(name="lab", data_root=root / "data", run_root=root / "run", **given)


def test_the_authority_is_installed_and_removed(tmp_path: Path, store: Store, context: Context) -> None:
    made = certificates.authority(tmp_path / "data" / "lab" / "pki", "lab")
    assert trust.run(options(tmp_path), context) == 0
    assert (store.place / "sampan-lab.crt").read_bytes() == made.certificate_path.read_bytes()
    assert (tmp_path / "seen").read_text() == "sampan-lab.crt\n"
    said = context.stderr.getvalue()  # type: ignore[attr-defined]
    assert "undo it with: sampan trust --remove --name lab" in said
    trust.run(options(tmp_path, remove=True), context)
    assert (tmp_path / "seen").read_text() == ""
    assert not list(store.place.iterdir())


def test_twice_is_once(tmp_path: Path, store: Store, context: Context) -> None:
    certificates.authority(tmp_path / "data" / "lab" / "pki", "lab")
    trust.run(options(tmp_path), context)
    (tmp_path / "seen").unlink()
    trust.run(options(tmp_path), context)
    assert not (tmp_path / "seen").exists()
    trust.run(options(tmp_path, remove=True), context)
    trust.run(options(tmp_path, remove=True), context)
    assert "did not trust" in context.stderr.getvalue()  # type: ignore[attr-defined]


def test_before_the_first_start_there_is_nothing_to_trust(tmp_path: Path, store: Store, context: Context) -> None:
    with pytest.raises(CommandError, match="start it once"):
        trust.run(options(tmp_path), context)


def test_the_path_is_for_anybody(
    tmp_path: Path, store: Store, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = certificates.authority(tmp_path / "data" / "lab" / "pki", "lab")
    trust.run(options(tmp_path, show=True), context)
    assert context.stdout.getvalue() == f"{certificates.public(made.directory.parent)}\n"  # type: ignore[attr-defined]
    with pytest.raises(CommandError, match="sudo"):
        trust.run(options(tmp_path), context)


def test_a_machine_without_a_store_is_told_the_file(
    tmp_path: Path, store: Store, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.authority(tmp_path / "data" / "lab" / "pki", "lab")
    monkeypatch.setattr(trust, "STORES", ())
    with pytest.raises(CommandError, match=r"ingress-ca\.crt"):
        trust.run(options(tmp_path), context)

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sampan.node import paths


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume that tries to get out."""
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "volume"
    (root / "d").mkdir(parents=True)
    (root / "d/file").write_text("inside")
    (root / "near").symlink_to("d")
    (root / "out").symlink_to("..")
    (root / "far").symlink_to("/etc")
    (root / "proc").symlink_to("/proc/self/root")
    return root


def test_reading_inside(volume: Path) -> None:
    assert paths.read_beneath(str(volume), "d/file", 100) == "inside"
    assert paths.read_beneath(str(volume), "near/file", 3) == "ins"
    assert paths.read_beneath(str(volume), "d/../d/file", 100) == "inside"


@pytest.mark.parametrize("path", ["../secret", "out/secret", "far/hostname", "proc/etc/hostname", "/etc/hostname", "d"])
def test_nothing_outside_is_read(volume: Path, path: str) -> None:
    assert paths.read_beneath(str(volume), path, 100) is None


def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    assert paths.read_beneath(str(tmp_path / "none"), "x", 100) is None


@pytest.mark.parametrize("path", ["out/made", "far/made", "near/made", "proc/made"])
def test_nothing_is_made_behind_a_link(volume: Path, path: str) -> None:
    root = paths.open_directory(str(volume))
    try:
        with pytest.raises(OSError):
            paths.make_beneath(root, path, 0o755)
    finally:
        os.close(root)
    assert not (volume / "d/made").exists() and not (volume.parent / "made").exists()


def test_directories_are_made_with_their_parents(volume: Path) -> None:
    root = paths.open_directory(str(volume))
    try:
        os.close(paths.make_beneath(root, "d/x//./y", 0o770))
    finally:
        os.close(root)
    assert stat.S_IMODE((volume / "d/x/y").stat().st_mode) == 0o770

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sampan.node.volumes.host_path import ensure
from sampan.node.volumes.types import VolumeFailure


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("directory")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("directory", "Directory"),
        ("directory", "DirectoryOrCreate"),
        ("link", "Directory"),
        ("file", "File"),
        ("file", "FileOrCreate"),
        ("socket", "Socket"),
        ("directory", ""),
        ("file", ""),
        ("fifo", ""),
    ],
)
def test_what_fits_is_taken(place: Path, name: str, kind: str) -> None:
    before = sorted(os.listdir(place))
    ensure(str(place / name), kind)
    assert sorted(os.listdir(place)) == before


def test_devices() -> None:
    ensure("/dev/null", "CharDevice")
    with pytest.raises(VolumeFailure, match="hostPath type check failed: /dev/null is not a block device"):
        ensure("/dev/null", "BlockDevice")


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        ("file", "Directory", "a directory"),
        ("file", "DirectoryOrCreate", "a directory"),
        ("none", "Directory", "a directory"),
        ("directory", "File", "a file"),
        ("directory", "FileOrCreate", "a file"),
        ("none", "File", "a file"),
        ("file", "Socket", "a socket file"),
        ("none", "CharDevice", "a character device"),
    ],
)
def test_what_does_not_fit_is_refused(place: Path, name: str, kind: str, wanted: str) -> None:
    with pytest.raises(VolumeFailure) as caught:
        ensure(str(place / name), kind)
    assert str(caught.value) == f"hostPath type check failed: {place / name} is not {wanted}"
    assert not (place / "none").exists()


def test_what_is_missing_may_be_made(place: Path) -> None:
    ensure(str(place / "a/b"), "DirectoryOrCreate")
    ensure(str(place / "c"), "FileOrCreate")
    ensure(str(place / "d/e"), "")
    assert (place / "a/b").is_dir() and (place / "c").is_file() and (place / "d/e").is_dir()


def test_a_file_is_not_made_without_its_directory(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ensure(str(place / "a/b"), "FileOrCreate")


def test_unknown_types() -> None:
    with pytest.raises(VolumeFailure, match="Pipe is an invalid volume type"):
        ensure("/x", "Pipe")

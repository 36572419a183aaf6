"""Trees that pods make deeper than any path is long, and than Python calls itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan import removal
from sampan.node.storage_limits import used

DEEP = 3000


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    top = tmp_path / "deep"
    top.mkdir()
    current = os.open(top, os.O_RDONLY)
    for at in range(DEEP):
        os.mkdir("dd", dir_fd=current)
        if at % 100 == 0:
            os.symlink("/etc", "link", dir_fd=current)
        inner = os.open("dd", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=current)
    os.write(file, b"x" * (1 << 20))
    os.close(file)
    os.close(current)
    return top


def test_what_lies_deep_counts_and_goes(deep: Path) -> None:
    try:
        descriptors = len(os.listdir("/proc/self/fd"))
        assert used(str(deep)) >= 1 << 20
        assert len(os.listdir("/proc/self/fd")) == descriptors
    finally:
        removal.remove(deep)
    assert not deep.exists()
    removal.remove(deep)
    assert Path("/etc").is_dir()


def test_a_link_and_a_file_are_no_trees(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for name in ("link", "there/file"):
        with pytest.raises(OSError):
            removal.remove(tmp_path / name)
    assert (tmp_path / "there" / "file").exists()

"""Files that others write: no link leads out, patterns are Ant's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan import removal
from sampan.delivery import trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A workspace with links of all kinds that lead out of it."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("private")
    root = tmp_path / "work"
    (root / "a" / "b").mkdir(parents=True)
    (root / "top.txt").write_text("top")
    (root / "a" / "one.txt").write_text("one")
    (root / "a" / "b" / "two.log").write_text("two")
    (root / ".git").mkdir()
    (root / ".git" / "config.txt").write_text("")
    (root / "link.txt").symlink_to(secret / "key.txt")
    (root / "out").symlink_to(secret)
    os.mkfifo(root / "pipe.txt")
    return root


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["**"], ["a/b/two.log", "a/one.txt", "top.txt"]),
        (["*.txt"], ["top.txt"]),
        (["**/*.txt"], ["a/one.txt", "top.txt"]),
        (["a/"], ["a/b/two.log", "a/one.txt"]),
        (["a/**"], ["a/b/two.log", "a/one.txt"]),
        (["a/?ne.txt", "top.*"], ["a/one.txt", "top.txt"]),
        (["out/**", "link.txt", "pipe.txt"], []),
        (["[a]/*"], []),
        (["**/b/**"], ["a/b/two.log"]),
        (["**/b/two.log", "a/*n*.t*t"], ["a/b/two.log", "a/one.txt"]),
        (["a/**/*.log", "**/*.log/**"], ["a/b/two.log"]),
        (["**/a/**/b/*"], ["a/b/two.log"]),
        (["a*", "a/*/*o.l?g"], ["a/b/two.log"]),
        (["t*p*.txt", "*o*p*t"], ["top.txt"]),
    ],
)
def test_patterns(tree: Path, patterns: list[str], found: list[str]) -> None:
    assert [file.path for file in trees.files(tree, "", patterns)] == found


def test_excludes_and_directories(tree: Path) -> None:
    assert [file.path for file in trees.files(tree, "a", ["**"], ["**/*.log"])] == ["one.txt"]
    assert trees.files(tree, "nowhere") == []


@pytest.mark.parametrize("path", ["out/key.txt", "link.txt", "../secret/key.txt", "a/../../secret/key.txt"])
def test_no_path_leads_out(tree: Path, path: str) -> None:
    with pytest.raises(OSError):
        trees.read(tree, path, 100)


def test_a_directory_that_became_a_link_is_not_followed(tree: Path) -> None:
    found = trees.files(tree, "", ["a/**"])
    (tree / "a").rename(tree / "was")
    (tree / "a").symlink_to(tree.parent / "secret")
    with pytest.raises(OSError):
        trees.copy(tree, "", found, tree.parent / "copy", 1 << 20)
    with pytest.raises(OSError):
        trees.clear(tree, "a")
    assert (tree.parent / "secret" / "key.txt").exists()


def test_copies_are_bounded(tree: Path) -> None:
    with pytest.raises(OSError, match="more than"):
        trees.copy(tree, "", trees.files(tree), tree.parent / "copy", 5)


def test_a_snapshot_keeps_links_as_links_and_what_leads_out_is_found(tree: Path) -> None:
    copy = tree.parent / "copy"
    trees.snapshot(tree, copy, 1 << 20)
    assert (copy / "a" / "b" / "two.log").read_text() == "two"
    assert not (copy / ".git").exists()
    assert (copy / "out").is_symlink()
    assert trees.leads_out(copy) == "link.txt"
    for name in ("link.txt", "out"):
        (copy / name).unlink()
    (copy / "fine").symlink_to("top.txt")
    assert trees.leads_out(copy) == ""
    with pytest.raises(OSError, match="too large"):
        trees.snapshot(tree, tree.parent / "small", 4)


def test_putting_files_back_replaces_links(tree: Path) -> None:
    source = tree.parent / "source"
    (source / "a").mkdir(parents=True)
    (source / "link.txt").write_text("mine")
    (source / "a" / "one.txt").write_text("new")
    trees.put(source, tree)
    assert (tree / "link.txt").read_text() == "mine"
    assert (tree.parent / "secret" / "key.txt").read_text() == "private"
    trees.put(source, tree, "x/y")
    assert (tree / "x" / "y" / "a" / "one.txt").read_text() == "new"
    with pytest.raises(OSError):
        trees.put(source, tree, "out")


def test_clearing_leaves_the_directory_itself(tree: Path) -> None:
    trees.clear(tree)
    assert list(tree.iterdir()) == []
    assert (tree.parent / "secret" / "key.txt").exists()
    trees.clear(tree, "nowhere")


@pytest.mark.parametrize(("path", "normal"), [("", ""), ("./a//b", "a/b"), ("a/../b", "b"), (".", "")])
def test_normal_paths(path: str, normal: str) -> None:
    assert trees.normal(path) == normal


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc"])
def test_paths_that_lead_out(path: str) -> None:
    with pytest.raises(ValueError, match="workspace"):
        trees.normal(path)


def test_no_pattern_takes_long() -> None:
    many = "/".join(["a" * 200] * 15)
    for pattern in ("*a" * 60 + "b", "**/a*/" * 12 + "b", "**/*a*a*a*b/" * 8 + "**", "**" + "a**" * 60 + "b"):
        assert not trees.matches(many, [pattern])


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Deeper than a path can tell, and than Python calls itself."""
    top = tmp_path / "deep"
    top.mkdir()
    current = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=current)
        inner = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=current))
    os.close(current)
    return top


def test_a_tree_that_is_too_deep(deep: Path) -> None:
    try:
        with pytest.raises(OSError, match="200 directories within each other"):
            trees.files(deep)
        with pytest.raises(OSError, match="200 directories within each other"):
            trees.snapshot(deep, deep.parent / "copy", 1 << 20)
        trees.clear(deep)
        assert list(deep.iterdir()) == []
    finally:
        removal.remove(deep)
    assert not deep.exists()
    removal.remove(deep)


def test_a_file_that_grows_while_it_is_copied(tree: Path) -> None:
    """A file of /proc has no size, and yet more can be read; so it is with one whose writer is quick."""
    found = [trees.File("status", 0)]
    copied = tree.parent / "copy"
    trees.copy(Path(f"/proc/{os.getpid()}"), "", found, copied, 1 << 20)
    assert (copied / "status").read_bytes() == b""

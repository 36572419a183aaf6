from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sampan.cli import kubeconfig
from sampan.cli.context import CommandError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = tuple(tmp_path / name for name in ("ca", "crt", "key"))
    for path in paths:
        path.write_text(path.name)
    return paths  # type: ignore[return-value]


def test_other_entries_stay_and_ours_becomes_current(tmp_path: Path, files: tuple[Path, Path, Path]) -> None:
    path = tmp_path / "new" / "config"
    document = kubeconfig.empty()
    kubeconfig.put(document, "contexts", "work", {"cluster": "work", "user": "me"})
    document["current-context"] = "work"
    kubeconfig.add_cluster(document, "sampan", "https://127.0.0.1:6443", *files)
    kubeconfig.write(path, document, kubeconfig.owner(os.environ))
    read = kubeconfig.read(path)
    assert [c["name"] for c in read["contexts"]] == ["work", "sampan"]
    assert read["current-context"] == "sampan"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kubeconfig.remove_cluster(read, "sampan")
    assert [c["name"] for c in read["contexts"]] == ["work"]
    assert read["clusters"] == [] and read["users"] == [] and read["current-context"] == ""


def test_the_namespace_of_an_old_context_is_kept(files: tuple[Path, Path, Path]) -> None:
    document = kubeconfig.empty()
    kubeconfig.put(document, "contexts", "sampan", {"cluster": "sampan", "user": "sampan", "namespace": "dev"})
    kubeconfig.add_cluster(document, "sampan", "https://127.0.0.1:6443", *files)
    assert (kubeconfig.find(document, "contexts", "sampan") or {})["namespace"] == "dev"


def test_changes_go_to_the_first_existing_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    environ = {"KUBECONFIG": f"{first}{os.pathsep}{second}"}
    assert kubeconfig.default_path(environ) == second
    first.write_text("")
    assert kubeconfig.default_path(environ) == first
    assert kubeconfig.default_path({"HOME": "/home/x"}) == Path("/home/x/.kube/config")


@pytest.mark.parametrize("text", ["a: [", "- 1", "kind: Pod"])
def test_a_broken_file_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CommandError, match=str(path)):
        kubeconfig.read(path)
    assert path.read_text() == text


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "config"
    with pytest.raises(CommandError, match=rf"error loading config file '{path}': Not a directory"):
        kubeconfig.read(path)
    with pytest.raises(CommandError, match=rf"cannot write the kubeconfig {path}: .*; let KUBECONFIG name"):
        kubeconfig.write(path, kubeconfig.empty(), kubeconfig.owner({}))

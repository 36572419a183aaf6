"""Clones for builds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sampan.cli.building import cloned
from sampan.cli.context import CommandError
from sampan.delivery import guess

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> str:
    folder = tmp_path / "web.git"

    def git(*words: str) -> None:
        who = ("-c", "user.name=ann", "-c", "user.email=ann@example.com")
        subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)

    folder.mkdir()
    git("init", "--quiet", "--initial-branch=main")
    for branch, text in (("main", "one"), ("other", "two")):
        if branch != "main":
            git("checkout", "--quiet", "-b", branch)
        (folder / "file").write_text(text)
        git("add", ".")
        git("commit", "--quiet", "-m", text)
    git("checkout", "--quiet", "main")
    return f"file://{folder}"


def test_a_clone_lasts_as_long_as_it_is_used(repository: str) -> None:
    with cloned(repository, "") as folder:
        assert (folder / "file").read_text() == "one"
    assert not folder.exists()
    with cloned(repository, "other") as folder:
        assert (folder / "file").read_text() == "two"


@pytest.mark.parametrize(
    ("url", "ref", "words"),
    [
        ("file:///nowhere/web.git", "", "/nowhere/web.git"),
        ("{there}", "gone", r"\(gone\): couldn't find remote ref gone"),
        ("ext::sh -c touch% /tmp/x", "", "not allowed"),
        ("--upload-pack=touch /tmp/x", "", "error: --upload-pack"),
    ],
)
def test_what_cannot_be_cloned(repository: str, url: str, ref: str, words: str) -> None:
    with pytest.raises(CommandError, match=words), cloned(url.format(there=repository), ref):
        pytest.fail("there is nothing to clone")


@pytest.mark.parametrize("url", ["https://example.com/ann/web.git", "git@example.com:web.git", "/srv/web/", "web"])
def test_names_of_repositories(url: str) -> None:
    assert guess.of_repository(url) == "web"

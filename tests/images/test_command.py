"""`sampan image`: what a person at the terminal sees."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from sampan.cli import main
from sampan.cli.context import CommandError, Context
from tests.images.build import docker_files, image, layer, spread, write

pytestmark = pytest.mark.kernel
MADE = image(layer(("file", b"x" * 1500)), Cmd=["/x"])


class Terminal:
    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        context = Context(io.StringIO(), out, err, os.environ)
        where = ("--name", "t", "--data-root", str(self.root))
        code = main.run(["image", arguments[0], *where, *arguments[1:]], context)
        return code, out.getvalue(), err.getvalue()


@pytest.fixture
def sampan(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_load_list_remove(sampan: Terminal, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", docker_files(MADE, "web:1", "web:2"))
    names = ("docker.io/library/web:1", "docker.io/library/web:2")
    assert sampan("load", str(path)) == (0, f"loaded {', '.join(names)}\n", "")
    code, out, _ = sampan("ls")
    lines = out.splitlines()
    assert code == 0 and lines[0].split() == ["IMAGE", "ID", "SIZE", "USED"] and len(lines) == 3
    assert lines[1].split()[:3] == [names[0], MADE.config[7:19], "1.5kB"]
    assert sampan("rm", "web:1") == (0, f"untagged web:1; the image stays as {names[1]}\n", "")
    code, out, _ = sampan("rm", MADE.config[7:19])
    assert code == 0 and re.fullmatch(rf"removed {MADE.config[7:19]} \(\d.*B freed\)\n", out)
    assert sampan("ls")[1].splitlines() == ["IMAGE   ID   SIZE   USED"]


def test_output_formats(sampan: Terminal, tmp_path: Path) -> None:
    sampan("load", str(spread(tmp_path / "layout", docker_files(MADE, "web:1"))))
    found = json.loads(sampan("ls", "-o", "json")[1])
    assert found == yaml.safe_load(sampan("ls", "-o", "yaml")[1])
    assert found[0]["id"] == MADE.config and found[0]["references"] == ["docker.io/library/web:1"]
    assert found[0]["size"] == 1500 and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[0]["usedAt"])
    assert sampan("ls", "-o", "name")[1] == "docker.io/library/web:1\n"


def test_an_image_without_a_name(sampan: Terminal, tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tar", docker_files(MADE)))
    assert sampan("load", path)[1] == f"loaded {MADE.config}\n"
    assert "<none>" in sampan("ls")[1] and sampan("ls", "-o", "name")[1] == f"{MADE.config}\n"
    assert sampan("load", path, "--tag", "mine:1")[1] == "loaded docker.io/library/mine:1\n"


def test_mistakes_are_explained(sampan: Terminal, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cluster t has no images yet"):
        sampan("ls")
    with pytest.raises(CommandError, match=r"absent.tar: there is no such file"):
        sampan("load", str(tmp_path / "absent.tar"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CommandError, match=r"cannot load .*/text"):
        sampan("load", str(tmp_path / "text"))
    path = str(write(tmp_path / "a.tar", docker_files(MADE)))
    with pytest.raises(CommandError, match='couldn\'t parse image name "No Name"'):
        sampan("load", path, "--tag", "No Name")
    code, out, err = sampan("rm", "nowhere:1", "No Name")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "nowhere:1: there is no such image; `sampan image ls` shows what is there"
    assert err.splitlines()[1].startswith('No Name: couldn\'t parse image name "No Name"')


def test_only_root(sampan: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match=r"not root: .*run it with sudo"):
        sampan("ls")

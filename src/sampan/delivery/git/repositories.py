"""Bare repositories, one an app, and the settings that git runs with.

Nothing that was pushed is ever run here: hooks and configuration are ours, in a directory beside the repositories, and
a repository's own configuration is never written by a push. A repository belongs to the namespace that it was made in:
one of the same name, made later by somebody else, does not find it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from sampan.delivery.git.paths import Place, Wrong

MAIN = "refs/heads/main"
OWNER = "sampan-namespace"
"""The file in a repository that holds the UID of its namespace."""
LARGEST_PUSH = 512 << 20
LARGEST = 4 << 30
"""Bytes of one push, and of a repository that still takes pushes."""
STALE = 3600.0
"""Seconds after which what was received of a push is nobody's any more."""
FREE = 1 << 30
"""Bytes of disk that a push must leave for the node."""
COUNT = 100
"""Repositories of a namespace."""
PATH = "/usr/local/bin:/usr/bin:/bin"
OLDEST = (2, 36)
"""The first git that has GIT_CONFIG_GLOBAL and safe.directory = *."""
HOOKS = ("pre-receive", "post-receive")

_CONFIG = """\
[core]
	hooksPath = {hooks}
	logAllRefUpdates = true
	fsync = committed,reference
	bigFileThreshold = 64m
	packedGitWindowSize = 64m
	packedGitLimit = 1g
[init]
	defaultBranch = main
[safe]
	directory = *
[http]
	getanyfile = false
	receivepack = true
	uploadpack = true
[transfer]
	hideRefs = refs/sampan
[uploadpack]
	allowFilter = true
[receive]
	fsckObjects = true
	maxInputSize = {largest}
	autogc = true
	unpackLimit = 1
	denyDeleteCurrent = ignore
	updateServerInfo = false
[receive "fsck"]
	badTimezone = warn
	missingSpaceBeforeDate = warn
	zeroPaddedFilemode = warn
[gc]
	autoDetach = false
	autoPackLimit = 50
"""
"""The three warnings are in old, well-known repositories and harm nobody."""


class Repositories:
    """`root` holds NAMESPACE/APP.git, `own` what git is given by us: hooks and configuration."""

    def __init__(self, root: Path, own: Path, *, largest_push: int = LARGEST_PUSH, largest: int = LARGEST) -> None:
        self.root = root
        self.own = own
        self._largest_push = largest_push
        self._largest = largest

    def prepare(self) -> None:
        """Write hooks and configuration, as this version wants them."""
        hooks = self.own / "hooks"
        hooks.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        program = Path(__file__).with_name("hook.py")
        for each in hooks.iterdir():
            if each.name not in HOOKS:
                each.unlink()
        for name in HOOKS:
            # Isolated and without site: nothing of the environment decides what is imported.
            text = f"#!/bin/sh\nexec {_quoted(sys.executable)} -I -S {_quoted(str(program))} {name}\n"
            _write(hooks / name, text, 0o755)
        _write(self.own / "gitconfig", _CONFIG.format(hooks=hooks, largest=self._largest_push), 0o644)

    def environ(self) -> dict[str, str]:
        """All of the environment that git gets; nothing of ours is handed down."""
        return {
            "PATH": PATH,
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.own / "gitconfig"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }

    def path(self, place: Place) -> Path:
        return self.root / place.namespace / f"{place.app}.git"

    def find(self, place: Place, uid: str) -> Path | None:
        """The repository, when it belongs to the namespace of this UID."""
        path = self.path(place)
        return path if _owner(path) == uid else None

    def ensure(self, place: Place, uid: str) -> Path:
        """The repository, made when there is none; that of a namespace that is no more is removed."""
        path = self.path(place)
        owner = _owner(path)
        if owner == uid:
            return path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not owner and sum(1 for _ in path.parent.glob("*.git")) >= COUNT:
            raise Wrong(507, f"namespace {place.namespace} has {COUNT} repositories: it takes no more")
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            made = Path(folder) / "new"
            _init(made, uid)
            if path.exists():
                path.rename(Path(folder) / "old")
            made.rename(path)
        return path

    def check_room(self, path: Path) -> None:
        """Raises Wrong when the repository, or the disk, takes no more. What a killed node left is removed."""
        for left in (path / "objects").glob("tmp_objdir-*"):
            if left.stat().st_mtime < time.time() - STALE:
                shutil.rmtree(left)
        with os.scandir(path / "objects" / "pack") as entries:
            size = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        if size > self._largest:
            raise Wrong(
                507, f"the repository has {size >> 20} MiB, more than {self._largest >> 20}: it takes no more pushes"
            )
        if shutil.disk_usage(path).free < FREE:
            raise Wrong(507, f"the cluster's disk has less than {FREE >> 20} MiB left: it takes no more pushes")

    def sweep(self, uids: Mapping[str, str]) -> list[Place]:
        """Remove the repositories of namespaces that are no more; `uids` are those that there are, by name."""
        gone = []
        for path in self.root.glob("*/*.git"):
            if _owner(path) != uids.get(path.parent.name):
                shutil.rmtree(path)
                gone.append(Place(path.parent.name, path.name.removesuffix(".git")))
        return gone


def head(repository: Path) -> str:
    """The ref that HEAD means, whether it exists or not."""
    text = (repository / "HEAD").read_text().strip()
    return text.removeprefix("ref: ") if text.startswith("ref: refs/heads/") else MAIN


def _owner(path: Path) -> str:
    try:
        return (path / OWNER).read_text().strip()
    except FileNotFoundError:
        return ""


def _init(path: Path, uid: str) -> None:
    """What `git init --bare` makes, without templates."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (path / folder).mkdir(parents=True, mode=0o700)
    _write(path / "config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n", 0o600)
    _write(path / OWNER, f"{uid}\n", 0o600)
    _write(path / "HEAD", f"ref: {MAIN}\n", 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def program() -> str:
    """git, when it is there. Raises Wrong with what to do."""
    found = shutil.which("git", path=PATH)
    if found is None:
        raise Wrong(503, "git is not installed on the machine of the cluster; there, as root: apt-get install git")
    return found


def check_version(said: str) -> None:
    """Raises Wrong for a git that would not see our settings, and so would take pushes without our hooks."""
    match = re.match(r"git version (\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise Wrong(503, f"the machine of the cluster has {said.strip()[:60]}; git {wanted} or newer is needed")

"""git, as the runner uses it: only on repositories that nobody else writes configuration or hooks of.

What git is given comes from people: names go behind `--`, commits are checked for their digits, hooks are off, and
ways to other repositories that run commands are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

PROTOCOLS = "https:http:ssh:git:file"
"""Ways to a repository; git knows others that run commands."""
TIME = 300.0
"""Seconds that a command may take."""
LARGEST = 4 << 30
"""Bytes of a file that git writes, and so of what is fetched at once."""
KEPT = "refs/sampan/"
"""Refs that keep what was fetched."""
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_SETTINGS = (
    *("core.hooksPath=/dev/null", "protocol.ext.allow=never", "safe.directory=*", "gc.autoDetach=false"),
    # A pack is there whole or not at all; loose objects of a fetch that was cut short would look like all of it.
    "fetch.unpackLimit=1",
    # A server that sends next to nothing is given up, even when we are no more.
    *("http.lowSpeedLimit=1000", "http.lowSpeedTime=60"),
)
_NOBODY = {"HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null"}
"""git runs as root, but for others: root's keys, passwords and settings are not theirs."""


class GitError(Exception):
    """In git's own words."""


async def git(
    *words: str, directory: Path | None = None, time: float = TIME, environ: Mapping[str, str] | None = None
) -> bytes:
    """What the command writes. Raises GitError; a cancelled command is killed, with those that it has started."""
    program = shutil.which("git")
    if program is None:
        raise GitError("git is missing; as root: apt-get install git")
    where = ("-C", str(directory)) if directory is not None else ()
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "SSH_"))}
    set_ = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS, "GIT_LFS_SKIP_SMUDGE": "1", **_NOBODY}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'ulimit -f {LARGEST // 512}; exec "$@"', "sh"),
        *(program, *(word for setting in _SETTINGS for word in ("-c", setting)), *where, *words),
        env={**plain, **(environ or {}), **set_},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(time):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise GitError(f"git {words[0]} took longer than {time:g} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise GitError(_said(err.decode(errors="replace"), process.returncode))
    return out


def _said(text: str, code: int) -> str:
    lines = text.strip().splitlines()
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or [f"git ended with exit code {code}"])[0]


def _commit(commit: str) -> str:
    if _COMMIT.match(commit) is None:
        raise GitError(f"{commit!r} is no commit")
    return commit


async def has(repository: Path, commit: str, *, environ: Mapping[str, str] | None = None) -> bool:
    try:
        await git("cat-file", "-e", f"{_commit(commit)}^{{commit}}", directory=repository, environ=environ)
    except GitError:
        return False
    return True


async def fetch(repository: Path, url: str, ref: str, commit: str, keys: Mapping[str, str] | None = None) -> None:
    """Bring a commit of another repository here: by its name where its server allows that, else with its branch.

    `keys` is what `keys.environment` gives for a private one.
    """
    if await has(repository, commit):
        return
    kept, words = f"{KEPT}{commit}", ("fetch", "--quiet", "--no-tags", "--", url)
    try:
        await git(*words, f"{_commit(commit)}:{kept}", directory=repository, environ=keys)
    except GitError as first:
        try:
            await git(*words, f"+{ref}:{kept}", directory=repository, environ=keys)
        except GitError as second:
            raise GitError(f"{url}: {second}") from first
    finally:
        # What a killed git has left. A push has a directory of its own until it is taken.
        for path in (repository / "objects" / "pack").glob("tmp_*"):
            path.unlink(missing_ok=True)
    if not await has(repository, commit):
        raise GitError(f"{url}: {ref} has no commit {commit} any more; push it again")


async def give_up(repository: Path, keep: Collection[str]) -> None:
    """Let go of what was fetched for runs, but for these commits; git's own collection removes it in time."""
    listed = await git("for-each-ref", "--format=%(refname)", KEPT, directory=repository)
    for ref in listed.decode().split():
        if ref.removeprefix(KEPT) not in keep:
            await git("update-ref", "-d", ref, directory=repository)


async def resolve(repository: Path, ref: str) -> str:
    """The newest commit of a branch or tag."""
    try:
        found = await git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", directory=repository)
    except GitError as error:
        raise GitError(f"{ref} is not in the repository; push it first") from error
    return found.decode().strip()


async def resolve_there(url: str, ref: str, keys: Mapping[str, str] | None = None) -> str:
    """The newest commit of a branch or tag of a repository elsewhere."""
    try:
        found = (await git("ls-remote", "--", url, f"{ref}^{{}}", ref, environ=keys)).decode().split()
    except GitError as error:
        raise GitError(f"{url}: {error}") from error
    if not found:
        raise GitError(f"{url} has no {ref}")
    return found[0]


async def head(repository: Path) -> str:
    """The ref that HEAD stands for."""
    return (await git("symbolic-ref", "HEAD", directory=repository)).decode().strip()


async def show(
    repository: Path, commit: str, path: str, limit: int, *, environ: Mapping[str, str] | None = None
) -> str | None:
    """The text of a file in a commit, None when there is none. Links are not followed. Raises GitError."""
    listed = await git("ls-tree", "-z", "-l", _commit(commit), "--", path, directory=repository, environ=environ)
    if not listed:
        return None
    mode, _, digest, size, *_ = listed.split()
    if not mode.startswith(b"100"):
        raise GitError(f"{path} is no file")
    if int(size) > limit:
        raise GitError(f"{path} has more than {limit} bytes")
    blob = await git("cat-file", "blob", digest.decode(), directory=repository, environ=environ)
    return blob.decode(errors="replace")


async def about(repository: Path, commit: str) -> tuple[str, str]:
    """Subject and author of a commit."""
    text = await git("show", "--no-patch", "--format=%s%x00%an", _commit(commit), "--", directory=repository)
    subject, _, author = text.decode(errors="replace").rstrip("\n").partition("\0")
    return subject, author


async def message(repository: Path, commit: str) -> str:
    text = await git("show", "--no-patch", "--format=%B", _commit(commit), "--", directory=repository)
    return text.decode(errors="replace").strip()


async def changed(repository: Path, before: str, commit: str) -> list[str]:
    """The paths that differ between two commits; `before` "" or unknown: those that the commit itself touched."""
    words: tuple[str, ...]
    if before and await has(repository, before):
        words = ("diff", "--name-only", "-z", _commit(before), _commit(commit), "--")
    else:
        words = ("diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", _commit(commit), "--")
    listed = await git(*words, directory=repository)
    return [path.decode(errors="replace") for path in listed.split(b"\0") if path]


async def check_out(repository: Path, commit: str, directory: Path, *, history: int = 50) -> None:
    """The commit's files in a new directory, with a .git of its own for those who work there.

    Nobody else may write into it meanwhile: git trusts what lies in a work tree.
    """
    directory.mkdir(parents=True, exist_ok=True)
    await git("init", "--quiet", str(directory))
    ref = f"{KEPT}run-{_commit(commit)}-{secrets.token_hex(4)}"
    # Under a name of its own, so that every git gives it out, whatever the branch is by now.
    await git("update-ref", ref, commit, directory=repository)
    try:
        words = ("fetch", "--quiet", "--no-tags", f"--depth={history}", "--", f"file://{repository}", ref)
        await git(*words, directory=directory)
    finally:
        await git("update-ref", "-d", ref, directory=repository)
    await git("checkout", "--quiet", "--detach", commit, directory=directory)

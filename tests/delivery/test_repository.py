"""git on repositories of people: what is fetched, shown, checked out, refused."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.delivery import checks, repository
from sampan.delivery.places import Places
from sampan.delivery.repository import GitError

Commit = Callable[..., str]


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    made = tmp_path / "origin"
    subprocess.run(["git", "init", "-q", "-b", "main", str(made)], check=True)
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    made = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", str(made)], check=True)
    return made


@pytest.fixture
def commit(origin: Path) -> Commit:
    """Commits files, and returns the commit."""

    def work(message: str = "a change", **files: str) -> str:
        for name, text in files.items():
            (origin / name.replace("__", "/").replace("_", ".")).write_text(text)
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        for words in (("add", "-A"), (*who, "commit", "-q", "--allow-empty", "-m", message)):
            subprocess.run(["git", "-C", str(origin), *words], check=True)
        done = subprocess.run(["git", "-C", str(origin), "rev-parse", "HEAD"], check=True, capture_output=True)
        return done.stdout.decode().strip()

    return work


async def test_a_commit_is_fetched_by_its_name(origin: Path, commit: Commit, bare: Path) -> None:
    old = commit(a_txt="1")
    commit(a_txt="2")
    await repository.fetch(bare, f"file://{origin}", "refs/heads/main", old)
    assert await repository.has(bare, old)
    assert await repository.show(bare, old, "a.txt", 100) == "1"
    await repository.fetch(bare, "file:///gone", "refs/heads/main", old)


async def test_a_commit_that_is_not_there_any_more(origin: Path, commit: Commit, bare: Path) -> None:
    commit()
    with pytest.raises(GitError, match="refs/heads/main has no commit 0{40} any more; push it again"):
        await repository.fetch(bare, f"file://{origin}", "refs/heads/main", "0" * 40)


@pytest.mark.parametrize("url", ["ext::sh -c touch% /tmp/sampan-never", "fd::0", "file:///nowhere"])
async def test_ways_that_lead_nowhere_or_run_commands(url: str, bare: Path) -> None:
    with pytest.raises(GitError):
        await repository.fetch(bare, url, "refs/heads/main", "0" * 40)
    assert not Path("/tmp/sampan-never").exists()


async def test_a_name_that_looks_like_an_option_is_no_commit(origin: Path) -> None:
    with pytest.raises(GitError, match="is no commit"):
        await repository.show(origin, "--output=/tmp/x", "a", 10)


async def test_what_is_known_of_a_commit(origin: Path, commit: Commit) -> None:
    first = commit("the first\n\nat length", a_txt="1", b_txt="1")
    second = commit("the second", b_txt="2", c_txt="")
    assert await repository.about(origin, first) == ("the first", "Ann")
    assert await repository.message(origin, first) == "the first\n\nat length"
    assert await repository.changed(origin, first, second) == ["b.txt", "c.txt"]
    assert await repository.changed(origin, "", first) == ["a.txt", "b.txt"]
    assert await repository.changed(origin, "f" * 40, second) == ["b.txt", "c.txt"]
    assert await repository.resolve(origin, "refs/heads/main") == second
    assert await repository.resolve_there(f"file://{origin}", "refs/heads/main") == second
    assert await repository.head(origin) == "refs/heads/main"
    with pytest.raises(GitError, match="push it first"):
        await repository.resolve(origin, "refs/heads/none")
    with pytest.raises(GitError, match="has no refs/heads/none"):
        await repository.resolve_there(f"file://{origin}", "refs/heads/none")


async def test_checking_out_a_commit_and_its_history(origin: Path, commit: Commit, tmp_path: Path) -> None:
    old = commit("one", a_txt="1")
    commit("two", a_txt="2")
    bare, work = tmp_path / "bare.git", tmp_path / "work"
    subprocess.run(["git", "clone", "-q", "--bare", str(origin), str(bare)], check=True)
    await repository.check_out(bare, old, work)
    assert (work / "a.txt").read_text() == "1"
    log = subprocess.run(["git", "-C", str(work), "log", "--format=%s"], check=True, capture_output=True)
    assert log.stdout == b"one\n"


async def test_hooks_of_a_repository_do_not_run(origin: Path, commit: Commit, tmp_path: Path) -> None:
    made = commit(a_txt="1")
    bare, ran = tmp_path / "bare.git", tmp_path / "ran"
    subprocess.run(["git", "clone", "-q", "--bare", str(origin), str(bare)], check=True)
    hook = bare / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    await repository.check_out(bare, made, tmp_path / "work")
    assert not ran.exists()


async def test_a_commit_is_checked_before_anything_runs(origin: Path, commit: Commit) -> None:
    assert await checks.check(origin, commit(a_txt="")) == []
    assert await checks.check(origin, commit(Jenkinsfile="pipeline { agent any\nstages { } }")) == [
        "Jenkinsfile, line 2: stages has no stage"
    ]
    good = "pipeline { agent any\nstages { stage('A') { steps { sh 'x' } } } }"
    assert await checks.check(origin, commit(Jenkinsfile=good)) == []
    (origin / "Jenkinsfile").unlink()
    (origin / "Jenkinsfile").symlink_to("/etc/passwd")
    assert await checks.check(origin, commit()) == ["Jenkinsfile is no file"]
    with pytest.raises(GitError):
        await checks.check(origin, "0" * 40)


def test_no_name_leads_out_of_its_place(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert places.repository("default", "web") == tmp_path / "delivery/repositories/default/web.git"
    for name in ("..", "a/b", "", "-x", "A", "a..b"):
        with pytest.raises(ValueError, match="no name of an object"):
            places.log("default", name)


def processes(word: str) -> list[str]:
    """Those whose command has the word."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        except OSError:
            continue
        if word.encode() in command:
            found.append(command.decode())
    return found


async def test_a_server_that_never_answers_leaves_no_process(bare: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/silent.git"
        with pytest.raises(GitError, match=r"git ls-remote took longer than 0.5 s"):
            await repository.git("ls-remote", "--", url, time=0.5)
        assert processes(url) == []
        fetching = asyncio.ensure_future(repository.fetch(bare, url, "refs/heads/main", "0" * 40))
        while not any("remote-http" in each for each in processes(url)):
            await asyncio.sleep(0.01)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert processes(url) == []


async def test_a_repository_that_is_too_large_leaves_nothing(
    origin: Path, commit: Commit, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "LARGEST", 1 << 20)
    (origin / "large").write_bytes(os.urandom(3 << 20))
    made = commit()
    with pytest.raises(GitError):
        await repository.fetch(bare, f"file://{origin}", "refs/heads/main", made)
    assert not await repository.has(bare, made)
    assert sum(each.stat().st_size for each in bare.rglob("*") if each.is_file()) < 1 << 20


async def test_a_commit_is_checked_out_several_times_at_once(origin: Path, commit: Commit, tmp_path: Path) -> None:
    made = commit(a_txt="1")
    await asyncio.gather(*(repository.check_out(origin, made, tmp_path / f"work-{at}") for at in range(6)))
    assert all((tmp_path / f"work-{at}" / "a.txt").read_text() == "1" for at in range(6))
    assert await repository.git("for-each-ref", "refs/sampan", directory=origin) == b""


async def test_commits_of_runs_that_are_forgotten_are_given_up(origin: Path, commit: Commit, bare: Path) -> None:
    commits = [commit(a_txt=str(at)) for at in range(3)]
    for each in commits:
        await repository.fetch(bare, f"file://{origin}", "refs/heads/main", each)
    await repository.git("update-ref", f"refs/sampan/run-{commits[0]}", commits[0], directory=bare)
    await repository.git("update-ref", "refs/heads/main", commits[0], directory=bare)
    await repository.give_up(bare, keep={commits[2]})
    left = (await repository.git("for-each-ref", "--format=%(refname)", directory=bare)).decode().split()
    assert left == ["refs/heads/main", f"refs/sampan/{commits[2]}"]
    await repository.give_up(bare, keep={commits[2]})

"""Stock git against the running server: what people do, and what they are told when it does not work."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.delivery_git.conftest import PIPELINE, Forge

BROKEN = PIPELINE.replace("stages {", "stagess {", 1)


async def pushed(
    forge: Forge, folder: Path, token: str, *words: str, path: str = "/default/web.git"
) -> tuple[int, str]:
    forge.runs.may_end.set()
    done = await forge.git(folder, "push", forge.url.replace("//", "//me@") + path, *words, token=token)
    return done.code, done.said


async def test_push_makes_the_repository_and_a_run_and_shows_its_log(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    forge.runs.lines = ["building\x1b[2J", "\x1b[32mdone\x1b[0m"]
    code, said = await pushed(forge, folder, token, "main")
    assert code == 0, said
    (run,) = await forge.made()
    assert f"remote: web: main at {run.spec.source.commit[:8]} runs as {run.metadata.name}" in said
    assert "remote: building" in said
    assert "remote: done" in said
    assert "\x1b[2J" not in said
    assert "[new branch]      main -> main" in said
    assert run.spec.trigger.kind == "push"
    assert run.spec.trigger.by == "system:serviceaccount:default:ann"
    assert run.spec.trigger.message == "change"
    assert run.spec.source.url is None
    assert run.spec.source.ref == "refs/heads/main"
    assert forge.runs.followed == [("default", run.metadata.name)]


async def test_what_was_pushed_is_cloned_and_the_short_path_is_the_namespace_default(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    await pushed(forge, folder, token, "main")
    reader = await forge.token("bob", "view")
    address = forge.url.replace("//", "//me@") + "/web.git"
    done = await forge.git(forge.root, "clone", "-q", address, "copy", token=reader)
    assert done.code == 0, done.said
    assert (forge.root / "copy" / "Jenkinsfile").read_text() == PIPELINE
    done = await forge.git(forge.root, "clone", "-q", "--depth=1", "--filter=blob:none", address, "part", token=reader)
    assert done.code == 0, done.said


async def test_a_broken_jenkinsfile_is_refused_with_its_line(forge: Forge) -> None:
    folder, token = await forge.source(Jenkinsfile=BROKEN), await forge.token("ann", "edit")
    code, said = await pushed(forge, folder, token, "main")
    assert code == 1
    assert "remote: Jenkinsfile, line 3: stagess is no section of pipeline; did you mean stages?" in said
    assert "[remote rejected] main -> main (pre-receive hook declined)" in said
    assert await forge.made() == []
    bare = forge.places.repository("default", "web")
    assert not (bare / "refs/heads/main").exists()
    assert list((bare / "objects").glob("*/*")) == [], "what was refused is thrown away"
    await forge.commit(folder, Jenkinsfile=PIPELINE)
    code, said = await pushed(forge, folder, token, "main")
    assert code == 0, said


async def test_who_may_not_is_told_why(forge: Forge) -> None:
    folder = await forge.source()
    reader = await forge.token("bob", "view")
    code, said = await pushed(forge, folder, reader, "main")
    assert code == 128
    assert "remote: system:serviceaccount:default:bob may not push to default/web" in said
    assert "role edit" in said
    code, said = await pushed(forge, folder, "wrong", "main")
    assert code == 128
    assert "Authentication failed" in said
    done = await forge.git(folder, "push", f"{forge.url}/default/web.git", "main")
    assert done.code == 128
    editor = await forge.token("ann", "edit")
    code, said = await pushed(forge, folder, editor, "main", path="/kube-system/web.git")
    assert "may not push to kube-system/web" in said
    assert not forge.places.repository("default", "web").exists()
    assert not forge.places.repository("kube-system", "web").exists()


async def test_names_that_are_none(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    for path in ("/default/Web.git", "/default/web", "/default/9web.git", "/a/b/c.git"):
        code, said = await pushed(forge, folder, token, "main", path=path)
        assert code == 128, path
        assert "there is no repository at this path" in said or "not found" in said, said
    done = await forge.git(folder, "ls-remote", forge.url.replace("//", "//me@") + "/default/web.git", token=token)
    assert "default/web has no repository yet; the first push makes it" in done.said


async def test_other_branches_are_kept_and_tested_when_they_can_be(forge: Forge) -> None:
    folder, token = await forge.source(readme="no pipeline"), await forge.token("ann", "edit")
    await forge.git(folder, "checkout", "-q", "-b", "feature", check=True)
    code, said = await pushed(forge, folder, token, "feature")
    assert code == 0
    assert "feature is kept; main is the branch that deploys: git push sampan feature:main" in said
    assert await forge.made() == []
    await forge.commit(folder, Jenkinsfile=PIPELINE)
    code, said = await pushed(forge, folder, token, "feature")
    assert code == 0
    assert [run.spec.source.ref for run in await forge.made()] == ["refs/heads/feature"]
    await forge.commit(folder, Jenkinsfile=BROKEN)
    code, said = await pushed(forge, folder, token, "feature")
    assert code == 0, "only the branch that deploys has to be right"
    assert "stagess is no section" in said
    assert "feature is kept and not run" in said
    code, said = await pushed(forge, folder, token, ":feature")
    assert code == 0, said
    assert len(await forge.made()) == 1


async def test_master_deploys_when_it_comes_first(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    await forge.git(folder, "branch", "-m", "master", check=True)
    code, said = await pushed(forge, folder, token, "master")
    assert code == 0, said
    assert (forge.places.repository("default", "web") / "HEAD").read_text() == "ref: refs/heads/master\n"
    code, said = await pushed(forge, folder, token, ":master")
    assert code == 1
    assert "master is the branch that deploys, so it stays" in said


async def test_only_branches_and_tags(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    for ref in ("refs/sampan/x", "refs/notes/x", "refs/heads/../../x"):
        code, said = await pushed(forge, folder, token, f"main:{ref}")
        assert code != 0, said
    await forge.git(folder, "tag", "v1", check=True)
    code, said = await pushed(forge, folder, token, "main", "v1")
    assert code == 0, said
    assert len(await forge.made()) == 1


async def test_history_that_was_rewritten_needs_force(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    await forge.commit(folder, a="1")
    await pushed(forge, folder, token, "main")
    await forge.git(folder, "reset", "-q", "--hard", "HEAD^", check=True)
    await forge.commit(folder, a="2")
    code, said = await pushed(forge, folder, token, "main")
    assert code == 1
    assert "[rejected]" in said
    code, said = await pushed(forge, folder, token, "--force", "main")
    assert code == 0, said
    assert len(await forge.made()) == 2


async def test_a_push_that_is_too_big(forge: Forge) -> None:
    import random

    folder, token = await forge.source(), await forge.token("ann", "edit")
    (folder / "big").write_bytes(random.Random(1).randbytes(4 << 20))
    await forge.commit(folder)
    code, said = await pushed(forge, folder, token, "main")
    assert code != 0
    assert "pack exceeds maximum allowed size" in said
    bare = forge.places.repository("default", "web")
    assert not any(path.is_file() for path in (bare / "objects").rglob("*"))


async def test_objects_that_git_would_trip_over_are_refused(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    blob = (await forge.git(folder, "hash-object", "-w", "Jenkinsfile", check=True)).said.strip()
    (folder / ".tree").write_text(f"100644 blob {blob}\t.git\n")
    process = await asyncio.create_subprocess_shell(
        "git mktree < .tree", cwd=folder, env=forge.environ(), stdout=asyncio.subprocess.PIPE
    )
    tree = (await process.communicate())[0].decode().strip()
    commit = (await forge.git(folder, "commit-tree", "-m", "evil", tree, check=True)).said.strip()
    code, said = await pushed(forge, folder, token, f"{commit}:refs/heads/main")
    assert code == 1
    assert "hasDotgit" in said
    assert await forge.made() == []


async def test_two_pushes_at_once(forge: Forge) -> None:
    token = await forge.token("ann", "edit")
    one = await forge.source("one", Jenkinsfile=PIPELINE, who="one")
    two = await forge.source("two", Jenkinsfile=PIPELINE, who="two")
    ended = await asyncio.gather(pushed(forge, one, token, "main"), pushed(forge, two, token, "main"))
    assert sorted(code for code, _ in ended) == [0, 1], ended
    assert len(await forge.made()) == 1
    done = await forge.git(forge.places.repository("default", "web"), "fsck", "--strict")
    assert done.code == 0, done.said


async def test_a_pusher_who_leaves_does_not_end_the_run(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    process = await asyncio.create_subprocess_exec(
        *("git", "push", forge.url.replace("//", "//me@") + "/default/web.git", "main"),
        cwd=folder,
        env=forge.environ(token),
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    while b"hello from the run" not in await process.stderr.readline():
        pass
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await forge.runs.left.wait()
    assert len(await forge.made()) == 1
    forge.runs.may_end.set()
    await forge.commit(folder, more="1")
    code, said = await pushed(forge, folder, token, "main")
    assert code == 0, said

"""What is not git, or not meant well: odd paths, odd requests, slow and lost peers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import struct
import zlib
from pathlib import Path

import pytest

from sampan.api.types import core_v1
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.delivery import groovy
from sampan.delivery.git import paths, repositories, server
from sampan.delivery.git.access import token_of
from sampan.delivery.git.backend import parse_head
from sampan.delivery.git.paths import Place, Wanted, Wrong
from sampan.http.tls import client_context
from sampan.http.types import Request
from tests.delivery_git.conftest import LARGEST, Forge

UPLOAD, RECEIVE = "?service=git-upload-pack", "?service=git-receive-pack"
PLACE = Place("shop", "web")


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("GET", f"/shop/web.git/info/refs{UPLOAD}", Wanted(PLACE, "upload-pack", True)),
        ("GET", f"/shop/web.git/info/refs{RECEIVE}", Wanted(PLACE, "receive-pack", True)),
        ("POST", "/shop/web.git/git-upload-pack", Wanted(PLACE, "upload-pack", False)),
        ("POST", "/shop/web.git/git-receive-pack", Wanted(PLACE, "receive-pack", False)),
        ("POST", "/web.git/git-receive-pack", Wanted(Place("default", "web"), "receive-pack", False)),
    ],
)
def test_what_git_asks(method: str, target: str, wanted: Wanted) -> None:
    assert paths.read(method, target) == wanted


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", f"/shop/../web.git/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/%2e%2e/web.git/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/web%2f..%2fx.git/info/refs{UPLOAD}", 404),
        ("GET", f"//web.git/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/web.git/../../x/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/-web.git/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/{'a' * 41}.git/info/refs{UPLOAD}", 404),
        ("GET", f"/{'a' * 64}/web.git/info/refs{UPLOAD}", 404),
        ("GET", f"/shop/web.git\n/info/refs{UPLOAD}", 404),
        ("GET", "/shop/web.git/HEAD", 404),
        ("GET", "/shop/web.git/objects/info/alternates", 404),
        ("GET", "/shop/web.git/config", 404),
        ("GET", "/shop/web.git/info/refs", 403),
        ("GET", "/shop/web.git/info/refs?service=git-upload-archive", 403),
        ("GET", f"/shop/web.git/info/refs{UPLOAD}&service=git-receive-pack", 403),
        ("GET", f"/shop/web.git/info/refs{UPLOAD}%00", 403),
        ("POST", f"/shop/web.git/info/refs{UPLOAD}", 405),
        ("GET", "/shop/web.git/git-receive-pack", 405),
        ("POST", "/shop/web.git/git-receive-pack?x", 400),
        ("GET", "/", 404),
    ],
)
def test_what_is_not_served(method: str, target: str, status: int) -> None:
    with pytest.raises(Wrong) as caught:
        paths.read(method, target)
    assert caught.value.status == status


def test_versions_of_the_protocol_are_passed_on_and_nothing_else() -> None:
    assert paths.protocol("version=2") == "version=2"
    assert paths.protocol("version=2:x") == ""
    assert paths.protocol("version=2\nHOME=/") == ""


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("Basic " + base64.b64encode(b"me:abc:d").decode(), "abc:d"),
        ("Basic " + base64.b64encode(b"me").decode(), ""),
        ("Basic ***", ""),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), ""),
        ("Digest abc", ""),
        ("", ""),
    ],
)
def test_tokens(header: str, token: str) -> None:
    assert token_of(header) == token


def test_the_head_of_a_cgi_answer() -> None:
    assert parse_head(["Status: 404 Not Found", "Pragma: no-cache"]) == (404, [("Pragma", "no-cache")])
    with pytest.raises(Wrong):
        parse_head(["nothing"])


# --- against the running server


async def ask(forge: Forge, method: str, target: str, *, identity: str = "", **headers: str) -> tuple[int, str]:
    transport = forge.transport(identity)
    try:
        given = {"host": "git", **{name.replace("_", "-"): value for name, value in headers.items()}}
        response = await transport.send(Request(method, target, given, b"0000" if method == "POST" else b""))
        return response.status, (await response.read()).decode(errors="replace")
    finally:
        await transport.close()


async def test_nobody_learns_anything(forge: Forge) -> None:
    for target in ("/default/web.git", "/nowhere/web.git"):
        status, said = await ask(forge, "GET", target + f"/info/refs{UPLOAD}")
        assert status == 401
        assert "sampan create token" in said
        status, _ = await ask(forge, "GET", target + f"/info/refs{UPLOAD}", authorization="Bearer wrong")
        assert status == 401
        status, _ = await ask(forge, "GET", target + f"/info/refs{UPLOAD}", identity="jane")
        assert status == 403


async def test_a_certificate_of_the_cluster_is_as_good_as_a_token(forge: Forge) -> None:
    status, said = await ask(forge, "GET", f"/default/web.git/info/refs{RECEIVE}", identity="jane")
    assert (status, said.startswith("jane may not push to default/web")) == (403, True)


async def test_requests_that_git_does_not_make(forge: Forge) -> None:
    token = f"Bearer {await forge.token('ann', 'edit')}"
    kind = "application/x-git-receive-pack-request"
    post = "/default/web.git/git-receive-pack"
    assert (await ask(forge, "POST", post, authorization=token, content_type="text/plain"))[0] == 415
    zipped = await ask(forge, "POST", post, authorization=token, content_type=kind, content_encoding="gzip")
    assert zipped[0] == 415
    assert (await ask(forge, "POST", post, authorization=token, content_type=kind))[0] == 200
    assert (await ask(forge, "DELETE", post, authorization=token))[0] == 405


async def test_without_git(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "PATH", "/nonexistent")
    status, said = await ask(forge, "GET", f"/default/web.git/info/refs{UPLOAD}")
    assert status == 503
    assert "apt-get install git" in said


@pytest.mark.parametrize("said", ["git version 2.35.8", "git version 1.99", "busybox", ""])
def test_a_git_that_would_not_see_our_hooks(said: str) -> None:
    with pytest.raises(Wrong, match="or newer is needed"):
        repositories.check_version(said)
    repositories.check_version("git version 2.39.5 (Apple Git-154)")


async def test_a_jenkinsfile_of_the_greatest_length_does_not_stop_the_server(forge: Forge) -> None:
    """While it is read, others are answered; one that is longer is refused by its length."""
    folder = await forge.source(Jenkinsfile='x "' + "a\\n" * (groovy.SIZE // 3 - 10) + '"')
    token = await forge.token("ann", "edit")
    address = forge.url.replace("//", "//me@") + "/web.git"
    pushing = asyncio.ensure_future(forge.git(folder, "push", address, "main", token=token))
    answers = 0
    while not pushing.done():
        assert (await ask(forge, "GET", f"/default/web.git/info/refs{UPLOAD}"))[0] == 401
        answers += 1
    assert "a Jenkinsfile is one block pipeline" in (await pushing).said
    assert forge.counts.pushes_refused == 1
    await forge.commit(folder, Jenkinsfile="//" + "x" * groovy.SIZE)
    done = await forge.git(folder, "push", address, "main", token=token)
    assert f"Jenkinsfile has more than {groovy.SIZE} bytes" in done.said
    assert answers > 1


class Half:
    """A push that has begun and does not go on."""

    def __init__(self, forge: Forge, token: str, namespace: str = "default") -> None:
        self._forge = forge
        self._token = token
        self._namespace = namespace

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = client_context(ca_file=self._forge.ca)
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._forge.config.git_port, ssl=tls)
        self._writer.write(
            b"POST /"
            + self._namespace.encode()
            + b"/web.git/git-receive-pack HTTP/1.1\r\nHost: git\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\nAuthorization: Bearer "
            + self._token.encode()
            + b"\r\n\r\n4\r\n00a0\r\n"
        )
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):  # of a connection that the server has cut
            await self._writer.wait_closed()


def processes(forge: Forge) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            environ = (each / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is not ours
        if str(forge.places.git).encode() in environ:
            found.append((each / "comm").read_text().strip())
    return found


async def test_a_peer_that_is_lost_in_the_middle_leaves_no_process_and_no_ref(forge: Forge) -> None:
    token = await forge.token("ann", "edit")
    for _ in range(server.PROCESSES + 1):
        async with Half(forge, token) as (reader, _):
            assert b"200" in await reader.readline()
            assert processes(forge)
    folder = await forge.source()
    forge.runs.may_end.set()
    done = await forge.git(folder, "push", forge.url.replace("//", "//me@") + "/web.git", "main", token=token)
    assert done.code == 0, done.said
    assert processes(forge) == []


def half_a_pack() -> bytes:
    """A push of one blob of 1 MiB, cut short."""
    command = b"%s %s refs/heads/main\0report-status\n" % (b"0" * 40, b"1" * 40)
    size = 1 << 20
    head, rest = bytes([0x80 | 3 << 4 | size & 15]), size >> 4
    while rest:
        head, rest = head + bytes([rest & 127 | (0x80 if rest > 127 else 0)]), rest >> 7
    blob = zlib.compress(os.urandom(size))
    pack = b"PACK" + struct.pack(">II", 2, 1) + head + blob[: size // 2]
    return b"%04x%s0000%s" % (len(command) + 4, command, pack)


@pytest.mark.parametrize("how", ["the peer is lost", "it takes too long", "it is too large"])
async def test_half_a_pack_does_not_stay_on_the_disk(forge: Forge, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "it takes too long":
        monkeypatch.setattr(server, "TIME", 1.0)
    if how == "it is too large":
        monkeypatch.setattr(server, "SLACK", (400 << 10) - LARGEST)
    token, content = await forge.token("ann", "edit"), half_a_pack()
    tls = client_context(ca_file=forge.ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", forge.config.git_port, ssl=tls)
    writer.write(
        b"POST /default/web.git/git-receive-pack HTTP/1.1\r\nHost: git\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-git-receive-pack-request\r\nAuthorization: Bearer "
        + token.encode()
        + b"\r\n\r\n%x\r\n%s\r\n" % (len(content), content)
    )
    await writer.drain()
    objects = forge.places.repository("default", "web") / "objects"
    if how == "the peer is lost":
        while not list(objects.glob("*/pack/tmp_pack*")):
            await asyncio.sleep(0.01)
    else:
        with contextlib.suppress(OSError):
            await reader.read()
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    while processes(forge):
        await asyncio.sleep(0.01)
    assert [str(each.relative_to(objects)) for each in objects.rglob("*") if each.is_file()] == []


async def test_what_a_killed_node_left_of_pushes_goes_with_the_next_one(forge: Forge) -> None:
    folder, token = await forge.source(), await forge.token("ann", "edit")
    forge.runs.may_end.set()
    address = forge.url.replace("//", "//me@") + "/web.git"
    await forge.git(folder, "push", address, "main", token=token, check=True)
    objects = forge.places.repository("default", "web") / "objects"
    old, new = objects / "tmp_objdir-incoming-old", objects / "tmp_objdir-incoming-new"
    for each in (old, new):
        (each / "pack").mkdir(parents=True)
        (each / "pack" / "tmp_pack_x").write_bytes(b"x")
    os.utime(old, (0, 0))
    await forge.commit(folder, more="more")
    await forge.git(folder, "push", address, "main", token=token, check=True)
    assert (old.exists(), new.exists()) == (False, True), "what may still be under way stays"


async def test_more_at_once_than_there_are_turns(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """One namespace alone does not take all of them."""
    monkeypatch.setattr(server, "PATIENCE", 0.05)
    await forge.cluster.client.create(core_v1.Namespace(metadata=ObjectMeta(name="shop")))
    tokens = {each: await forge.token("ann", "edit", each) for each in ("default", "shop")}

    async def refs(namespace: str) -> tuple[int, str]:
        token = f"Bearer {tokens[namespace]}"
        return await ask(forge, "GET", f"/{namespace}/web.git/info/refs{RECEIVE}", authorization=token)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(server.OF_ONE):
            reader, _ = await stack.enter_async_context(Half(forge, tokens["default"]))
            assert b"200" in await reader.readline()
        status, said = await refs("default")
        assert (status, "try again in a moment" in said) == (503, True)
        assert (await refs("shop"))[0] == 200
        reader, _ = await stack.enter_async_context(Half(forge, tokens["shop"], "shop"))
        assert b"200" in await reader.readline()
        assert (await refs("shop"))[0] == 503
    while processes(forge):
        await asyncio.sleep(0.01)
    assert (await refs("default"))[0] == 200
    counted = {(each.name, *each.labels.values()): each.value for each in forge.counts.samples()}
    assert counted["sampan_git_requests_total", "refs", "busy"] == 2
    assert counted["sampan_git_requests_total", "refs", "done"] == 2
    assert counted["sampan_git_requests_total", "push", "lost"] == server.PROCESSES


async def test_a_peer_that_never_ends(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TIME", 0.2)
    async with Half(forge, await forge.token("ann", "edit")) as (reader, _):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"0\r\n\r\n")
    assert processes(forge) == []


async def test_a_namespace_made_anew_does_not_find_what_was_pushed_before(forge: Forge) -> None:
    client = forge.cluster.client
    await client.create(core_v1.Namespace(metadata=ObjectMeta(name="shop")))
    kept = repositories.Repositories(forge.places.repositories, forge.places.git)
    uid = (await client.get(core_v1.Namespace, "shop")).metadata.uid or ""
    path = kept.ensure(PLACE, uid)
    (path / "refs/heads/main").write_text("a" * 40 + "\n")
    assert kept.find(PLACE, uid) == path
    assert kept.find(PLACE, "another") is None
    assert kept.ensure(PLACE, "another") == path
    assert not (path / "refs/heads/main").exists()
    assert [each.name for each in path.parent.iterdir()] == ["web.git"], "nothing is left aside"
    assert kept.sweep({"shop": uid}) == [PLACE]
    assert not path.exists()


async def test_content_that_looks_like_configuration_is_content(forge: Forge) -> None:
    """A bare repository in a tree, hooks, attributes, and names that read like flags."""
    mark = forge.root / "mark"
    evil = f"#!/bin/sh\ntouch {mark}\n"
    folder = await forge.source(HEAD="ref: refs/heads/main\n", config=f"[core]\n\tfsmonitor = touch {mark}\n")
    for name in ("hooks", "objects", "refs"):
        (folder / name).mkdir()
        (folder / name / "pre-receive").write_text(evil)
        (folder / name / "pre-receive").chmod(0o755)
    await forge.commit(folder, **{".gitattributes": "* filter=x diff=x\n", "--upload-pack=x": evil})
    token = await forge.token("ann", "edit")
    forge.runs.may_end.set()
    address = forge.url.replace("//", "//me@") + "/web.git"
    for ref in ("refs/heads/main", f"refs/heads/--upload-pack=touch{mark}", "refs/heads/$(touch)", "refs/heads/;x"):
        done = await forge.git(folder, "push", address, f"main:{ref}", token=token)
        assert done.code == 0, done.said
    assert not mark.exists()
    assert [run.spec.source.ref for run in await forge.made()] == ["refs/heads/main"]
    assert sorted(each.name for each in forge.places.git.joinpath("hooks").iterdir()) == ["post-receive", "pre-receive"]


async def test_a_jenkinsfile_that_is_a_link_is_none(forge: Forge) -> None:
    folder = await forge.source(readme="x")
    (folder / "Jenkinsfile").symlink_to("/etc/shadow")
    await forge.commit(folder)
    token = await forge.token("ann", "edit")
    done = await forge.git(folder, "push", forge.url.replace("//", "//me@") + "/web.git", "main", token=token)
    assert done.code == 1
    assert "Jenkinsfile is no file" in done.said

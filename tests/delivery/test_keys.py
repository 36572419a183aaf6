"""Keys of private repositories: what git is given, and what it is not."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sampan.api.types import core_v1, meta_v1
from sampan.delivery import keys, repository
from sampan.delivery.keys import KeysError
from sampan.delivery.repository import GitError
from sampan.testing.cluster import Cluster

SSH = {"ssh-privatekey": "a key", "known_hosts": "host ssh-ed25519 AAAA"}


def test_a_token_goes_to_its_server_alone(tmp_path: Path) -> None:
    made = keys.environment("https://ann@forge.example:8443/a/b.git", "web-git", {"password": "t0ken"}, tmp_path)
    assert made["GIT_CONFIG_KEY_0"] == "http.https://forge.example:8443/.extraHeader"
    assert base64.b64decode(made["GIT_CONFIG_VALUE_0"].rpartition(" ")[2]) == b"git:t0ken"
    named = keys.environment("https://forge.example/b.git", "web-git", {"username": "ann", "password": "p"}, tmp_path)
    assert base64.b64decode(named["GIT_CONFIG_VALUE_0"].rpartition(" ")[2]) == b"ann:p"


def test_a_public_repository_needs_none(tmp_path: Path) -> None:
    assert keys.environment("https://forge.example/b.git", "web-git", {}, tmp_path) == {}


@pytest.mark.parametrize(
    ("url", "fields", "words"),
    [
        ("https://forge.example/b.git", {"token": "x"}, "Secret web-git has no password.*it has token"),
        ("http://forge.example/b.git", {"password": "x"}, "not sent to http://forge.example.*use https://"),
        ("ssh://git@forge.example/b.git", {}, r"needs Secret web-git with ssh-privatekey .* and known_hosts"),
        ("ssh://git@forge.example/b.git", {"ssh-privatekey": "x"}, r"with known_hosts \(the server's lines"),
    ],
)
def test_a_secret_that_does_not_do(url: str, fields: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=words):
        keys.environment(url, "web-git", fields, tmp_path)


def test_ssh_gets_one_key_and_knows_one_server(tmp_path: Path) -> None:
    made = keys.environment("ssh://git@forge.example/b.git", "web-git", SSH, tmp_path)
    command = made["GIT_SSH_COMMAND"]
    for wanted in (f"IdentityFile={tmp_path}/ssh-privatekey", "StrictHostKeyChecking=yes", "IdentityAgent=none"):
        assert wanted in command
    assert command.startswith("ssh -F /dev/null ")
    assert os.stat(tmp_path / "ssh-privatekey").st_mode & 0o777 == 0o600
    assert (tmp_path / "ssh-privatekey").read_text() == "a key\n"


async def test_git_knows_nothing_that_root_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Root\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i /root/key")
    assert subprocess.run(["git", "config", "user.name"], check=True, capture_output=True).stdout == b"Root\n"
    with pytest.raises(GitError):
        await repository.git("config", "user.name")
    seen = await repository.git("-c", "alias.seen=!env", "seen")
    assert b"SSH_AUTH_SOCK" not in seen and b"/root/key" not in seen


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str | None]]]:
    """A server that wants a password, and the Authorization headers that came."""
    headers: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", headers
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_server_that_wants_a_password_is_told_nothing_and_asks_nobody(
    asked: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    url, headers = asked
    with pytest.raises(GitError):
        await repository.resolve_there(f"{url}/b.git", "refs/heads/main")
    assert set(headers) == {None}


async def test_the_header_reaches_git(asked: tuple[str, list[str | None]]) -> None:
    """Over plain HTTP here, which `environment` refuses: what git makes of the setting is the same."""
    url, headers = asked
    setting = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"http.{url}/.extraHeader"}
    with pytest.raises(GitError):
        await repository.resolve_there(
            f"{url}/b.git", "refs/heads/main", {**setting, "GIT_CONFIG_VALUE_0": "Authorization: Basic eDp5"}
        )
    assert "Basic eDp5" in headers


async def test_a_token_does_not_follow_a_redirect(tmp_path: Path) -> None:
    """Git would send it to the other server with all but the first request."""
    seen: list[tuple[str, str | None]] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(("GET", self.headers.get("Authorization")))
            said = (b"version 2\n", b"ls-refs=unborn\n", b"fetch=shallow\n", b"object-format=sha1\n")
            lines = b"".join(b"%04x%s" % (len(line) + 4, line) for line in said)
            body = b"001e# service=git-upload-pack\n0000" + lines + b"0000"
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            seen.append(("POST", self.headers.get("Authorization")))
            self.send_error(403)

        def log_message(self, *words: object) -> None:
            return

    class Redirecting(Elsewhere):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{other.server_port}{self.path}")
            self.end_headers()

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other,
        ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as first,
    ):
        threads = [threading.Thread(target=each.serve_forever) for each in (other, first)]
        for thread in threads:
            thread.start()
        try:
            # Over plain HTTP, for which `environment` gives nothing: its settings for https, rewritten.
            url = f"https://127.0.0.1:{first.server_port}/b.git"
            made = keys.environment(url, "web-git", {"password": "t0ken"}, tmp_path)
            plain = {name: value.replace("https://", "http://") for name, value in made.items()}
            with pytest.raises(GitError):
                await repository.resolve_there(url.replace("https://", "http://"), "refs/heads/main", plain)
        finally:
            for each in (other, first):
                each.shutdown()
            for thread in threads:
                thread.join()
    assert [each for each in seen if each[1]] == []


@pytest.mark.cluster(nodes=0, controllers=())
async def test_fields_of_a_secret(cluster: Cluster) -> None:
    assert await keys.read(cluster.client, "default", "web-git") is None
    data = {"password": base64.b64encode(b"t").decode()}
    secret = core_v1.Secret(metadata=meta_v1.ObjectMeta(name="web-git", namespace="default"), data=data)
    await cluster.client.create(secret)
    assert await keys.read(cluster.client, "default", "web-git") == {"password": "t"}
    odd = core_v1.Secret(metadata=meta_v1.ObjectMeta(name="odd", namespace="default"), data={"k": "/w=="})
    await cluster.client.create(odd)
    with pytest.raises(KeysError, match="odd holds something else than text"):
        await keys.read(cluster.client, "default", "odd")

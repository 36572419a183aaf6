"""`sampan remote`, `git-credential` and `webhook`: what they write, and that stock git and forges can use it."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sampan.api.extra.sampan_v1 import App, AppGit, AppSource, AppSpec
from sampan.api.types import core_v1, discovery_v1, networking_v1
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.cli import main
from sampan.cli.context import CommandError, Context
from sampan.config import ClusterConfig
from sampan.testing.thread import ServedCluster
from tests.delivery.conftest import Said

Run = Callable[..., Said]
URL = "https://127.0.0.1:8999/default/web.git"


@pytest.fixture
def place(tmp_path: Path, served_cluster: ServedCluster) -> Path:
    """A cluster of this machine as `sampan up` leaves it, of which the kubeconfig tells."""
    config = yaml.safe_load(served_cluster.kubeconfig.read_text())
    config["current-context"] = config["contexts"][0]["name"] = "lab"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "data" / "lab").mkdir(parents=True)
    (tmp_path / "data" / "lab" / "cluster.json").write_text(json.dumps({"git_port": 8999}))
    (tmp_path / "web").mkdir()
    return tmp_path


@pytest.fixture
def sampan(place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(place / "web")
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)

    def run(*words: str, given: str = "", **environ: str) -> Said:
        known = {"KUBECONFIG": str(place / "kubeconfig"), "HOME": str(place), **environ}
        out, err = io.StringIO(), io.StringIO()
        context = Context(io.StringIO(given), out, err, known)
        more = () if words[0] == "git-credential" else ("--data-root", str(place / "data"))
        try:
            code = main.run([*words, *more], context)
        except CommandError as error:
            context.err(str(error))
            code = error.code
        return Said(code, out.getvalue(), err.getvalue())

    return run


def git(*words: str, given: str = "", check: bool = True) -> str:
    done = subprocess.run(["git", *words], input=given, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def with_token(place: Path) -> None:
    config = yaml.safe_load((place / "kubeconfig").read_text())
    config["users"][0]["user"] = {"token": "t0p"}
    (place / "kubeconfig").write_text(yaml.safe_dump(config))


def test_a_certificate_is_kept_where_only_its_owner_reads(sampan: Run) -> None:
    git("init", "-q", "-b", "main")
    said = sampan("remote")
    assert said.code == 0, said.all
    assert said.err == f"remote sampan is {URL}\ndeploy with: git push sampan main\n"
    assert git("remote", "get-url", "sampan") == URL
    for setting, begin in (
        ("sslCert", "-----BEGIN CERTIFICATE"),
        ("sslKey", "-----BEGIN"),
        ("sslCAInfo", "-----BEGIN"),
    ):
        path = Path(git("config", "--get-urlmatch", f"http.{setting}", f"{URL}/info/refs"))
        assert path.read_text().startswith(begin)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert git("config", "--get-urlmatch", "http.sslKey", "https://127.0.0.1:8999/default/other.git", check=False) == ""


def test_again_and_for_another_app(sampan: Run) -> None:
    git("init", "-q", "-b", "trunk")
    sampan("remote")
    said = sampan("remote", "shop", "-n", "prod")
    assert "git push sampan HEAD:main" in said.err
    assert git("remote", "get-url", "sampan") == "https://127.0.0.1:8999/prod/shop.git"
    assert "default/web" not in Path(".git/config").read_text()
    said = sampan("remote", "--remove")
    assert said.code == 0
    assert "8999" not in Path(".git/config").read_text()
    assert not Path(".git/sampan/sampan").exists()
    assert "has no remote sampan" in sampan("remote", "--remove").err


def test_a_remote_of_somebody_else_stays(sampan: Run) -> None:
    git("init", "-q")
    git("remote", "add", "sampan", "https://example.com/x.git")
    assert "choose another name with --remote" in sampan("remote").err
    assert "choose another name" in sampan("remote", "--remove").err
    assert sampan("remote", "--remote", "cluster").code == 0
    assert git("remote").split() == ["cluster", "sampan"]


def test_a_token_is_asked_for_when_git_needs_it(sampan: Run, place: Path) -> None:
    git("init", "-q")
    with_token(place)
    assert sampan("remote").code == 0
    assert "t0p" not in Path(".git/config").read_text()
    # git calls us in the work tree, whose files may be anybody's.
    Path("sampan").mkdir()
    for name in ("json.py", "sampan/__init__.py"):
        Path(name).write_text("open('taken', 'w').close()\n")
    answer = git("credential", "fill", given=f"url={URL}\n\n")
    assert "username=sampan\npassword=t0p" in answer
    assert not Path("taken").exists()
    said = sampan("git-credential", "get", given="protocol=http\nhost=127.0.0.1:8999\n\n")
    assert (said.code, said.out) == (1, "")
    assert sampan("git-credential", "store", given="protocol=https\n\n").all == ""


def test_settings_that_would_win_are_named(sampan: Run) -> None:
    git("init", "-q")
    assert "env -u GIT_SSL_CAINFO git push" in sampan("remote", GIT_SSL_CAINFO="/etc/ssl/ca.crt").err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("remote",), "new repository: git init"),
        (("remote", "a", "b"), "name one app"),
        (("webhook",), "name one app"),
        (("webhook", "nothing"), "nothing"),
    ],
)
def test_what_is_missing_is_told(sampan: Run, words: tuple[str, ...], why: str) -> None:
    said = sampan(*words)
    assert said.code == 1
    assert why in said.err


def test_a_cluster_elsewhere_and_one_without_git(sampan: Run, place: Path) -> None:
    git("init", "-q")
    kept = place / "data" / "lab" / "cluster.json"
    kept.write_text(json.dumps({"git_port": 0}))
    assert "serves no git: sampan up --git-port" in sampan("remote").err
    kept.unlink()
    assert re.search(r"and context \S+ is another one; run this there", sampan("remote").err)


def test_a_webhooks_secret_is_made_once(sampan: Run, served_cluster: ServedCluster) -> None:
    made(served_cluster)
    said = sampan("webhook", "web")
    assert said.code == 0, said.all
    lines = dict(line.split("  ", 1) for line in said.out.splitlines())
    assert lines["payload URL"].strip() == "https://127.0.0.1:8999/hooks/default/web"
    secret = lines["secret"].strip()
    assert len(secret) == 40
    assert sampan("webhook", "web").out == said.out
    assert secret not in sampan("webhook", "web", "--renew").out
    client = served_cluster.cluster.client
    kept = served_cluster.run(client.get(core_v1.Secret, "web-webhook", "default"))
    assert [owner.name for owner in kept.metadata.ownerReferences] == ["web"]
    assert sampan("webhook", "web", "--remove").err.endswith("is removed\n")
    assert sampan("webhook", "web", "--remove").err.endswith("is not there\n")


def test_only_the_hook_is_published(sampan: Run, served_cluster: ServedCluster) -> None:
    made(served_cluster)
    said = sampan("webhook", "web", "--host", "hooks.example.com")
    assert "https://hooks.example.com/hooks/default/web" in said.out
    client = served_cluster.cluster.client
    ingress = served_cluster.run(client.get(networking_v1.Ingress, "web-webhook", "default"))
    (rule,) = ingress.spec.rules
    assert rule.http is not None
    assert [(path.path, path.pathType) for path in rule.http.paths] == [("/hooks/default/web", "Exact")]
    slice = served_cluster.run(client.get(discovery_v1.EndpointSlice, "web-webhook", "default"))
    assert [each.addresses for each in slice.endpoints] == [(ClusterConfig().advertise_ip,)]
    assert [port.port for port in slice.ports] == [8999]


def made(served_cluster: ServedCluster) -> None:
    source = AppSource(git=AppGit(url="https://example.com/web.git"), image="web:1")
    app = App(metadata=ObjectMeta(name="web", namespace="default"), spec=AppSpec(source=source))
    served_cluster.run(served_cluster.cluster.client.create(app))


def test_nothing_is_left_to_root_in_somebodys_repository(sampan: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    git("init", "-q")
    for path in (Path(".git"), *Path(".git").rglob("*")):
        os.chown(path, 12345, 12345)
    monkeypatch.setenv("SUDO_UID", "12345")
    assert sampan("remote").code == 0
    assert {path.stat().st_uid for path in (Path(".git/config"), *Path(".git/sampan").rglob("*"))} == {12345}

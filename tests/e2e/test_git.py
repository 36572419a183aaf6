"""Push to deploy and webhooks, with stock git, on a real cluster."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import SAMPAN, Machine, call, eventually

pytestmark = [pytest.mark.e2e]

BROKEN = "pipeline {\n  agent any\n  stagess {\n  }\n}\n"
DOCKERFILE = (
    "FROM scratch\nSTOPSIGNAL SIGKILL\nCOPY bin /bin\nCOPY index.html /www/\nEXPOSE 8000\n"
    'CMD ["/bin/busybox", "httpd", "-f", "-p", "8000", "-h", "/www"]\n'
)


class Source:
    """A repository with an application of one page."""

    def __init__(self, machine: Machine, namespace: str, folder: Path) -> None:
        self.machine, self.namespace, self.folder = machine, namespace, folder
        who = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environ = {key: value for key, value in machine.environ.items() if not key.startswith("GIT_")} | who
        busybox = shutil.which("busybox")
        assert busybox
        (folder / "bin").mkdir(parents=True)
        shutil.copy(busybox, folder / "bin" / "busybox")
        self.git("init", "-q", "-b", "main")
        self.commit(**{"Dockerfile": DOCKERFILE, "index.html": "one\n"})

    def git(self, *words: str, code: int = 0) -> str:
        done = call(["git", "-C", str(self.folder), *words], self.environ, check=False, timeout=180)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD").strip()

    def sampan(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [*words, "-n", self.namespace, "--data-root", str(self.machine.root)]
        done = subprocess.run(
            [*SAMPAN, *command], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def answer(self, app: str) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/services/{app}:8000/proxy/"
        return self.machine.kubectl("get", "--raw", path).stdout

    def runs(self) -> list[tuple[str, str]]:
        """Name and phase of each run, the oldest first."""
        items = self.machine.get("pipelineruns", "-n", self.namespace)["items"]
        found = sorted(items, key=lambda each: (each["status"].get("number", 0), each["metadata"]["name"]))
        return [(each["metadata"]["name"], each["status"]["phase"]) for each in found]


@pytest.fixture
def source(machine: Machine, namespace: str, tmp_path: Path) -> Source:
    return Source(machine, namespace, tmp_path / "page")


def test_push_to_deploy(source: Source) -> None:
    said = source.sampan("remote").stderr
    assert f"remote sampan is https://127.0.0.1:{source.machine.git_port}/{source.namespace}/page.git" in said
    said = source.git("push", "sampan", "main")
    assert "remote: page is deployed" in said
    assert " succeeded: http://page.localhost" in said
    assert source.answer("page") == "one\n"

    source.commit(**{"index.html": "two\n"})
    source.git("push", "sampan", "main")
    assert source.answer("page") == "two\n"

    source.commit(Jenkinsfile=BROKEN)
    said = source.git("push", "sampan", "main", code=1)
    assert "remote: Jenkinsfile, line 3: stagess is no section of pipeline; did you mean stages?" in said
    assert "[remote rejected] main -> main" in said
    assert source.answer("page") == "two\n"
    assert len(source.runs()) == 2

    (source.folder / "Jenkinsfile").unlink()
    source.commit(Dockerfile=DOCKERFILE.replace("COPY index.html", "COPY nothing.html"))
    said = source.git("push", "sampan", "main")
    name, phase = source.runs()[-1]
    assert phase == "Failed"
    assert f"remote: {name} failed" in said
    assert "nothing.html" in said
    assert source.answer("page") == "two\n", "what was pushed is in, what serves is the version before"

    source.git("clone", "-q", *settings(source), source.git("remote", "get-url", "sampan").strip(), "../copy")
    assert (source.folder.parent / "copy" / "index.html").read_text() == "two\n"


def settings(source: Source) -> list[str]:
    """A clone elsewhere proves itself as the repository of `sampan remote` does."""
    place = source.folder / ".git" / "sampan" / "sampan"
    pairs = (("sslCAInfo", "ca.crt"), ("sslCert", "client.crt"), ("sslKey", "client.key"))
    return [word for name, file in pairs for word in ("-c", f"http.{name}={place / file}")]


def test_an_account_without_rights_and_one_with(source: Source) -> None:
    kubectl, namespace = source.machine.kubectl, source.namespace
    for name, role in (("reader", "view"), ("writer", "edit")):
        kubectl("create", "serviceaccount", name, "-n", namespace)
        kubectl(
            *("create", "rolebinding", name, f"--clusterrole={role}", "-n", namespace),
            f"--serviceaccount={namespace}:{name}",
        )
    reader, writer = (kubectl("create", "token", name, "-n", namespace).stdout.strip() for name in ("reader", "writer"))
    authority = source.machine.data_dir / "pki" / "ca.crt"

    def push(token: str, place: str, code: int) -> str:
        address = f"https://me:{token}@127.0.0.1:{source.machine.git_port}/{place}/page.git"
        return source.git("-c", f"http.sslCAInfo={authority}", "push", address, "main:feature", code=code)

    assert "may not push to" in push(reader, namespace, 128)
    assert "may not push to default/page" in push(writer, "default", 128)
    assert "Authentication failed" in push("wrong", namespace, 128)
    assert "feature is kept; main is the branch that deploys" in push(writer, namespace, 0)
    assert source.runs() == []


@contextlib.contextmanager
def upstream(source: Source) -> Iterator[str]:
    """A forge's repository, served by git itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = source.folder.parent / "forge"
    source.git("clone", "-q", "--bare", str(source.folder), str(base / "page.git"))
    words = ("daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all", f"--base-path={base}")
    program = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
    server = subprocess.Popen([program / "git-daemon", *words[1:]], env=source.environ)
    try:
        url = f"git://127.0.0.1:{port}/page.git"
        eventually(
            lambda: subprocess.run(["git", "ls-remote", url], capture_output=True, check=False).returncode == 0,
            "git's own server",
        )
        source.git("remote", "add", "forge", str(base / "page.git"))
        yield url
    finally:
        server.terminate()
        server.wait()


def test_webhooks_forged_and_real(source: Source) -> None:
    with upstream(source) as url:
        said = source.sampan("deploy", "--git", url, "--name", "page").stderr
        assert "every push deploys after: sampan webhook page" in said
        printed = dict(line.split("  ", 1) for line in source.sampan("webhook", "page").stdout.splitlines())
        secret = printed["secret"].strip()
        assert source.answer("page") == "one\n"

        commit = source.commit(**{"index.html": "two\n"})
        source.git("push", "-q", "forge", "main")
        event = {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit,
            "repository": {"full_name": "ann/page", "clone_url": url, "default_branch": "main"},
            "head_commit": {"message": "two", "author": {"name": "Ann"}},
        }
        assert deliver(source, event, "guessed") == (403, "no hook of this address has that secret\n")
        assert deliver(source, event, secret, "elsewhere") == (403, "no hook of this address has that secret\n")
        assert source.runs() == []
        assert source.answer("page") == "one\n"

        status, text = deliver(source, event, secret)
        assert status == 202, text
        name = json.loads(text)["run"]
        eventually(lambda: source.runs() == [(name, "Succeeded")], "the run of the webhook")
        assert source.answer("page") == "two\n"
        assert json.loads(deliver(source, event, secret)[1])["run"] == name
        assert "does not deploy" in deliver(source, {**event, "ref": "refs/heads/other"}, secret)[1]
        assert source.runs() == [(name, "Succeeded")]
        events = source.machine.get("events", "-n", source.namespace)["items"]
        assert {"WebhookRefused", "PushReceived"} <= {each["reason"] for each in events}


def deliver(source: Source, event: object, secret: str, app: str = "page") -> tuple[int, str]:
    body = json.dumps(event).encode()
    mark = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    tls = ssl.create_default_context(cafile=str(source.machine.data_dir / "pki" / "ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", source.machine.git_port, context=tls, timeout=30)
    headers = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "1",
        "X-Hub-Signature-256": f"sha256={mark}",
        "Content-Type": "application/json",
    }
    try:
        connection.request("POST", f"/hooks/{source.namespace}/{app}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()

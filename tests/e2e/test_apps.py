"""Apps with real containers: built, deployed, broken, explained, brought back."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.e2e.machine import Machine, eventually

pytestmark = [pytest.mark.e2e]

HELLO = "sampan.dev/hello"
GOOD = ("--health", "/cgi-bin/healthz", "--env", "TOKEN=x", "--env", "GREETING=hi")


class Typed:
    """Commands about apps in one namespace."""

    def __init__(self, machine: Machine, namespace: str) -> None:
        self.machine, self.namespace = machine, namespace

    def __call__(self, command: str, *words: str, code: int = 0) -> str:
        where = ("--data-root", str(self.machine.root)) if command == "deploy" else ()
        done = self.machine.sampan(command, "-n", self.namespace, *words, *where, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def answer(self, path: str = "/cgi-bin/hello", port: int = 8080, app: str = "hello") -> str:
        """What the app's service says to a request through the API server."""
        proxied = f"/api/v1/namespaces/{self.namespace}/services/{app}:{port}/proxy{path}"
        return self.machine.kubectl("get", "--raw", proxied).stdout


@pytest.fixture
def typed(machine: Machine, namespace: str) -> Typed:
    return Typed(machine, namespace)


def test_a_release_that_does_not_answer_leaves_the_old_one_serving(typed: Typed) -> None:
    said = typed("deploy", "--image", f"{HELLO}:v1", "--replicas", "2", *GOOD)
    assert "guessed: port 8080, because its image exposes it" in said
    assert re.search(r"^2 pods     ok .* 2 pods ready$", said, re.MULTILINE)
    assert "hi, version v1" in typed.answer()
    typed("deploy", "--image", f"{HELLO}:v2", "--env", "TOKEN-", "--no-wait")

    def told() -> bool:
        said = typed("why", "hello", code=1)
        return "statuscode: 500" in said and "listening on 8080, version v2" in said

    eventually(told, "the probe's answer and the log")
    said = typed("why", "hello", code=1)
    assert "The version before still serves: 2 pods are ready." in said
    assert "sampan rollback hello" in said
    assert "hi, version v1" in typed.answer()
    path = "jsonpath={.status.conditions[?(@.type=='PodsReady')].message}"

    def condition() -> bool:
        message = typed("get", "app", "hello", "-o", path)
        return "HTTP probe failed with statuscode: 500" in message and "still serves with 2 pods" in message

    eventually(condition, "the probe's answer in the condition")
    said = typed("rollback", "hello")
    assert "hello goes back to release 1" in said
    assert "hi, version v1" in typed.answer()
    assert [line.split()[2] for line in typed("releases", "hello").splitlines()[1:]] == ["worked", "never", "live"]


def test_a_release_that_crashes_tells_its_last_words(typed: Typed) -> None:
    typed("deploy", "--image", f"{HELLO}:v1", *GOOD)
    said = typed("deploy", "--image", f"{HELLO}:v2", "--command", "sh -c 'echo no database; exit 3'", code=1)
    assert re.search(r"^2 pods     failed .* exit code 3, 3 times so far; it last wrote: no database", said, re.M)
    assert "hi, version v1" in typed.answer()
    assert "no database" in typed("logs", "hello")


def test_an_image_that_is_nowhere(typed: Typed) -> None:
    said = typed("deploy", "--image", "nowhere.invalid/web:1", "--port", "80", code=1)
    assert "nowhere.invalid/web:1 cannot be had" in said
    assert "sampan image ls" in typed("why", "web", code=1)


def test_a_stateful_app_keeps_its_data_and_comes_back_from_a_broken_release(typed: Typed) -> None:
    base = ("--name", "store", "--type", "stateful", "--volume", "/data:10Mi", *GOOD)
    write = "sh -c 'echo run >> /data/runs; exec /start'"
    typed("deploy", "--image", f"{HELLO}:v1", "--command", write, *base)
    typed("deploy", "--image", f"{HELLO}:v2", "--name", "store", "--command", "sh -c 'exit 127'", code=1)
    assert "could not find its command" in typed("why", "store", code=1)
    typed("rollback", "store")
    runs = typed.machine.kubectl("-n", typed.namespace, "exec", "store-0", "--", "cat", "/data/runs").stdout
    assert runs == "run\nrun\n"


def test_a_batch_app_is_followed_to_its_end(typed: Typed) -> None:
    said = typed("deploy", "--image", f"{HELLO}:v1", "--name", "work", "--type", "batch", "--command", "echo done")
    assert re.search(r"^2 pods     ok .* ended well", said, re.MULTILINE)
    assert typed("logs", "work").endswith("  done\n")


def test_from_a_folder(typed: Typed, tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    assert busybox
    folder = tmp_path / "Site"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(busybox, folder / "bin" / "busybox")
    (folder / "index.html").write_text("one\n")
    (folder / "Dockerfile").write_text(
        "FROM scratch\nSTOPSIGNAL SIGKILL\nCOPY bin /bin\nCOPY index.html /www/\nEXPOSE 8000\n"
        'CMD ["/bin/busybox", "httpd", "-f", "-p", "8000", "-h", "/www"]\n'
    )
    said = typed("deploy", str(folder))
    assert "app site made" in said
    assert typed.answer("/", 8000, "site") == "one\n"
    (folder / "index.html").write_text("two\n")
    typed("deploy", str(folder))
    assert typed.answer("/", 8000, "site") == "two\n"
    typed("deploy", str(folder))
    assert len(typed("releases", "site").splitlines()) == 3, "the same content is no new release"
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    said = typed("deploy", str(folder), code=1)
    assert "Dockerfile:2: nothing is not in the build context; / has Dockerfile, bin, index.html" in said
    assert typed.answer("/", 8000, "site") == "two\n"
    (folder / "Dockerfile").write_text("FROM scratch\nCOPPY bin /bin\n")
    assert "Dockerfile:2: unknown instruction COPPY; did you mean COPY?" in typed("deploy", str(folder), code=1)
    assert typed.answer("/", 8000, "site") == "two\n"

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from sampan.cli import main
from sampan.cli.context import CommandError, Context
from sampan.testing.thread import ServedCluster

KUBECTL = shutil.which("kubectl")


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def place() -> Iterator[ServedCluster]:
    """One cluster for the tests of verbs, without containers; each test has a namespace of its own."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    with ServedCluster(nodes=2) as cluster:
        yield cluster
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def sampan(place: ServedCluster) -> Run:
    """Runs a command in this process, against the cluster."""
    environ = {"KUBECONFIG": str(place.kubeconfig), "HOME": "/nonexistent", "EDITOR": "true"}

    def run(*words: str, given: str = "", **more: str) -> Said:
        return call(words, given, {**environ, **more})

    return run


def call(words: tuple[str, ...], given: str, environ: dict[str, str]) -> Said:
    context = Context(io.StringIO(given), io.StringIO(), io.StringIO(), environ)
    try:
        code = main.run(list(words), context)
    except CommandError as error:
        context.err(str(error))
        code = error.code
    assert isinstance(context.stdout, io.StringIO) and isinstance(context.stderr, io.StringIO)
    return Said(code, context.stdout.getvalue(), context.stderr.getvalue())


@pytest.fixture
def kubectl(place: ServedCluster) -> Run:
    """The stock kubectl."""
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    environ = {**os.environ, "KUBECONFIG": str(place.kubeconfig), "EDITOR": "true"}

    def run(*words: str, given: str = "", **more: str) -> Said:
        done = subprocess.run(
            [str(KUBECTL), *words],
            input=given,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


_NAMES = iter(range(1, sys.maxsize))


@pytest.fixture
def namespace(sampan: Run) -> Iterator[str]:
    name = f"ns{next(_NAMES)}"
    assert sampan("create", "namespace", name).code == 0
    yield name
    sampan("delete", "namespace", name, "--wait=false")


_TIME = re.compile(r"\b[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}")
_AGE = re.compile(r"\b\d+[smhd](\d+[smh])?\b")


def settled(text: str) -> str:
    """Without what passes: ages (and the blanks after them), times, and which of the two programs spoke."""
    text = _TIME.sub("TIME", text)
    text = _AGE.sub("AGE", text)
    text = re.sub(r"AGE +", "AGE ", text)
    return text.replace("sampan", "kubectl")

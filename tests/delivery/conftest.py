from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sampan.cli import apps, main
from sampan.cli.context import CommandError, Context
from sampan.testing.thread import ServedCluster


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Run = Callable[..., Said]


@pytest.fixture
def sampan(served_cluster: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process against the test's cluster, which nothing measures and publishes."""
    monkeypatch.setattr(apps, "ENOUGH", 0.1)
    environ = {"KUBECONFIG": str(served_cluster.kubeconfig), "HOME": "/nonexistent"}

    def run(*words: str) -> Said:
        context = Context(io.StringIO(), io.StringIO(), io.StringIO(), environ)
        try:
            code = main.run(list(words), context)
        except CommandError as error:
            context.err(str(error))
            code = error.code
        assert isinstance(context.stdout, io.StringIO)
        assert isinstance(context.stderr, io.StringIO)
        return Said(code, context.stdout.getvalue(), context.stderr.getvalue())

    return run

"""What stages and runs come to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum

from sampan.delivery.pipeline import POST


class Result(IntEnum):
    """The worst one counts."""

    SUCCESS = 0
    UNSTABLE = 1
    FAILURE = 2
    ABORTED = 3


PHASES = {
    Result.SUCCESS: "Succeeded",
    Result.UNSTABLE: "Unstable",
    Result.FAILURE: "Failed",
    Result.ABORTED: "Aborted",
}
RESULTS = {phase: result for result, phase in PHASES.items()}
NAMED = {"SUCCESS": Result.SUCCESS, "UNSTABLE": Result.UNSTABLE, "FAILURE": Result.FAILURE, "ABORTED": Result.ABORTED}
"""As Jenkinsfiles write them."""


def worst(results: Iterable[Result]) -> Result:
    return max(results, default=Result.SUCCESS)


def posts(given: Collection[str], result: Result, previous: Result | None) -> list[str]:
    """Which parts of `post` run, in Jenkins' order. `previous` is what the run before came to."""
    holds = {
        "always": True,
        "changed": previous is not None and previous != result,
        "fixed": previous in (Result.UNSTABLE, Result.FAILURE) and result == Result.SUCCESS,
        "regression": previous is not None and result > previous,
        "aborted": result == Result.ABORTED,
        "failure": result == Result.FAILURE,
        "success": result == Result.SUCCESS,
        "unstable": result == Result.UNSTABLE,
        "unsuccessful": result != Result.SUCCESS,
        "cleanup": True,
    }
    return [name for name in POST if name in given and holds[name]]

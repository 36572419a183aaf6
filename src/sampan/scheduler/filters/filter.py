"""What a filter is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from sampan.scheduler.arrays import Bools, Rows
from sampan.scheduler.wakes import Wake

if TYPE_CHECKING:
    from sampan.scheduler.case import Case


class Scope(Enum):
    """What a verdict about one node depends on, and so how long it holds."""

    NODE = "the pod and the node"
    ROW = "also the pods on that node"
    CLUSTER = "also the pods on other nodes"


class Refusal(NamedTuple):
    """The nodes that `failed`, and why. For those in `final`, taking pods away changes nothing."""

    failed: Bools
    reason: str
    final: Bools


class Filter(NamedTuple):
    """`passes` says which of `rows` may take the pod; NODE and CLUSTER filters are always asked for all rows.

    `applies` is false for pods that the filter has nothing to say about. `refusals` explains, for all rows; a node
    that fails for several reasons may be in several. `wakes`: what may turn a refusal round.
    """

    name: str
    scope: Scope
    passes: Callable[[Case, Rows], Bools]
    refusals: Callable[[Case], Sequence[Refusal]]
    wakes: frozenset[Wake]
    applies: Callable[[Case], bool] = lambda case: True


def single(passes: Callable[[Case, Rows], Bools], reason: str, *, final: bool) -> Callable[[Case], Sequence[Refusal]]:
    """The explanation of a filter that knows one reason."""

    def refusals(case: Case) -> Sequence[Refusal]:
        failed = ~passes(case, slice(0, case.snapshot.size))
        return (Refusal(failed, reason, failed if final else ~failed & failed),)

    return refusals


def helped_by(*wakes: Wake | Iterable[Wake]) -> frozenset[Wake]:
    return frozenset(w for each in wakes for w in ((each,) if isinstance(each, Wake) else each))

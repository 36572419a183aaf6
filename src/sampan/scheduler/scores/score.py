"""What a score is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from sampan.scheduler.arrays import Ints, Rows, np

if TYPE_CHECKING:
    from sampan.scheduler.case import Case

HIGHEST = 100
"""Every score of a node is 0 to HIGHEST, before its weight."""


class Kind(Enum):
    """How a score is computed, and so how long it holds."""

    ROW = "of the node and the pods on it, whatever the other nodes are"
    RELATIVE = "of the node, then set in relation to the highest of those that can take the pod"
    CLUSTER = "of pods anywhere, set in relation to all nodes that can take the pod"


class Score(NamedTuple):
    """`compute` gives a number for each of `rows`.

    ROW: the score. RELATIVE: a raw number (for all rows, as a slice), which the plan normalises; `reverse` when few
    is good. CLUSTER: the score, `rows` being those of all nodes that can take the pod.
    """

    name: str
    weight: int
    kind: Kind
    compute: Callable[[Case, Rows], Ints]
    applies: Callable[[Case], bool] = lambda case: True
    reverse: bool = False


def normalise(raw: Ints, *, reverse: bool) -> Ints:
    """In relation to the highest: HIGHEST for it, or for 0 when `reverse`."""
    top = int(raw.max()) if len(raw) else 0
    if top == 0:
        return np.full(len(raw), HIGHEST, np.int64) if reverse else raw
    scaled = raw * HIGHEST // top
    return HIGHEST - scaled if reverse else scaled

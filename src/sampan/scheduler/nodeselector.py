"""Node selectors over columns: each requirement becomes one comparison of the whole column."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.types import core_v1
from sampan.scheduler.arrays import Bools, np
from sampan.scheduler.snapshot import Snapshot


def of_map(snapshot: Snapshot, wanted: Mapping[str, str]) -> Bools:
    """The rows whose nodes have all these labels (spec.nodeSelector)."""
    found = np.ones(snapshot.size, np.bool_)
    for key, value in wanted.items():
        found &= _one_of(snapshot, key, (value,))
    return found


def any_of(snapshot: Snapshot, selector: core_v1.NodeSelector) -> Bools:
    """The rows that at least one term selects."""
    found = np.zeros(snapshot.size, np.bool_)
    for each in selector.nodeSelectorTerms:
        found |= term(snapshot, each)
    return found


def term(snapshot: Snapshot, wanted: core_v1.NodeSelectorTerm) -> Bools:
    """The rows that meet all requirements; a term without any selects nothing."""
    if not wanted.matchExpressions and not wanted.matchFields:
        return np.zeros(snapshot.size, np.bool_)
    found = np.ones(snapshot.size, np.bool_)
    for requirement in wanted.matchExpressions:
        found &= _expression(snapshot, requirement)
    for requirement in wanted.matchFields:
        found &= _field(snapshot, requirement)
    return found


def _one_of(snapshot: Snapshot, key: str, values: tuple[str, ...]) -> Bools:
    column = snapshot.labels.column(key)
    ids = column.ids[: snapshot.size]
    found = np.zeros(snapshot.size, np.bool_)
    for value in values:
        number = column.number(value)
        if number is not None:
            found |= ids == number
    return found


def _expression(snapshot: Snapshot, wanted: core_v1.NodeSelectorRequirement) -> Bools:
    column = snapshot.labels.column(wanted.key)
    ids = column.ids[: snapshot.size]
    match wanted.operator:
        case "In":
            return _one_of(snapshot, wanted.key, wanted.values)
        case "NotIn":
            return ~_one_of(snapshot, wanted.key, wanted.values)
        case "Exists":
            return ids >= 0
        case "DoesNotExist":
            return ids < 0
        case "Gt" | "Lt":
            bound = _integer(wanted.values[0]) if len(wanted.values) == 1 else None
            numbers = [_integer(value) for value in column.values]
            if bound is None:
                return np.zeros(snapshot.size, np.bool_)
            above = wanted.operator == "Gt"
            verdicts = [n is not None and (n > bound if above else n < bound) for n in numbers]
            # The last entry is for nodes without the label, whose id is -1.
            return np.array([*verdicts, False])[ids]
    return np.zeros(snapshot.size, np.bool_)


def _field(snapshot: Snapshot, wanted: core_v1.NodeSelectorRequirement) -> Bools:
    """metadata.name is the only field there is."""
    found = np.zeros(snapshot.size, np.bool_)
    if wanted.key != "metadata.name":
        return found
    for name in wanted.values:
        row = snapshot.rows.get(name)
        if row is not None:
            found[row] = True
    return found if wanted.operator == "In" else ~found


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None

"""Two pods of one node cannot have the same host port; one on all addresses conflicts with one on any."""

from __future__ import annotations

from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Scope, helped_by, single
from sampan.scheduler.wakes import Wake

REASON = "node(s) didn't have free ports for the requested pod ports"


def passes(case: Case, rows: Rows) -> Bools:
    """Looks only at nodes where one of the ports is in use at all."""
    free = np.ones(case.snapshot.size, np.bool_)
    for port in case.profile.ports:
        for row, holders in case.snapshot.ports.get((port.protocol, port.port), {}).items():
            if not port.address or "" in holders or port.address in holders:
                free[row] = False
    return free[rows]


FILTER = Filter(
    "NodePorts",
    Scope.ROW,
    passes,
    single(passes, REASON, final=False),
    helped_by(Wake.NODE_ADDED, Wake.POD_DELETED),
    lambda case: bool(case.profile.ports),
)

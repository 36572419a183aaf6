"""Which nodes may take a pod: one file per filter, asked in the order of ALL; the first refusal is the one told."""

from sampan.scheduler.filters import (
    interpodaffinity,
    nodeaffinity,
    nodeports,
    noderesourcesfit,
    nodeunschedulable,
    podtopologyspread,
    tainttoleration,
    volumebinding,
)
from sampan.scheduler.filters.filter import Filter

ALL: tuple[Filter, ...] = (
    nodeunschedulable.FILTER,
    tainttoleration.FILTER,
    nodeaffinity.FILTER,
    nodeports.FILTER,
    noderesourcesfit.FILTER,
    volumebinding.FILTER,
    podtopologyspread.FILTER,
    interpodaffinity.FILTER,
)

"""Why no node can take a pod, in the words that people know from kube-scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sampan.scheduler.arrays import Bools, np
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profile

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


class Failure(NamedTuple):
    """`rejected`: the filters that refused some node. `curable`: rows that evicting pods might help."""

    message: str
    rejected: frozenset[str]
    curable: Bools


def failure(planner: Planner, profile: Profile, blocker: str = "", uid: str = "", priority: int = 0) -> Failure:
    """`blocker` is what makes all nodes alike impossible; uid and priority say which promises bind the pod."""
    snapshot = planner.snapshot
    curable = np.zeros(snapshot.size, np.bool_)
    if not snapshot.count:
        return Failure(NO_NODES, frozenset(each.name for each in planner.filters), curable)
    if blocker:
        return Failure(f"{unavailable(snapshot.count)}: {blocker}.", frozenset(("VolumeBinding",)), curable)
    case = planner.case(profile)
    open_ = snapshot.present[: snapshot.size].copy()
    reasons: Counter[str] = Counter()
    rejected = set()
    for each in planner.filters:
        if not each.applies(case):
            continue
        failed_here = np.zeros(snapshot.size, np.bool_)
        final_here = np.zeros(snapshot.size, np.bool_)
        for refusal in each.refusals(case):
            failed = refusal.failed & open_
            number = int(failed.sum())
            if number:
                reasons[refusal.reason] += number
                failed_here |= failed
                final_here |= failed & refusal.final
        if failed_here.any():
            rejected.add(each.name)
            curable |= failed_here & ~final_here
            open_ &= ~failed_here
    for node, others in planner.nominations.ahead_of(uid, priority).items():
        row = snapshot.rows.get(node, -1)
        if row >= 0 and open_[row]:
            reasons.update(planner.lacking(case, row, others))
            rejected.add("NodeResourcesFit")
            curable[row] = True
    return Failure(summary(snapshot.count, reasons), frozenset(rejected), curable)


def unavailable(number: int) -> str:
    return f"0/{number} nodes are available"


def summary(number: int, reasons: Mapping[str, int]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).`, the parts sorted as text."""
    parts = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"{unavailable(number)}: {', '.join(parts)}." if parts else f"{unavailable(number)}:"


def no_preemption(number: int, tried: int) -> str:
    """What is added when evicting pods from `tried` of the nodes would not have made room."""
    reasons = {NO_VICTIMS: tried, NOT_HELPFUL: number - tried}
    return f"preemption: {summary(number, reasons)}"

"""Preemption: whom to evict, and where, so that a pod of higher priority finds room. Decides; evicts nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.api import selectors
from sampan.api.types import core_v1, policy_v1
from sampan.runtime.clock import unix
from sampan.scheduler.arrays import Bools, np
from sampan.scheduler.case import Case
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profile
from sampan.scheduler.snapshot import Placed, Snapshot

CANDIDATES_SHARE, CANDIDATES_LEAST = 10, 100
"""Nodes that are tried: a tenth of all, at least 100, from a random start."""

NEVER = "not eligible due to preemptionPolicy=Never."
LEAVING = "not eligible due to terminating pod on the nominated node."


class Candidate(NamedTuple):
    """Evicting `victims` makes room on the node of `row`; `violations` of them break a disruption budget."""

    row: int
    victims: Sequence[Placed]
    violations: int


class Outcome(NamedTuple):
    """`candidate` is None when nothing helps; `tried` nodes were looked at in vain."""

    candidate: Candidate | None
    tried: int = 0
    ineligible: str = ""


def priority(pod: core_v1.Pod) -> int:
    return pod.spec.priority or 0


def plan(
    planner: Planner,
    pod: core_v1.Pod,
    profile: Profile,
    curable: Bools,
    budgets: Iterable[policy_v1.PodDisruptionBudget] = (),
    start: int = 0,
) -> Outcome:
    """The best node among the `curable` ones. `start` is where the search begins, a random number."""
    reason = ineligible(planner, pod)
    if reason:
        return Outcome(None, ineligible=reason)
    budgets = [b for b in budgets if b.spec.selector is not None]
    snapshot = planner.snapshot
    rows = np.flatnonzero(curable)
    if not len(rows):
        return Outcome(None)
    if snapshot.lowest_priority >= priority(pod):
        return Outcome(None, len(rows))
    rows = np.roll(rows, -(start % len(rows)))
    most = max(CANDIDATES_LEAST, snapshot.count // CANDIDATES_SHARE)
    found: list[Candidate] = []
    tried = 0
    for row in rows.tolist():
        candidate = _on(planner, pod, profile, row, budgets)
        if candidate is None:
            tried += 1
        else:
            found.append(candidate)
            if len(found) >= most:
                break
    return Outcome(min(found, key=_cost) if found else None, tried)


def ineligible(planner: Planner, pod: core_v1.Pod) -> str:
    """Why the pod may not evict anybody now, or ""."""
    if pod.spec.preemptionPolicy == "Never":
        return NEVER
    snapshot = planner.snapshot
    row = snapshot.rows.get(planner.nominations.get(pod.metadata.uid or ""), -1)
    if any(p.ending and priority(p.pod) < priority(pod) for p in snapshot.on.get(row, {}).values()):
        return LEAVING
    return ""


def _on(
    planner: Planner,
    pod: core_v1.Pod,
    profile: Profile,
    row: int,
    budgets: Sequence[policy_v1.PodDisruptionBudget],
) -> Candidate | None:
    """The fewest victims of one node: without all lower pods the pod must fit, then as many as possible stay."""
    snapshot = planner.snapshot
    lower = [p for p in snapshot.on.get(row, {}).values() if priority(p.pod) < priority(pod)]
    if not lower:
        return None
    for placed in lower:
        snapshot.remove_pod(placed.pod.metadata.uid or "")
    victims: list[Placed] = []
    violations = 0
    try:
        if not _fits(planner, pod, profile, row):
            victims = lower
            return None
        breaking, keeping = _by_budget(lower, budgets)
        for group in (breaking, keeping):
            for placed in sorted(group, key=lambda p: (-priority(p.pod), unix(p.pod.status.startTime))):
                _put_back(snapshot, placed)
                if not _fits(planner, pod, profile, row):
                    snapshot.remove_pod(placed.pod.metadata.uid or "")
                    victims.append(placed)
                    violations += group is breaking
        return Candidate(row, tuple(victims), violations) if victims else None
    finally:
        for placed in victims:
            _put_back(snapshot, placed)


def _put_back(snapshot: Snapshot, placed: Placed) -> None:
    snapshot.put_pod(placed.pod, placed.profile, placed.node)


def _fits(planner: Planner, pod: core_v1.Pod, profile: Profile, row: int) -> bool:
    case: Case = planner.case(profile)
    if case.base[row] < 0:
        return False
    able = planner.able(case, pod.metadata.uid or "", priority(pod))
    return able is None or bool(able[row])


def _by_budget(
    placed: Iterable[Placed], budgets: Sequence[policy_v1.PodDisruptionBudget]
) -> tuple[list[Placed], list[Placed]]:
    """Those whose eviction would break a budget, and the others; each budget allows only so many."""
    left = {id(b): b.status.disruptionsAllowed or 0 for b in budgets}
    compiled = [(b, selectors.label_selector(b.spec.selector)) for b in budgets]
    breaking: list[Placed] = []
    keeping: list[Placed] = []
    for each in placed:
        meta = each.pod.metadata
        over = False
        for budget, selector in compiled:
            if budget.metadata.namespace != meta.namespace or selector.empty or not selector.matches(meta.labels):
                continue
            if meta.name in budget.status.disruptedPods:
                continue
            left[id(budget)] -= 1
            over = over or left[id(budget)] < 0
        (breaking if over else keeping).append(each)
    return breaking, keeping


def _cost(candidate: Candidate) -> tuple[float, ...]:
    """Fewest broken budgets, lowest top priority, lowest sum, fewest victims, latest start of the most important."""
    priorities = [priority(p.pod) for p in candidate.victims]
    top = max(priorities)
    started = min(unix(p.pod.status.startTime) for p in candidate.victims if priority(p.pod) == top)
    # Negative priorities must not make more victims look cheaper.
    total = sum(p + 2**31 for p in priorities)
    return candidate.violations, top, total, len(priorities), -started

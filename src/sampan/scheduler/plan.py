"""Which node a pod goes to: filters, then scores, then a draw among the best."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable

from sampan.scheduler import filters, scores
from sampan.scheduler.arrays import Bools, Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Scope
from sampan.scheduler.filters.nodeports import REASON as NO_PORTS
from sampan.scheduler.nominations import Nominations
from sampan.scheduler.profile import Profile
from sampan.scheduler.scores.score import Kind, Score, normalise
from sampan.scheduler.snapshot import PODS, Snapshot

REFUSED = -1

CASES = 32
"""Profiles whose computations are kept; each costs about 20 bytes a node."""

FEW = 64
"""Rows up to which following changes is cheaper than computing all rows again (as a part of all: 1/4)."""


class Planner:
    """Decides; changes nothing but its own notes."""

    def __init__(
        self,
        snapshot: Snapshot,
        nominations: Nominations | None = None,
        seed: int | None = None,
        filters_: Iterable[Filter] = filters.ALL,
        scores_: Iterable[Score] = scores.ALL,
    ) -> None:
        self.snapshot = snapshot
        self.nominations = nominations or Nominations()
        self.filters = tuple(filters_)
        self.scores = tuple(scores_)
        self._random = random.Random(seed)
        self._cases: OrderedDict[Profile, Case] = OrderedDict()

    def forget(self) -> None:
        """Something other than nodes and pods has changed: namespaces, services, volumes."""
        self._cases.clear()

    def case(self, profile: Profile) -> Case:
        case = self._cases.get(profile)
        if case is None:
            case = self._cases[profile] = Case(profile, self.snapshot, self.filters)
            if len(self._cases) > CASES:
                self._cases.popitem(last=False)
        else:
            self._cases.move_to_end(profile)
        self._follow(case)
        return case

    def choose(self, profile: Profile, uid: str = "", priority: int = 0) -> int | None:
        """The row of the best node, None when no node can take the pod."""
        case = self.case(profile)
        able = self.able(case, uid, priority)
        relative = [s for s in self.scores if s.kind is not Kind.ROW and self._matters(case, s)]
        if not relative:
            totals = case.base if able is None else np.where(able, case.base, REFUSED)
            return self._draw(totals)
        rows = np.flatnonzero(case.base >= 0 if able is None else able)
        if len(rows) < 2:
            return int(rows[0]) if len(rows) else None
        totals = case.base[rows]
        for score in relative:
            totals = totals + score.weight * self._relative(case, score, rows)
        best = self._draw(totals)
        return None if best is None else int(rows[best])

    def able(self, case: Case, uid: str = "", priority: int = 0) -> Bools | None:
        """The rows that can take the pod; None when that is those which `case.base` says."""
        able: Bools | None = None
        for each in self.filters:
            if each.scope is Scope.CLUSTER and each.applies(case):
                passed = each.passes(case, slice(0, self.snapshot.size))
                able = (case.base >= 0) & passed if able is None else able & passed
        reserved = self.nominations.ahead_of(uid, priority)
        if reserved:
            able = case.base >= 0 if able is None else able
            for node, profiles in reserved.items():
                row = self.snapshot.rows.get(node)
                if row is not None and able[row]:
                    able[row] = not self.lacking(case, row, profiles)
        return able

    def lacking(self, case: Case, row: int, others: list[Profile]) -> list[str]:
        """What the node would lack for the pod, in NodeResourcesFit's words, after those that were promised it."""
        snapshot = self.snapshot
        free = snapshot.allocatable[:, row] - snapshot.requested[:, row]
        for other in others:
            free[PODS] -= 1
            for name, amount in other.demand.exact.items():
                free[snapshot.resource(name)] -= amount
        found = ["Too many pods"] if free[PODS] < 1 else []
        names = tuple(snapshot.resources)
        found += [f"Insufficient {names[index]}" for index, amount in case.demand if free[index] < amount]
        ports = {(p.protocol, p.port) for other in others for p in other.ports}
        return found + ([NO_PORTS] if any((p.protocol, p.port) in ports for p in case.profile.ports) else [])

    def _draw(self, totals: Ints) -> int | None:
        if not len(totals):
            return None
        best = int(totals.max())
        if best < 0:
            return None
        equal = np.flatnonzero(totals == best)
        return int(equal[self._random.randrange(len(equal))] if len(equal) > 1 else equal[0])

    def _matters(self, case: Case, score: Score) -> bool:
        """A relative score that is the same for all nodes decides nothing."""
        if not score.applies(case):
            return False
        return score.kind is Kind.CLUSTER or self._raw(case, score) is not None

    def _raw(self, case: Case, score: Score) -> Ints | None:
        def make() -> tuple[Ints | None]:
            raw = score.compute(case, slice(0, self.snapshot.size))
            return (None if not len(raw) or (raw == raw[0]).all() else raw,)

        return case.fixed(("raw", score.name), make)[0]

    def _relative(self, case: Case, score: Score, rows: Ints) -> Ints:
        if score.kind is Kind.CLUSTER:
            return score.compute(case, rows)
        raw = self._raw(case, score)
        assert raw is not None
        return normalise(raw[rows], reverse=score.reverse)

    # --- what depends on single rows ---

    def _follow(self, case: Case) -> None:
        """Bring `case.base` up to date: all of it when nodes have changed, else the rows that pods have changed."""
        snapshot = self.snapshot
        changed = snapshot.since(case.position)
        case.position = snapshot.position
        if case.version != snapshot.version:
            case.renew()
            changed = None
        if changed is None or len(changed) > max(FEW, snapshot.size // 4):
            case.base = self._base(case, slice(0, snapshot.size))
        elif changed:
            rows = np.array(changed, np.int64)
            case.base[rows] = self._base(case, rows)

    def _base(self, case: Case, rows: Rows) -> Ints:
        total = np.zeros(self.snapshot.size, np.int64)[rows]
        for score in self.scores:
            if score.kind is Kind.ROW and score.applies(case):
                total += score.weight * score.compute(case, rows)
        able = self._allowed(case)[rows]
        for each in self.filters:
            if each.scope is Scope.ROW and each.applies(case):
                able = able & each.passes(case, rows)
        return np.where(able, total, REFUSED)

    def _allowed(self, case: Case) -> Bools:
        """The rows that pass the filters which look at nodes alone."""

        def make() -> Bools:
            found = self.snapshot.present[: self.snapshot.size].copy()
            for each in self.filters:
                if each.scope is Scope.NODE and each.applies(case):
                    found &= case.node_verdict(each.name)
            return found

        return case.fixed("allowed", make)

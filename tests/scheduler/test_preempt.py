from __future__ import annotations

import msgspec
import pytest

from sampan.api.types import core_v1, meta_v1, policy_v1
from sampan.scheduler import explain, preempt
from tests.scheduler.lab import HOST, ZONE, Lab, ending, near, node, pod, required, spread

WEB = {"app": "web"}


def outcome(lab: Lab, wanting: core_v1.Pod, *budgets: policy_v1.PodDisruptionBudget) -> preempt.Outcome:
    profile = lab.profile(wanting)
    failure = explain.failure(lab.planner, profile, "", wanting.metadata.uid or "", wanting.spec.priority or 0)
    before = lab.snapshot.requested.copy()
    found = preempt.plan(lab.planner, wanting, profile, failure.curable, budgets)
    assert (lab.snapshot.requested == before).all(), "looking must not change the cluster"
    return found


def chosen(lab: Lab, wanting: core_v1.Pod, *budgets: policy_v1.PodDisruptionBudget) -> tuple[str, list[str]]:
    """The node and its victims' names."""
    found = outcome(lab, wanting, *budgets).candidate
    assert found is not None
    return lab.snapshot.name(found.row), sorted(p.pod.metadata.name or "" for p in found.victims)


def budget(allowed: int, labels: dict[str, str]) -> policy_v1.PodDisruptionBudget:
    return policy_v1.PodDisruptionBudget(
        metadata=meta_v1.ObjectMeta(name="b", namespace="default"),
        spec=policy_v1.PodDisruptionBudgetSpec(selector=meta_v1.LabelSelector(matchLabels=labels)),
        status=policy_v1.PodDisruptionBudgetStatus(disruptionsAllowed=allowed),
    )


def test_the_fewest_that_make_room_are_evicted() -> None:
    lab = Lab(node("a", cpu="4"))
    lab.place(pod("big", on="a", cpu="3", priority=1), pod("small", on="a", cpu="1", priority=1))
    assert chosen(lab, pod(cpu="1", priority=5)) == ("a", ["small"])
    assert chosen(lab, pod(cpu="4", priority=5)) == ("a", ["big", "small"])


def test_nobody_of_the_same_priority_is_evicted() -> None:
    lab = Lab(node("a", cpu="1"))
    lab.place(pod(on="a", cpu="1", priority=5))
    found = outcome(lab, pod(cpu="1", priority=5))
    assert (found.candidate, found.tried) == (None, 1)


def test_the_lowest_priorities_are_preferred() -> None:
    lab = Lab(node("a", cpu="1"), node("b", cpu="1"))
    lab.place(pod("high", on="a", cpu="1", priority=4), pod("low", on="b", cpu="1", priority=2))
    assert chosen(lab, pod(cpu="1", priority=9)) == ("b", ["low"])


def test_fewer_victims_are_preferred() -> None:
    lab = Lab(node("a", cpu="1"), node("b", cpu="1"))
    lab.place(*(pod(on="a", cpu="500m", priority=0) for _ in range(2)), pod("one", on="b", cpu="1", priority=0))
    assert chosen(lab, pod(cpu="1", priority=9)) == ("b", ["one"])


def test_of_equals_the_youngest_is_evicted() -> None:
    def started(name: str, on: str, at: str) -> core_v1.Pod:
        return msgspec.structs.replace(pod(name, on=on, cpu="1"), status=core_v1.PodStatus(startTime=at))

    lab = Lab(node("a", cpu="1"), node("b", cpu="1"))
    lab.place(started("old", "a", "2027-01-01T00:00:00Z"), started("young", "b", "2027-01-02T00:00:00Z"))
    assert chosen(lab, pod(cpu="1", priority=9)) == ("b", ["young"])


def test_disruption_budgets_are_kept_where_possible() -> None:
    lab = Lab(node("a", cpu="1"), node("b", cpu="1"))
    lab.place(pod("guarded", on="a", cpu="1", labels=WEB, priority=0), pod("free", on="b", cpu="1", priority=3))
    assert chosen(lab, pod(cpu="1", priority=9)) == ("a", ["guarded"])
    assert chosen(lab, pod(cpu="1", priority=9), budget(1, WEB)) == ("a", ["guarded"])
    assert chosen(lab, pod(cpu="1", priority=9), budget(0, WEB)) == ("b", ["free"])


def test_budgets_decide_within_a_node_too() -> None:
    lab = Lab(node("a", cpu="2"))
    lab.place(pod("guarded", on="a", cpu="1", labels=WEB, priority=0), pod("free", on="a", cpu="1", priority=3))
    assert chosen(lab, pod(cpu="1", priority=9), budget(0, WEB)) == ("a", ["free"])


def test_evicting_may_free_ports_domains_and_neighbours() -> None:
    lab = Lab(node("a", zone="a"))
    lab.place(pod("port", on="a", ports=[80]))
    assert chosen(lab, pod(ports=[80], priority=1)) == ("a", ["port"])
    lab = Lab(node("a", zone="a"))
    lab.place(pod("other", on="a", labels=WEB))
    hermit = pod(affinity=required("podAntiAffinity", near(HOST, WEB)), priority=1)
    assert chosen(lab, hermit) == ("a", ["other"])
    lab = Lab(node("a", zone="a"), node("b", zone="b", taints=["x:NoSchedule"]))
    lab.place(pod("first", on="a", labels=WEB))
    assert chosen(lab, pod(labels=WEB, priority=1, topologySpreadConstraints=[spread(ZONE, WEB)])) == ("a", ["first"])


def test_nodes_that_no_eviction_helps_are_not_tried() -> None:
    lab = Lab(node("a", cpu="1"), node("b", cpu="4", taints=["x:NoSchedule"]), node("c", cpu="2"))
    lab.place(pod(on="a", cpu="1"), pod(on="b", cpu="4"), pod(on="c", cpu="2", priority=10))
    found = outcome(lab, pod(cpu="2", priority=9))
    assert (found.candidate, found.tried) == (None, 1)
    assert explain.no_preemption(3, found.tried) == (
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )


def test_who_must_not_preempt_says_so() -> None:
    lab = Lab(node("a", cpu="1"))
    lab.place(pod(on="a", cpu="1"))
    polite = pod(cpu="1", priority=9, preemptionPolicy="Never")
    assert outcome(lab, polite).ineligible == "not eligible due to preemptionPolicy=Never."


def test_who_has_evicted_waits_for_the_victims_to_leave() -> None:
    lab = Lab(node("a", cpu="1"))
    victim = pod("victim", on="a", cpu="1")
    lab.place(ending(victim))
    wanting = pod("wanting", cpu="1", priority=9)
    lab.planner.nominations.put("uid-wanting", "a", 9, lab.profile(wanting))
    assert outcome(lab, wanting).ineligible == "not eligible due to terminating pod on the nominated node."


@pytest.mark.parametrize(("priority", "able"), [(1, False), (9, False), (10, True)])
def test_room_that_was_promised_is_kept_from_lower_and_equal_priorities(priority: int, able: bool) -> None:
    lab = Lab(node("a", cpu="1"))
    promised = pod("promised", cpu="1", priority=9)
    lab.planner.nominations.put("uid-promised", "a", 9, lab.profile(promised))
    assert bool(lab.choose(pod("rival", cpu="500m", priority=priority))) is able
    assert lab.choose(promised) == "a"


def test_a_refusal_because_of_a_promise_explains_itself() -> None:
    lab = Lab(node("a", cpu="1"))
    lab.planner.nominations.put("uid-x", "a", 9, lab.profile(pod("x", cpu="1", ports=[80])))
    assert lab.why(pod(cpu="500m", ports=[80])) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 node(s) didn't have free ports for the requested pod ports."
    )

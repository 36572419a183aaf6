from __future__ import annotations

import random

import pytest

from sampan.api.types import core_v1, meta_v1
from sampan.scheduler import snapshot as snapshots
from sampan.scheduler.arrays import np
from sampan.scheduler.plan import Planner
from sampan.scheduler.tallies import Selection
from sampan.scheduler.terms import Peers, selector
from tests.scheduler.lab import HOST, ZONE, Lab, ending, near, node, pod, required, spread

WEB = {"app": "web"}


def web() -> Selection:
    chosen = selector(meta_v1.LabelSelector(matchLabels=WEB), {})
    return Selection((Peers(chosen, frozenset(("default",))),), ending=True)


def random_pod(chance: random.Random, nodes: list[str]) -> core_v1.Pod:
    affinity = required("podAntiAffinity", near(HOST, WEB)) if chance.random() < 0.3 else None
    made = pod(
        on=chance.choice(nodes),
        cpu=chance.choice(["", "100m", "1"]),
        memory=chance.choice(["", "64Mi"]),
        labels=chance.choice([WEB, {"app": "x"}]),
        namespace=chance.choice(["default", "other"]),
        ports=chance.choice([(), (80,), (80, 81)]),
        priority=chance.choice([0, 5]),
        affinity=affinity,
    )
    return ending(made) if chance.random() < 0.2 else made


@pytest.mark.parametrize("seed", range(6))
def test_events_in_any_order_leave_what_a_fresh_count_finds(seed: int) -> None:
    """Nodes and pods come, change and go at random; the arrays must equal those of a snapshot made of the survivors."""
    chance = random.Random(seed)
    names = [f"n{i}" for i in range(6)]
    lab = Lab()
    nodes: dict[str, core_v1.Node] = {}
    pods: dict[str, core_v1.Pod] = {}
    lab.snapshot.selected(web())
    for _ in range(300):
        action = chance.random()
        if action < 0.15:
            name = chance.choice(names)
            nodes[name] = node(name, cpu=chance.choice(["2", "4"]), zone=chance.choice("ab"), taints=())
            lab.snapshot.put_node(nodes[name])
        elif action < 0.22 and nodes:
            name = chance.choice(list(nodes))
            del nodes[name]
            lab.snapshot.remove_node(name)
        elif action < 0.75:
            made = random_pod(chance, names)
            pods[made.metadata.uid or ""] = made
            lab.place(made)
        elif pods:
            uid = chance.choice(list(pods))
            del pods[uid]
            lab.snapshot.remove_pod(uid)
        if chance.random() < 0.1:
            lab.able(random_pod(chance, names))
    fresh = Lab(*nodes.values())
    fresh.place(*pods.values())
    for name in nodes:
        here, there = lab.snapshot.rows[name], fresh.snapshot.rows[name]
        assert lab.snapshot.requested[:, here].tolist() == fresh.snapshot.requested[:, there].tolist()
        assert lab.snapshot.guessed[:, here].tolist() == fresh.snapshot.guessed[:, there].tolist()
        assert lab.snapshot.allocatable[:, here].tolist() == fresh.snapshot.allocatable[:, there].tolist()
        assert lab.snapshot.selected(web())[here] == fresh.snapshot.selected(web())[there]
        for carried, counts in fresh.snapshot.tallies.carried.items():
            assert lab.snapshot.tallies.carried[carried][here] == counts[there]
    assert lab.snapshot.tallies.carried.keys() == fresh.snapshot.tallies.carried.keys()
    assert lab.snapshot.ports.keys() == fresh.snapshot.ports.keys()
    assert lab.snapshot.lowest_priority == fresh.snapshot.lowest_priority
    wanting = [pod(cpu="500m"), pod(labels=WEB), pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB)])]
    for each in wanting:
        assert lab.able(each) == fresh.able(each)
    for uid in pods:
        lab.snapshot.remove_pod(uid)
    assert not lab.snapshot.requested.any() and not lab.snapshot.guessed.any()
    assert lab.snapshot.ports == {} and lab.snapshot.pods == {}


def test_pods_of_a_node_that_comes_later_count_when_it_comes() -> None:
    lab = Lab()
    lab.place(pod(on="late", cpu="3"))
    lab.snapshot.put_node(node("late", cpu="4"))
    assert lab.able(pod(cpu="2")) == set()
    assert lab.able(pod(cpu="1")) == {"late"}


def test_what_follows_changes_equals_what_is_computed_anew() -> None:
    lab = Lab(*(node(f"n{i}", cpu="2") for i in range(40)))
    wanting = pod(cpu="100m", memory="100Mi")
    for _ in range(200):
        lab.schedule(pod(cpu="150m", memory="50Mi"))
        followed = lab.planner.case(lab.profile(wanting)).base.copy()
        fresh = Planner(lab.snapshot).case(lab.profile(wanting)).base
        assert np.array_equal(followed, fresh)


def test_a_case_that_fell_too_far_behind_starts_over() -> None:
    lab = Lab(node("a", cpu="1000"), node("b"))
    wanting = pod(cpu="3500m")
    assert lab.able(wanting) == {"a", "b"}
    lab.place(pod("last", on="b", cpu="1"))
    for _ in range(snapshots.LOG):
        mover = pod("mover", on="a", cpu="1m")
        lab.place(mover)
        lab.snapshot.remove_pod("uid-mover")
    assert len(lab.snapshot.changes) <= 2 * snapshots.LOG
    assert lab.able(wanting) == {"a"}


def test_heartbeats_change_nothing() -> None:
    lab = Lab(node("a"))
    before = lab.snapshot.version
    lab.snapshot.put_node(node("a"))
    assert lab.snapshot.version == before
    lab.snapshot.put_node(node("a", labels={"new": "label"}))
    assert lab.snapshot.version > before


def test_equal_pods_share_one_profile_whatever_their_names() -> None:
    lab = Lab()
    first, second, third = pod("a", cpu="1"), pod("b", cpu="1"), pod("c", cpu="2")
    assert lab.profile(first) is lab.profile(second)
    assert lab.profile(first) is not lab.profile(third)


def test_rows_of_removed_nodes_are_used_again() -> None:
    lab = Lab(node("a", taints=["x:NoSchedule"], labels={"old": "1"}), node("b"))
    lab.snapshot.remove_node("a")
    lab.snapshot.put_node(node("c"))
    assert lab.snapshot.size == 2
    assert lab.able(pod()) == {"b", "c"}
    assert lab.able(pod(nodeSelector={"old": "1"})) == set()

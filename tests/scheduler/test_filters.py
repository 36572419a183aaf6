from __future__ import annotations

import random
from typing import Any

import pytest

from sampan.scheduler import filters
from sampan.scheduler.wakes import Wake
from tests.scheduler.lab import HOST, ZONE, Lab, ending, near, node, pod, required, spread


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_cordoned_nodes_take_only_pods_that_tolerate_it() -> None:
    lab = Lab(node("a", unschedulable=True), node("b"))
    assert lab.able(pod()) == {"b"}
    tolerant = pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert lab.able(tolerant) == {"a", "b"}


@pytest.mark.parametrize(
    ("toleration", "able"),
    [
        (None, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "5", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "5", "effect": "NoExecute"}, False),
        ({"key": "k", "value": "6"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Lt", "value": "6"}, True),
        ({"key": "k", "operator": "Gt", "value": "6"}, False),
        ({"key": "k", "operator": "Gt", "value": "x"}, False),
    ],
)
def test_taints_keep_away_who_does_not_tolerate_them(toleration: dict[str, str] | None, able: bool) -> None:
    lab = Lab(node("a", taints=["k=5:NoSchedule"]))
    assert (lab.able(pod(tolerations=[toleration] if toleration else [])) == {"a"}) is able


def test_prefer_no_schedule_keeps_nobody_away() -> None:
    assert Lab(node("a", taints=["k:PreferNoSchedule"])).able(pod()) == {"a"}


def test_node_selector_matching() -> None:
    lab = Lab(node("a", labels={"disk": "ssd"}), node("b"))
    assert lab.schedule(pod(nodeSelector={"disk": "ssd"})) == "a"


def test_node_selector_not_matching() -> None:
    lab = Lab(node("a", labels={"disk": "ssd"}), node("b"))
    refused = pod(nodeSelector={"disk": "tape"})
    assert lab.choose(refused) == ""
    assert lab.why(refused) == "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."


@pytest.mark.parametrize(
    ("terms", "able"),
    [
        ([expression("tier", "In", "1", "2")], "ab"),
        ([expression("tier", "NotIn", "1")], "bcd"),
        ([expression("tier", "Exists")], "abc"),
        ([expression("tier", "DoesNotExist")], "d"),
        ([expression("tier", "Gt", "1")], "bc"),
        ([expression("tier", "Lt", "2")], "a"),
        ([expression("tier", "In", "1"), expression("tier", "In", "10")], "ac"),
        ([{}], ""),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}], "c"),
        ([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["c"]}]}], "abd"),
        ([expression("tier", "Gt", "x")], ""),
    ],
)
def test_required_node_affinity(terms: list[dict[str, Any]], able: str) -> None:
    lab = Lab(*(node(name, labels={"tier": tier}) for name, tier in (("a", "1"), ("b", "2"), ("c", "10"))), node("d"))
    assert lab.able(pod(affinity=affinity(*terms))) == set(able)


def test_host_ports_conflict_on_all_addresses() -> None:
    lab = Lab(node("a"))
    lab.place(pod(on="a", ports=[8080]))
    taken = pod(ports=[8080])
    assert lab.able(taken) == set()
    assert "1 node(s) didn't have free ports for the requested pod ports" in lab.why(taken)
    assert lab.able(pod(ports=[8081])) == {"a"}


def test_host_ports_are_free_again_when_their_pod_is_gone() -> None:
    lab = Lab(node("a"))
    holder = pod("holder", on="a", ports=[80])
    lab.place(holder)
    wanting = pod(ports=[80])
    assert lab.able(wanting) == set()
    lab.snapshot.remove_pod("uid-holder")
    assert lab.able(wanting) == {"a"}
    assert lab.snapshot.ports == {}


def test_resources_must_fit() -> None:
    lab = Lab(node("a", cpu="1"), node("b", cpu="2", pods=1), node("c", allocatable={"example.com/dongle": "1"}))
    lab.place(pod(on="a", cpu="600m"), pod(on="b"))
    assert lab.able(pod(cpu="500m")) == {"c"}
    assert lab.able(pod(cpu="400m")) == {"a", "c"}
    assert lab.able(pod(requests={"example.com/dongle": "1"})) == {"c"}
    assert lab.why(pod(cpu="5")) == "0/3 nodes are available: 1 Too many pods, 3 Insufficient cpu."
    assert lab.why(pod(requests={"example.com/dongle": "2"})) == (
        "0/3 nodes are available: 1 Too many pods, 3 Insufficient example.com/dongle."
    )


def test_a_pod_that_asks_for_nothing_fits_a_full_node() -> None:
    lab = Lab(node("a", cpu="1"))
    lab.place(pod(on="a", cpu="1"))
    assert lab.able(pod()) == {"a"}


# --- topology spread ---

WEB = {"app": "web"}


def zones() -> Lab:
    return Lab(node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"), node("x"))


def test_spread_admits_only_domains_within_the_skew() -> None:
    lab = zones()
    wanting = pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB)])
    assert lab.able(wanting) == {"a1", "a2", "b1"}
    lab.place(pod(on="a1", labels=WEB))
    assert lab.able(wanting) == {"b1"}
    lab.place(pod(on="b1", labels=WEB))
    assert lab.able(wanting) == {"a1", "a2", "b1"}


def test_spread_explains_itself() -> None:
    lab = zones()
    lab.place(pod(on="a1", labels=WEB))
    lab.place(pod(on="b1", labels=WEB, cpu="4"))
    refused = pod(labels=WEB, cpu="4", topologySpreadConstraints=[spread(ZONE, WEB)])
    lab.place(pod(on="a2", labels=WEB))
    assert lab.why(refused) == (
        "0/4 nodes are available: 1 Insufficient cpu, "
        "1 node(s) didn't match pod topology spread constraints (missing required label), "
        "2 node(s) didn't match pod topology spread constraints."
    )


def test_spread_counts_neither_other_namespaces_nor_pods_that_are_ending() -> None:
    lab = zones()
    lab.place(pod(on="a1", labels=WEB, namespace="other"), ending(pod(on="a2", labels=WEB)))
    assert lab.able(pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB)])) == {"a1", "a2", "b1"}


def test_spread_with_too_few_domains_takes_the_least_as_none() -> None:
    lab = zones()
    lab.place(pod(on="a1", labels=WEB), pod(on="b1", labels=WEB))
    assert lab.able(pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB, minDomains=3)])) == set()


def test_spread_leaves_out_nodes_that_the_pod_cannot_use() -> None:
    lab = Lab(node("a", zone="a"), node("b", zone="b", labels={"no": "thanks"}))
    lab.place(pod(on="a", labels=WEB))
    picky = {"affinity": affinity(expression("no", "DoesNotExist")), "labels": WEB}
    assert lab.able(pod(topologySpreadConstraints=[spread(ZONE, WEB)], **picky)) == {"a"}
    ignoring = spread(ZONE, WEB, nodeAffinityPolicy="Ignore")
    assert lab.able(pod(topologySpreadConstraints=[ignoring], **picky)) == set()


def test_spread_by_match_label_keys_counts_one_revision() -> None:
    lab = Lab(node("a", zone="a"), node("b", zone="b"))
    lab.place(pod(on="a", labels=WEB | {"rev": "1"}), pod(on="a", labels=WEB | {"rev": "1"}))
    constraint = spread(ZONE, WEB, matchLabelKeys=["rev"])
    assert lab.able(pod(labels=WEB | {"rev": "2"}, topologySpreadConstraints=[constraint])) == {"a", "b"}
    assert lab.able(pod(labels=WEB | {"rev": "1"}, topologySpreadConstraints=[constraint])) == {"b"}


@pytest.mark.parametrize("seed", range(5))
def test_spread_agrees_with_counting_by_hand(seed: int) -> None:
    """Random clusters, against the definition: pods of the domain, with this one, minus the least of all domains."""
    chance = random.Random(seed)
    names = {f"n{i}": f"z{chance.randrange(4)}" for i in range(12)}
    lab = Lab(*(node(name, zone=zone) for name, zone in names.items()))
    counts = dict.fromkeys(names.values(), 0)
    for _ in range(40):
        skew = chance.randrange(1, 4)
        wanting = pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB, skew)])
        least = min(counts.values())
        assert lab.able(wanting) == {n for n, zone in names.items() if counts[zone] + 1 - least <= skew}
        where = chance.choice(list(names))
        lab.place(pod(on=where, labels=WEB))
        counts[names[where]] += 1


# --- affinity between pods ---


def test_affinity_wants_a_pod_in_the_same_domain() -> None:
    lab = zones()
    follower = pod(labels={"app": "f"}, affinity=required("podAffinity", near(ZONE, WEB)))
    assert lab.able(follower) == set()
    assert "4 node(s) didn't match pod affinity rules" in lab.why(follower)
    lab.place(pod(on="a1", labels=WEB))
    assert lab.able(follower) == {"a1", "a2"}


def test_the_first_of_a_group_needs_only_itself() -> None:
    lab = zones()
    first = pod(labels=WEB, affinity=required("podAffinity", near(ZONE, WEB)))
    assert lab.able(first) == {"a1", "a2", "b1"}
    lab.place(pod(on="b1", labels=WEB))
    assert lab.able(first) == {"b1"}


def test_anti_affinity_works_both_ways() -> None:
    lab = zones()
    hermit = {"affinity": required("podAntiAffinity", near(HOST, WEB)), "labels": {"app": "hermit"}}
    lab.place(pod(on="a1", labels=WEB))
    assert lab.able(pod(**hermit)) == {"a2", "b1", "x"}
    lab.place(pod("there", on="b1", **hermit))
    assert lab.able(pod(labels=WEB)) == {"a1", "a2", "x"}
    lab.snapshot.remove_pod("uid-there")
    assert lab.able(pod(labels=WEB)) == {"a1", "a2", "b1", "x"}
    assert lab.snapshot.tallies.carried == {}


def test_anti_affinity_explains_itself() -> None:
    lab = Lab(node("a"), node("b"))
    hermit = {"affinity": required("podAntiAffinity", near(HOST, WEB)), "labels": WEB}
    lab.place(pod(on="a", **hermit), pod(on="b", labels={"app": "x"}))
    assert lab.why(pod(cpu="100", **hermit)) == "0/2 nodes are available: 2 Insufficient cpu."
    lab.place(pod(on="b", **hermit))
    assert lab.why(pod(**hermit)) == "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    assert lab.why(pod(labels=WEB)) == (
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_affinity_over_namespaces() -> None:
    lab = Lab(node("a"), node("b"), namespaces={"blue": {"team": "sea"}, "red": {"team": "fire"}})
    lab.place(pod(on="a", labels=WEB, namespace="blue"))
    near_team = near(HOST, WEB, namespaceSelector={"matchLabels": {"team": "sea"}})
    assert lab.able(pod(affinity=required("podAffinity", near_team))) == {"a"}
    assert lab.able(pod(affinity=required("podAffinity", near(HOST, WEB, namespaces=["blue"])))) == {"a"}
    assert lab.able(pod(affinity=required("podAffinity", near(HOST, WEB, namespaces=["red"])))) == set()
    lab.namespaces["blue"] = {}
    lab.snapshot.tallies.recount()
    lab.planner.forget()
    assert lab.able(pod(affinity=required("podAffinity", near_team))) == set()


def test_match_and_mismatch_label_keys_narrow_a_term() -> None:
    lab = Lab(node("a"), node("b"))
    lab.place(pod(on="a", labels=WEB | {"rev": "1"}), pod(on="b", labels=WEB | {"rev": "2"}))
    same = near(HOST, WEB, matchLabelKeys=["rev"])
    other = near(HOST, WEB, mismatchLabelKeys=["rev"])
    assert lab.able(pod(labels={"rev": "2"}, affinity=required("podAffinity", same))) == {"b"}
    assert lab.able(pod(labels={"rev": "2"}, affinity=required("podAffinity", other))) == {"a"}


def test_every_wake_helps_some_filter_and_every_filter_has_one() -> None:
    assert {wake for each in filters.ALL for wake in each.wakes} == set(Wake)
    assert all(each.wakes for each in filters.ALL)

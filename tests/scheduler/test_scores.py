from __future__ import annotations

from typing import Any

from sampan.api.types import core_v1, meta_v1
from sampan.scheduler import scores
from sampan.scheduler.arrays import np
from sampan.scheduler.groups import Groups
from sampan.scheduler.scores.score import Score, normalise
from tests.scheduler.lab import HOST, ZONE, Lab, near, node, pod, preferred, required, spread

WEB = {"app": "web"}
MB = 1024 * 1024


def score(lab: Lab, name: str, of: core_v1.Pod) -> dict[str, int]:
    """By node, before the weight."""
    (found,) = [s for s in scores.ALL if s.name == name]
    rows = np.arange(lab.snapshot.size)
    numbers = computed(lab, found, of, rows)
    return {lab.snapshot.name(int(row)): int(number) for row, number in zip(rows, numbers, strict=True)}


def computed(lab: Lab, found: Score, of: core_v1.Pod, rows: Any) -> Any:
    return found.compute(lab.planner.case(lab.profile(of)), rows)


def test_weights_are_upstreams() -> None:
    assert {s.name: s.weight for s in scores.ALL} == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesFit": 1,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }


def test_least_allocated_is_the_mean_of_what_is_left() -> None:
    lab = Lab(node("a", cpu="4", memory="8Gi"), node("b", cpu="4", memory="8Gi"))
    lab.place(pod(on="b", cpu="2", memory="4Gi"))
    assert score(lab, "NodeResourcesFit", pod(cpu="1", memory="2Gi")) == {"a": 75, "b": 25}


def test_least_allocated_assumes_something_for_pods_that_ask_for_nothing() -> None:
    lab = Lab(node("a", cpu="1", memory="1000Mi"))
    lab.place(pod(on="a"))
    assert score(lab, "NodeResourcesFit", pod()) == {"a": (80 + 60) // 2}


def test_balanced_allocation_likes_equal_shares() -> None:
    lab = Lab(node("a", cpu="4", memory="8Gi"), node("b", cpu="4", memory="8Gi"))
    lab.place(pod(on="b", cpu="2"))
    assert score(lab, "NodeResourcesBalancedAllocation", pod(cpu="1", memory="2Gi")) == {"a": 100, "b": 75}


def test_image_locality_counts_large_images_that_many_nodes_have() -> None:
    image = core_v1.ContainerImage(names=("app:1",), sizeBytes=800 * MB)
    lab = Lab(node("a", images=(image,)), node("b"))
    expected = (800 * MB // 2 - 23 * MB) * 100 // (1000 * MB - 23 * MB)
    assert score(lab, "ImageLocality", pod(image="app:1")) == {"a": expected, "b": 0}
    assert lab.choose(pod(image="app:1")) == "a"


def test_an_image_without_tag_is_the_latest() -> None:
    image = core_v1.ContainerImage(names=("host:5000/app:latest",), sizeBytes=900 * MB)
    lab = Lab(node("a", images=(image,)), node("b"))
    assert score(lab, "ImageLocality", pod(image="host:5000/app"))["a"] > 0


def test_soft_taints_are_avoided() -> None:
    lab = Lab(node("a", taints=["x:PreferNoSchedule"]), node("b"))
    assert [lab.choose(pod()) for _ in range(5)] == ["b"] * 5
    raw = score(lab, "TaintToleration", pod())
    assert raw == {"a": 1, "b": 0}
    assert normalise(np.array([1, 0]), reverse=True).tolist() == [0, 100]


def test_preferred_node_affinity_adds_weights() -> None:
    def wish(weight: int, key: str) -> dict[str, Any]:
        return {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}}

    lab = Lab(node("a", labels={"x": ""}), node("b", labels={"x": "", "y": ""}), node("c"))
    wishes = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish(10, "x"), wish(30, "y")]}}
    wanting = pod(affinity=wishes)
    assert score(lab, "NodeAffinity", wanting) == {"a": 10, "b": 40, "c": 0}
    assert lab.choose(wanting) == "b"


def test_preferred_pod_affinity_attracts_and_repels() -> None:
    lab = Lab(node("a"), node("b"), node("c"))
    lab.place(pod(on="a", labels=WEB), pod(on="b", labels={"app": "noise"}))
    likes = preferred("podAffinity", (10, near(HOST, WEB)))
    dislikes = preferred("podAntiAffinity", (20, near(HOST, {"app": "noise"})))
    assert score(lab, "InterPodAffinity", pod(affinity=likes)) == {"a": 100, "b": 0, "c": 0}
    assert score(lab, "InterPodAffinity", pod(affinity={**likes, **dislikes})) == {"a": 100, "b": 0, "c": 66}


def test_placed_pods_attract_whom_they_like() -> None:
    lab = Lab(node("a"), node("b"), node("c"))
    lab.place(
        pod(on="a", affinity=preferred("podAffinity", (4, near(HOST, WEB)))),
        pod(on="b", labels=WEB, affinity=required("podAffinity", near(HOST, WEB))),
    )
    assert score(lab, "InterPodAffinity", pod(labels=WEB)) == {"a": 100, "b": 25, "c": 0}
    assert score(lab, "InterPodAffinity", pod(labels={"app": "other"})) == {"a": 0, "b": 0, "c": 0}


def test_soft_spread_prefers_the_emptier_domain() -> None:
    lab = Lab(node("a", zone="a"), node("b", zone="b"), node("x"))
    lab.place(*(pod(on="a", labels=WEB) for _ in range(4)), pod(on="b", labels=WEB))
    wanting = pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB, hard=False)])
    found = score(lab, "PodTopologySpread", wanting)
    # Two domains: the weight is log(4); scores are counts times that, rounded.
    assert found == {"a": 100 * (6 + 1 - 6) // 6, "b": 100 * (6 + 1 - 1) // 6, "x": 0}


def grouped(**labels: str) -> Groups:
    service = core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="s", namespace="default"), spec=core_v1.ServiceSpec(selector=labels)
    )
    return Groups(lambda namespace: (service,) if namespace == "default" else ())


def test_pods_of_a_service_spread_over_nodes_by_default() -> None:
    lab = Lab(node("a", cpu="100"), node("b", cpu="100"), node("c", cpu="100"), groups=grouped(app="web"))
    lab.place(pod(on="a", labels=WEB), pod(on="b", labels=WEB))
    assert {lab.choose(pod(labels=WEB)) for _ in range(10)} == {"c"}
    assert score(lab, "PodTopologySpread", pod(labels=WEB))["c"] == 100


def test_pods_of_no_group_are_not_spread() -> None:
    lab = Lab(node("a"), groups=grouped(app="web"))
    (found,) = [s for s in scores.ALL if s.name == "PodTopologySpread"]
    assert not found.applies(lab.planner.case(lab.profile(pod(labels={"app": "other"}))))
    assert not found.applies(lab.planner.case(lab.profile(pod(labels=WEB, namespace="elsewhere"))))


def test_ties_are_drawn_and_the_draw_can_be_repeated() -> None:
    nodes = [node(f"n{i}") for i in range(8)]
    first = [Lab(*nodes, seed=3).choose(pod(cpu="1")) for _ in range(3)]
    assert len(set(first)) == 1
    lab = Lab(*nodes, seed=3)
    assert len({lab.choose(pod(cpu="1")) for _ in range(50)}) > 4

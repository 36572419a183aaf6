"""Who owns whom, and what becomes of those who lose an owner. The server's part is in test_integration_garbage."""

from __future__ import annotations

import pytest

from sampan.api.kinds import apps, core
from sampan.api.kinds.kind import Kind
from sampan.api.types import meta_v1
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph


def owner(uid: str, *, block: bool = True, kind: str = "ReplicaSet") -> meta_v1.OwnerReference:
    return meta_v1.OwnerReference(apiVersion="apps/v1", kind=kind, name=uid, uid=uid, blockOwnerDeletion=block)


def thing(
    uid: str, *owners: meta_v1.OwnerReference, deleting: bool = False, finalizers: tuple[str, ...] = ()
) -> object:
    metadata = meta_v1.ObjectMeta(
        name=uid,
        namespace="default",
        uid=uid,
        ownerReferences=owners,
        finalizers=finalizers,
        deletionTimestamp="2027-01-15T08:00:00Z" if deleting else None,
    )
    return PartialObjectMetadata(metadata=metadata)


def see(graph: Graph, *objects: object, kind: Kind = core.POD) -> list[str]:
    return [uid for object in objects for uid in graph.observe(kind, object)]


def test_objects_without_owners_are_not_kept() -> None:
    graph = Graph()
    assert see(graph, thing("a")) == []
    assert graph.nodes == {}


def test_a_dependent_is_looked_at_because_its_owner_may_not_exist() -> None:
    graph = Graph()
    assert see(graph, thing("pod", owner("set"))) == ["pod"]
    assert graph.nodes["set"].virtual
    assert graph.nodes["set"].identity.kind == "ReplicaSet"
    assert set(graph.nodes["set"].dependents) == {"pod"}


def test_an_owner_that_is_seen_is_virtual_no_more() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    see(graph, thing("set"), kind=apps.REPLICA_SET)
    assert not graph.nodes["set"].virtual


def test_dependents_are_looked_at_when_their_owner_is_gone() -> None:
    graph = Graph()
    see(graph, thing("pod-1", owner("set")), thing("pod-2", owner("set")))
    see(graph, thing("set"), kind=apps.REPLICA_SET)
    assert graph.forget("set") == ["pod-1", "pod-2"]
    assert graph.nodes["set"].virtual, "they still name it"
    assert graph.forget("pod-1") == []
    assert graph.forget("pod-2") == []
    assert graph.nodes == {}


def test_foreground_deletion_looks_at_dependents_and_then_at_the_owner() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    deleting = thing("set", deleting=True, finalizers=(FOREGROUND,))
    assert see(graph, deleting, kind=apps.REPLICA_SET) == ["pod", "set"]
    assert graph.nodes["set"].waits_for_dependents
    assert see(graph, deleting, kind=apps.REPLICA_SET) == [], "nothing new"
    assert graph.forget("pod") == ["set"], "the owner waited for it"


def test_a_dependent_that_blocks_no_more_lets_its_owner_go() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    see(graph, thing("set", deleting=True, finalizers=(FOREGROUND,)), kind=apps.REPLICA_SET)
    assert graph.nodes["pod"].blocks("set")
    assert "set" in see(graph, thing("pod", owner("set", block=False)))
    assert not graph.nodes["pod"].blocks("set")


def test_orphaning_looks_at_the_owner() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    assert see(graph, thing("set", deleting=True, finalizers=(ORPHAN,)), kind=apps.REPLICA_SET) == ["set"]
    assert graph.nodes["set"].orphans_dependents


def test_losing_a_reference_leaves_the_owner() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("one"), owner("two")))
    assert see(graph, thing("pod", owner("two"))) == ["pod"]
    assert "one" not in graph.nodes
    see(graph, thing("pod"))
    assert graph.nodes == {}


def test_losing_a_reference_lets_a_waiting_owner_go() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    see(graph, thing("set", deleting=True, finalizers=(FOREGROUND,)), kind=apps.REPLICA_SET)
    assert see(graph, thing("pod")) == ["set"]


def test_a_chain_is_followed_upwards() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    see(graph, thing("set", owner("deployment", kind="Deployment")), kind=apps.REPLICA_SET)
    see(graph, thing("deployment"), kind=apps.DEPLOYMENT)
    assert graph.forget("deployment") == ["set"]
    assert graph.forget("set") == ["pod"]


def test_a_circle_stays_in_the_graph() -> None:
    graph = Graph()
    see(graph, thing("a", owner("b")), thing("b", owner("c")), thing("c", owner("a")))
    assert set(graph.nodes) == {"a", "b", "c"}
    assert graph.forget("a") == ["c"]


@pytest.mark.parametrize("uid", ["never-seen", ""])
def test_forgetting_what_is_not_known_is_nothing(uid: str) -> None:
    assert Graph().forget(uid) == []


def test_an_owner_with_dependents_that_changes_is_not_looked_at() -> None:
    graph = Graph()
    see(graph, thing("pod", owner("set")))
    see(graph, thing("set"), kind=apps.REPLICA_SET)
    assert see(graph, thing("set", finalizers=("example.org/x",)), kind=apps.REPLICA_SET) == []
    assert graph.nodes["set"].finalizers == ("example.org/x",)

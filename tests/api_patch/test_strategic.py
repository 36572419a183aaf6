from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.errors import StatusError
from sampan.api.patch import limits, metadata, strategic, strategic_diff

POD = "core_v1.Pod"
DEPLOYMENT = "apps_v1.Deployment"


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


A, B = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}

APPLIED: list[tuple[str, Any, Any, Any]] = [
    ("item changes by its key", containers(A, B), containers({"name": "b", "image": "b:2"}),
     containers(A, {"name": "b", "image": "b:2"})),
    ("item is added at the end", containers(A), containers(B), containers(A, B)),
    ("item is deleted", containers(A, B), containers({"name": "a", "$patch": "delete"}), containers(B)),
    ("deleting what is not there", containers(A), containers({"name": "x", "$patch": "delete"}), containers(A)),
    ("list is replaced", containers(A, B), containers({"name": "c"}, {"$patch": "replace"}), containers({"name": "c"})),
    ("order is set", containers(A, B),
     {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}, containers(B, A)),
    ("order keeps the server's own in place", containers({"name": "side"}, A),
     {"spec": {"containers": [{"name": "n"}], "$setElementOrder/containers": [{"name": "n"}, {"name": "a"}]}},
     containers({"name": "side"}, {"name": "n"}, A)),
    ("map is replaced", {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "replace", "b": "2"}}},
     {"metadata": {"labels": {"b": "2"}}}),
    ("map is deleted", {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "delete"}}},
     {"metadata": {"labels": {}}}),
    ("map merges", {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "merge", "b": "2"}}},
     {"metadata": {"labels": {"a": "1", "b": "2"}}}),
    ("null removes", {"metadata": {"labels": {"a": "1", "b": "2"}}}, {"metadata": {"labels": {"a": None}}},
     {"metadata": {"labels": {"b": "2"}}}),
    ("primitive list merges", {"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": ["b", "a"]}},
     {"metadata": {"finalizers": ["a", "b"]}}),
    ("primitive list loses", {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, {"metadata": {"finalizers": ["b"]}}),
    ("atomic list is replaced", {"spec": {"tolerations": [{"key": "a"}]}}, {"spec": {"tolerations": [{"key": "b"}]}},
     {"spec": {"tolerations": [{"key": "b"}]}}),
    ("unknown fields are kept", {}, {"other": {"x": [1]}}, {"other": {"x": [1]}}),
    ("type changes", {"spec": {"containers": "x"}}, containers(A), containers(A)),
    ("directives never enter the object", {}, {"spec": {"$setElementOrder/volumes": [], "containers": [
        {"name": "a", "env": [{"name": "x", "$patch": "delete"}, {"name": "y", "value": None}]}]}},
     containers({"name": "a", "env": [{"name": "y"}]})),
    ("ports merge by number", containers({**A, "ports": [{"containerPort": 80}]}),
     containers({"name": "a", "ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 81}]}),
     containers({**A, "ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 81}]})),
]  # fmt: skip


@pytest.mark.parametrize(("why", "document", "patch", "expected"), APPLIED, ids=[c[0] for c in APPLIED])
def test_pod(why: str, document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((document, patch))
    assert strategic.apply(document, patch, POD) == expected
    assert before == (document, patch)


def test_retained_keys() -> None:
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(document, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
    volumes = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    patch = {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]}}
    assert strategic.apply(volumes, patch, POD) == {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}


REFUSED: list[tuple[Any, int, str]] = [
    ([], 400, "invalid JSON document"),
    ({"$patch": "odd"}, 400, "unknown patch type"),
    (containers({"image": "x"}), 422, "does not contain declared merge key: name"),
    (containers({"name": "a", "$patch": "merge"}), 400, "merging lists cannot yet be specified in the patch"),
    (containers({"name": "a", "$patch": "odd"}), 400, "unknown patch type"),
    ({"spec": {"containers": [["x"]]}}, 400, "lists of lists are not supported"),
    ({"spec": {"containers": [A, "x"]}}, 400, "holds objects and other values"),
    ({"spec": {"$setElementOrder/containers": 3}}, 400, "invalid patch format of setElementOrder list"),
    ({"metadata": {"$deleteFromPrimitiveList/finalizers": {}}}, 400, "invalid patch format of primitive list"),
    ({"metadata": {"$retainKeys": ["a"]}}, 400, "invalid patch format of retainKeys"),
    ({"spec": {"volumes": [{"name": "v", "x": 1, "$retainKeys": ["name"]}]}}, 400, "doesn't match retainKeys list"),
    ({"spec": {"containers": [B, A], "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}}, 400,
     "doesn't match $setElementOrder/containers list"),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "code", "message"), REFUSED)
def test_refusals(patch: Any, code: int, message: str) -> None:
    document = {"spec": {"containers": [A], "volumes": [{"name": "v", "emptyDir": {}}]}, "metadata": {}}
    with pytest.raises(StatusError) as caught:
        strategic.apply(document, patch, POD)
    assert caught.value.code == code
    assert message in (caught.value.status.message or "")


def test_too_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(limits.DEPTH + 1):
        deep = {"a": deep}
    with pytest.raises(StatusError) as caught:
        strategic.apply({}, deep, POD)
    assert caught.value.code == 400


def test_types_are_walked() -> None:
    spec = metadata.field(DEPLOYMENT, "spec")
    assert metadata.field(spec.definition, "template").definition == "core_v1.PodTemplateSpec"
    assert metadata.field("core_v1.PodSpec", "containers") == metadata.Field(
        "core_v1.Container", True, False, False, "name"
    )
    assert metadata.field("core_v1.PodSpec", "volumes").retain_keys
    assert metadata.field("core_v1.PodSpec", "nothing") is metadata.PLAIN
    assert metadata.fields("nobody_v1.Thing") == {}
    assert metadata.fields("") == {}


def test_apply_three_ways() -> None:
    original = containers(A, {"name": "gone"}, {"name": "c", "args": ["x"]})
    modified = containers({"name": "new"}, {"name": "a", "image": "a:2"}, {"name": "c"})
    current = containers(
        {"name": "side"}, {**A, "imagePullPolicy": "Always"}, {"name": "gone"}, {"name": "c", "args": ["x"]}
    )
    patch = strategic.create(original, modified, current, POD)
    assert patch["spec"]["$setElementOrder/containers"] == [{"name": "new"}, {"name": "a"}, {"name": "c"}]
    result = strategic.apply(current, patch, POD)
    assert result == containers(
        {"name": "side"}, {"name": "new"}, {"name": "a", "image": "a:2", "imagePullPolicy": "Always"}, {"name": "c"}
    )
    assert strategic.create(modified, modified, result, POD) == {}


def test_apply_retains_keys_and_deletes_from_primitive_lists() -> None:
    original = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    modified = {"spec": {"strategy": {"type": "Recreate"}}}
    patch = strategic.create(original, modified, original, DEPLOYMENT)
    assert patch["spec"]["strategy"]["$retainKeys"] == ["type"]
    assert strategic.apply(original, patch, DEPLOYMENT) == modified
    original = {"metadata": {"finalizers": ["a", "b"]}}
    modified = {"metadata": {"finalizers": ["c", "b"]}}
    current = {"metadata": {"finalizers": ["a", "b", "theirs"]}}
    result = strategic.apply(current, strategic.create(original, modified, current, DEPLOYMENT), DEPLOYMENT)
    assert sorted(result["metadata"]["finalizers"]) == ["b", "c", "theirs"]


NAMES = st.sampled_from("abc")
ENV = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"value": NAMES}), max_size=3, unique_by=lambda e: e["name"]
)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"image": NAMES, "env": ENV, "args": st.lists(NAMES, max_size=2)}),
    max_size=3,
    unique_by=lambda c: c["name"],
)
PODS = st.fixed_dictionaries(
    {"spec": st.fixed_dictionaries({"containers": CONTAINERS}, optional={"nodeName": NAMES})},
    optional={"metadata": st.fixed_dictionaries({}, optional={
        "labels": st.dictionaries(NAMES, NAMES, max_size=2),
        "finalizers": st.lists(NAMES, max_size=3, unique=True)})},
)  # fmt: skip


@given(PODS, PODS)
def test_the_difference_leads_to_the_other(current: Any, modified: Any) -> None:
    assert strategic.apply(current, strategic_diff.difference(current, modified, POD), POD) == modified


@given(PODS, PODS, PODS)
def test_applying_again_changes_nothing(original: Any, modified: Any, current: Any) -> None:
    patch = strategic.create(original, modified, current, POD)
    result = strategic.apply(current, patch, POD)
    assert strategic.apply(result, strategic.create(modified, modified, result, POD), POD) == result


WILD = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | NAMES,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "spec", "containers", "metadata", "finalizers", "$patch", "$retainKeys", "env",
                         "volumes",
                         "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers"]),
        inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(WILD, WILD)
def test_any_patch_applies_or_is_refused(document: Any, patch: Any) -> None:
    try:
        strategic.apply(document if isinstance(document, dict) else {}, patch, POD)
    except StatusError as error:
        assert error.code in (400, 422)

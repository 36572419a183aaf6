from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.errors import StatusError
from sampan.api.patch import json, limits

DOCUMENT = {"a": {"b": [1, 2, 3]}, "c/d": 1, "e~f": 2, "": 3}


def op(name: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **rest}


APPLIED = [
    ([op("add", "/a/b/-", value=4)], {**DOCUMENT, "a": {"b": [1, 2, 3, 4]}}),
    ([op("add", "/a/b/0", value=0)], {**DOCUMENT, "a": {"b": [0, 1, 2, 3]}}),
    ([op("add", "/a/b/3", value=4)], {**DOCUMENT, "a": {"b": [1, 2, 3, 4]}}),
    ([op("remove", "/a/b/1")], {**DOCUMENT, "a": {"b": [1, 3]}}),
    ([op("remove", "/a/b/-1")], {**DOCUMENT, "a": {"b": [1, 2]}}),
    ([op("replace", "/c~1d", value=None)], {**DOCUMENT, "c/d": None}),
    ([op("replace", "/e~0f", value={})], {**DOCUMENT, "e~f": {}}),
    ([op("replace", "", value={"x": 1})], {"x": 1}),
    ([{"op": "move", "from": "/a/b/0", "path": "/a/b/2"}], {**DOCUMENT, "a": {"b": [2, 3, 1]}}),
    ([{"op": "copy", "from": "/a", "path": "/z"}], {**DOCUMENT, "z": {"b": [1, 2, 3]}}),
    ([op("test", "/a", value={"b": [1, 2, 3]}), op("remove", "/a")], {k: v for k, v in DOCUMENT.items() if k != "a"}),
    ([op("test", "/nowhere", value=None)], DOCUMENT),
    ([], DOCUMENT),
]


@pytest.mark.parametrize(("operations", "expected"), APPLIED)
def test_operations(operations: list[Any], expected: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert json.apply(DOCUMENT, operations) == expected
    assert before == DOCUMENT


UNFIT = [
    op("remove", "/x"),
    op("replace", "/x", value=1),
    op("add", "/x/y", value=1),
    op("add", "/a/b/5", value=1),
    op("add", "/a/b/01", value=1),
    op("add", "/a/b/x", value=1),
    op("add", "no-slash", value=1),
    op("add", "/a"),
    op("test", "/c~1d", value=True),
    op("test", "/a/b", value=[1, 2]),
    op("jump", "/a"),
    {"path": "/a"},
    {"op": "move", "from": "/a", "path": "/a/b"},
    {"op": "copy", "from": "/x", "path": "/y"},
    {"op": ["add"], "path": "/a"},
]


@pytest.mark.parametrize("operation", UNFIT)
def test_what_does_not_fit_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as caught:
        json.apply(DOCUMENT, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.status.message == "the server rejected our request due to an error in our request"


@pytest.mark.parametrize("operations", [{}, "x", [1], None, [[]]])
def test_malformed(operations: Any) -> None:
    with pytest.raises(StatusError) as caught:
        json.apply(DOCUMENT, operations)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_too_many_operations() -> None:
    json.apply({"a": []}, [op("add", "/a/-", value=1)] * limits.OPERATIONS)
    with pytest.raises(StatusError) as caught:
        json.apply({"a": []}, [op("add", "/a/-", value=1)] * (limits.OPERATIONS + 1))
    assert (caught.value.code, caught.value.reason) == (413, "RequestEntityTooLarge")
    assert "The allowed maximum operations in a JSON patch is 10000, got 10001" in (caught.value.status.message or "")


def test_copies_that_grow_without_end() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 100
    with pytest.raises(StatusError) as caught:
        json.apply({"a": ["x"]}, doubling)
    assert caught.value.code in (400, 413)


def test_too_deep() -> None:
    deep: Any = 1
    for _ in range(limits.DEPTH + 1):
        deep = [deep]
    for operations in ([op("add", "/x", value=deep)], [op("add", "/x" * at, value={}) for at in range(1, 300)]):
        with pytest.raises(StatusError) as caught:
            json.apply({}, operations)
        assert caught.value.code == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "-"]), inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "-", "-1", ""]), max_size=4).map(
    lambda p: "".join(f"/{k}" for k in p)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"from": POINTERS, "value": JSON},
)


@given(JSON, st.lists(OPERATIONS, max_size=6))
def test_any_patch_applies_or_is_refused_and_leaves_its_arguments(document: Any, operations: list[Any]) -> None:
    before = copy.deepcopy((document, operations))
    try:
        json.apply(document, operations)
    except StatusError as error:
        assert error.code in (400, 413, 422)
    assert before == (document, operations)

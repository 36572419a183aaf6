from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.errors import StatusError
from sampan.api.patch import limits, merge

# RFC 7386, appendix A, where document and patch are objects.
EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), EXAMPLES)
def test_examples_of_the_rfc(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((document, patch))
    assert merge.apply(document, patch) == expected
    assert before == (document, patch)


@pytest.mark.parametrize("patch", [[], "x", None, 3])
def test_a_patch_that_is_no_object(patch: Any) -> None:
    with pytest.raises(StatusError) as caught:
        merge.apply({}, patch)
    assert caught.value.code == 400


def test_too_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(limits.DEPTH + 1):
        deep = {"a": deep}
    with pytest.raises(StatusError) as caught:
        merge.apply({}, deep)
    assert caught.value.code == 400


def test_three_ways() -> None:
    original = {"spec": {"a": 1, "b": {"x": 1, "y": 2}, "gone": 1}}
    modified = {"spec": {"a": 2, "b": {"x": 1}}}
    current = {"spec": {"a": 1, "b": {"x": 1, "y": 2, "z": 3}, "gone": 1, "theirs": 1}}
    patch = merge.create(original, modified, current)
    assert patch == {"spec": {"a": 2, "b": {"y": None}, "gone": None}}
    assert merge.apply(current, patch) == {"spec": {"a": 2, "b": {"x": 1, "z": 3}, "theirs": 1}}
    assert merge.create(modified, modified, merge.apply(current, patch)) == {}


VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text(max_size=2) | st.lists(st.integers(0, 3), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_the_difference_leads_to_the_other(current: Any, modified: Any) -> None:
    assert merge.apply(current, merge.difference(current, modified)) == modified


@given(OBJECTS, OBJECTS, OBJECTS)
def test_three_ways_reach_all_that_was_wanted(original: Any, modified: Any, current: Any) -> None:
    result = merge.apply(current, merge.create(original, modified, current))
    assert merge.create(modified, modified, result) == {}

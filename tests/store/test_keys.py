from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sampan.store import keys

TEXT = st.text(alphabet="ab/é\U0001f600", max_size=4)


@example([(True, ""), (True, "b"), (True, "ab")], "b", "aa", 0, 2)  # a range that ends before it begins
@given(st.lists(st.tuples(st.booleans(), TEXT), max_size=200), TEXT, TEXT, st.integers(0, 5), st.integers(1, 4))
def test_agrees_with_a_sorted_list(steps, low, prefix, limit, bucket) -> None:
    before, keys.BUCKET = keys.BUCKET, bucket
    try:
        ours, model = keys.SortedKeys(), set()
        for add, key in steps:
            if add and key not in model:
                ours.add(key)
                model.add(key)
            elif not add and key in model:
                ours.remove(key)
                model.discard(key)
    finally:
        keys.BUCKET = before
    high = keys.upper_bound(prefix)
    expected = sorted(key for key in model if low <= key < high)
    assert ours.between(low, high) == expected
    assert ours.between(low, high, limit) == (expected[:limit] if limit else expected)
    assert ours.count(low, high) == len(expected)
    assert len(ours) == len(model)
    assert keys.SortedKeys(model).between("", keys.upper_bound("")) == sorted(model)


@given(TEXT, TEXT)
def test_the_upper_bound_is_above_every_key_with_the_prefix(prefix: str, rest: str) -> None:
    assert prefix <= prefix + rest < keys.upper_bound(prefix)

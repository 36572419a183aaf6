from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.node.expansion import expand, expand_all, expand_strictly

SCOPE = {"A": "one", "B": "two", "EMPTY": "", "DOLLAR": "$(A)"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "one"),
        ("x$(A)-$(B)y", "xone-twoy"),
        ("$(EMPTY)", ""),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$$$$(A)", "$$(A)"),
        ("$(DOLLAR)", "$(A)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A$(B)", "$(A$(B)"),
        ("$()", "$()"),
        ("price: 5$", "price: 5$"),
        ("$$", "$"),
    ],
)
def test_names_become_values(text: str, expected: str) -> None:
    assert expand(text, SCOPE) == expected


def test_the_first_scope_wins() -> None:
    assert expand("$(A)$(C)", {"A": "near"}, {"A": "far", "C": "c"}) == "nearc"


def test_strictly_every_name_is_known() -> None:
    assert expand_strictly("$(A)/$$(X)", SCOPE) == "one/$(X)"
    with pytest.raises(KeyError, match="X"):
        expand_strictly("$(A)/$(X)", SCOPE)


def test_no_command_stays_the_images_own() -> None:
    assert expand_all((), SCOPE) is None
    assert expand_all(("run", "$(A)"), SCOPE) == ("run", "one")


@given(st.text(alphabet="$(AB "))
def test_without_names_only_double_dollars_change(text: str) -> None:
    assert expand(text) == text.replace("$$", "$")

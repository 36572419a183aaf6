from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import quantity

CANONICAL = {
    "1": "1", "1000m": "1", "0.5": "500m", "1.5Gi": "1536Mi", "1024Mi": "1Gi", "1e3": "1e3", "12e6": "12e6",
    "100e-1": "10", "16Ei": "9223372036854775807", "0.1n": "1n", "-1.5": "-1500m", "1023Ki": "1023Ki",
    "0.5Ki": "512", "1.1Ki": "1126400m", "500000u": "500m", ".5": "500m", "5.": "5", "0Ki": "0", "+7": "7",
    "123456789k": "123456789k", "1E": "1E", "1E3": "1e3", "0": "0", "-0": "0", "1000E": "1000E", "-0.1n": "-1n",
    "0.001": "1m", "1000000": "1M", "1048576Ki": "1Gi", "2048": "2048", "1e-9": "1e-9", "": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [(k, v) for k, v in CANONICAL.items() if v is not None])
def test_canonical_form(text: str, expected: str) -> None:
    assert quantity.canonical(text) == expected
    assert quantity.canonical(expected) == expected


@pytest.mark.parametrize("text", ["", "x", "1.1.M", "1 ", "+-1", "e3", "m", "1" * 200, "\u0661", "1\n", "--1", "0x1"])
def test_wrong_form(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.read(text)


@pytest.mark.parametrize("text", ["1i", "1e", "0.1mi", "1Kk", "1ki", "1mm", "1ee3"])
def test_wrong_suffix(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse quantity's suffix"):
        quantity.read(text)


@pytest.mark.parametrize("text", ["1e99999999", "1e-99999999"])
def test_exponents_that_only_cost_memory(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse numeric part of quantity"):
        quantity.read(text)


def test_numbers_of_documents() -> None:
    assert [quantity.canonical(n) for n in (3, 0.1, 1.5, -2, 0)] == ["3", "100m", "1500m", "-2", "0"]
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.canonical(True)
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.canonical(float("nan"))


def test_units_round_away_from_zero() -> None:
    assert quantity.milli("0.0001") == 1
    assert quantity.value("1500m") == 2
    assert quantity.value("-1500m") == -2
    assert quantity.milli("2") == 2000
    assert quantity.value("1Gi") == 2**30
    assert quantity.parse("1.25") == Decimal("1.25")
    assert quantity.round_up("1n", -3) == "1m"
    assert quantity.round_up("1100m", 0) == "2"


def test_sums_keep_the_style_of_the_first() -> None:
    assert quantity.add("0", "1Gi", "512Mi") == "1536Mi"
    assert quantity.add() == "0"
    assert quantity.subtract("1Gi", "512Mi") == "512Mi"
    assert quantity.subtract("100m", "200m") == "-100m"


@given(st.integers(-(10**20), 10**20), st.sampled_from(["", "n", "u", "m", "k", "M", "Ki", "Mi", "e3", "e-3"]))
def test_canonical_text_means_the_same(number: int, suffix: str) -> None:
    amount = quantity.read(f"{number}{suffix}")
    again = quantity.read(quantity.write(amount))
    assert again.nano == amount.nano
    assert quantity.write(again) == quantity.write(amount)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        quantity.write(quantity.read(text))
    except ValueError as error:
        assert str(error) in (quantity.FORMAT, quantity.NUMERIC, quantity.SUFFIX)

"""Quantities of resources (`500m`, `1Gi`, `12e6`), exact, in the canonical form of resource.Quantity.

A quantity is kept as a whole number of nano units: what is finer is rounded away from zero, as upstream does.
Source: apimachinery's resource.Quantity documentation.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple

Style = Literal["decimal", "binary", "exponent"]

PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
FORMAT = f"quantities must match the regular expression '{PATTERN}'"
NUMERIC = "unable to parse numeric part of quantity"
SUFFIX = "unable to parse quantity's suffix"

_NANO = 10**9
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY_NAMES = ("", *_BINARY)
_BINARY_MAX = (2**63 - 1) * _NANO
_TEXT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)\Z", re.ASCII)
# Longer texts and larger exponents have no use and would only cost memory.
_LONGEST = 128
_LARGEST_EXPONENT = 128


class Quantity(NamedTuple):
    """An exact amount: `nano` units of 10^-9, written in `style`."""

    nano: int
    style: Style


@lru_cache(maxsize=8192)
def read(text: str) -> Quantity:
    """The amount that `text` names. Raises ValueError with upstream's wording."""
    match = _TEXT.match(text) if len(text) <= _LONGEST else None
    if match is None or not (match[2] or match[3] or "." in text):
        raise ValueError(FORMAT)
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    digits = int(whole + fraction or "0")
    if suffix in _BINARY:
        nano = min(_up(digits * _NANO << _BINARY[suffix], 10 ** len(fraction)), _BINARY_MAX)
        return Quantity(-nano if sign == "-" else nano, "binary")
    exponent, style = _exponent(suffix)
    shift = exponent - len(fraction) + 9
    nano = digits * 10**shift if shift >= 0 else _up(digits, 10**-shift)
    return Quantity(-nano if sign == "-" else nano, style)


def _exponent(suffix: str) -> tuple[int, Style]:
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], "decimal"
    try:
        if suffix[0] not in "eE":
            raise ValueError(suffix)
        exponent = int(suffix[1:])
    except ValueError:
        raise ValueError(SUFFIX) from None
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ValueError(NUMERIC)
    return exponent, "exponent"


def _up(amount: int, unit: int) -> int:
    """`amount / unit`, rounded away from zero."""
    return -(-amount // unit) if amount >= 0 else amount // unit


def write(quantity: Quantity) -> str:
    """The canonical text: no fraction, the largest suffix that keeps every digit."""
    nano, style = quantity
    if nano == 0:
        return "0"
    if style == "binary" and nano % _NANO == 0 and abs(nano) >= 1024 * _NANO:
        amount, power = nano // _NANO, 0
        while power < 6 and amount % 1024 == 0:
            amount //= 1024
            power += 1
        return f"{amount}{_BINARY_NAMES[power]}"
    amount, exponent = nano, -9
    while amount % 1000 == 0 and (style == "exponent" or exponent < 18):
        amount //= 1000
        exponent += 3
    if style == "exponent":
        return f"{amount}e{exponent}" if exponent else str(amount)
    return f"{amount}{_DECIMAL_NAMES[exponent]}"


@lru_cache(maxsize=8192)
def _canonical(text: str) -> str:
    return write(read(text))


def canonical(value: str | int | float) -> str:
    """The canonical text of a quantity as it stands in a document. Raises ValueError with upstream's wording."""
    if isinstance(value, bool):
        raise ValueError(FORMAT)
    return _canonical(value.strip() if isinstance(value, str) else repr(value))


def parse(text: str) -> Decimal:
    """The exact amount."""
    return Decimal(read(text).nano).scaleb(-9)


def nano(text: str) -> int:
    """The amount in units of 10^-9, exact and fit for comparing and adding."""
    return read(text).nano


@lru_cache(maxsize=8192)
def milli(text: str) -> int:
    """The amount in thousandths, rounded away from zero: CPU time in millicores."""
    return _up(read(text).nano, 10**6)


@lru_cache(maxsize=8192)
def value(text: str) -> int:
    """The amount in whole units, rounded away from zero: bytes, counts."""
    return _up(read(text).nano, _NANO)


def add(*texts: str) -> str:
    """The sum in the style of the first that is not zero, canonical."""
    amounts = [read(text) for text in texts]
    style: Style = next((a.style for a in amounts if a.nano), "decimal")
    return write(Quantity(sum(a.nano for a in amounts), style))


def subtract(left: str, right: str) -> str:
    """`left - right` in the style of `left`, canonical."""
    minuend = read(left)
    return write(Quantity(minuend.nano - read(right).nano, minuend.style))


def round_up(text: str, exponent: int) -> str:
    """Rounded away from zero to a multiple of 10^exponent (-3 for millis), canonical."""
    amount = read(text)
    unit = 10 ** (exponent + 9)
    return write(Quantity(_up(amount.nano, unit) * unit, amount.style))

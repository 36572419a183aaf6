"""Careful steps through documents of unchecked shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def section(document: Document, key: str) -> Document:
    """The object at `key`, made when absent; a detached one when something else stands there."""
    value = document.get(key)
    if value is None:
        value = document[key] = {}
    return value if value.__class__ is dict else {}


def given(document: Document, key: str) -> Document | None:
    """The object at `key`, or None when there is none."""
    value = document.get(key)
    return value if value.__class__ is dict else None


def each(document: Document, key: str) -> Iterator[Document]:
    """The objects in the list at `key`."""
    value = document.get(key)
    if value.__class__ is list:
        for item in value:
            if item.__class__ is dict:
                yield item


def fill(document: Document, key: str, value: Any) -> None:
    """Set what is absent or the empty string: Go's zero value of strings and pointers."""
    present = document.get(key)
    if present is None or present == "":
        document[key] = value


def fill_number(document: Document, key: str, value: int) -> None:
    """Set what is absent or 0: Go's zero value of numbers held by value."""
    present = document.get(key)
    if present is None or (present == 0 and present is not False):
        document[key] = value

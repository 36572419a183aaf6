"""Test reports in JUnit's XML form. Pure. They come from whoever writes the tests: entities are refused."""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

NAMED_LIMIT = 3
"""Failed tests that are named."""


class Report(NamedTuple):
    tests: int = 0
    failed: int = 0
    skipped: int = 0
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.failed} failed" if self.failed else "", f"{self.skipped} skipped" if self.skipped else ""]
        text = ", ".join([f"{self.tests} tests", *filter(None, parts)])
        if not self.names:
            return text
        more = f" and {self.failed - len(self.names)} more" if self.failed > len(self.names) else ""
        return f"{text}: {', '.join(self.names)}{more}"


class Unreadable(ValueError):
    """Why a file is no report."""


def read(data: bytes) -> Report:
    """Raises Unreadable."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = reader.entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unreadable(f"it is no XML: {error}") from error
    if not reader.suites:
        raise Unreadable("it has no <testsuite>")
    return Report(reader.tests, reader.failed, reader.skipped, tuple(reader.names[:NAMED_LIMIT]))


def together(reports: list[Report]) -> Report:
    names = tuple(name for report in reports for name in report.names)[:NAMED_LIMIT]
    return Report(
        sum(each.tests for each in reports),
        sum(each.failed for each in reports),
        sum(each.skipped for each in reports),
        names,
    )


class _Reader:
    def __init__(self) -> None:
        self.suites = self.tests = self.failed = self.skipped = 0
        self.names: list[str] = []
        self._case = ""
        self._bad = self._left = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in ("testsuite", "testsuites"):
            self.suites += 1
        elif name == "testcase":
            self._case = ".".join(filter(None, (attributes.get("classname"), attributes.get("name"))))
            self._bad = self._left = False
            self.tests += 1
        elif name in ("failure", "error") and self._case:
            self._bad = True
        elif name == "skipped" and self._case:
            self._left = True

    def end(self, name: str) -> None:
        if name != "testcase":
            return
        if self._bad:
            self.failed += 1
            if len(self.names) < NAMED_LIMIT:
                self.names.append(self._case[:200])
        self.skipped += self._left and not self._bad
        self._case = ""

    def entity(self, *_: object) -> None:
        raise Unreadable("it declares entities")

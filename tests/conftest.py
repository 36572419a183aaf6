from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases each time, without a limit of time; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

BEHAVIOURS = Path(__file__).parent / "conformance" / "behaviours-v1.37.txt"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--covered", action="store_true", help="print how many conformance behaviours are covered")
    parser.addoption("--update", action="store_true", help="rewrite the golden files with what the code says now")


def behaviours_of(items: list[pytest.Item]) -> dict[str, str]:
    """Behaviour -> a test that covers it."""
    return {name: item.nodeid for item in items for mark in item.iter_markers("covers") for name in mark.args}


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    known = set(BEHAVIOURS.read_text().splitlines())
    wrong = {name: test for name, test in behaviours_of(items).items() if name not in known}
    if wrong:
        raise pytest.UsageError("\n".join(f"{test}: no such behaviour: {name}" for name, test in wrong.items()))


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("--covered"):
        known = BEHAVIOURS.read_text().splitlines()
        found = behaviours_of(session.items)
        for name in known:
            print(f"{'covered    ' if name in found else 'not covered'} {name}")
        print(f"{len(found)} of {len(known)} conformance behaviours are covered")

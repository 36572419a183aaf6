from __future__ import annotations

import argparse
from typing import Any

import pytest

from sampan.cli.kubectl.verbs import top
from tests.cli.conftest import Run

PODS = [
    {
        "metadata": {"name": "b", "namespace": "default"},
        "containers": [
            {"name": "app", "usage": {"cpu": "1500000n", "memory": "2048Ki"}},
            {"name": "side", "usage": {"cpu": "10m", "memory": "1Mi"}},
        ],
    },
    {
        "metadata": {"name": "a", "namespace": "default"},
        "containers": [{"name": "app", "usage": {"cpu": "1m", "memory": "9Mi"}}],
    },
]
NODE = {"metadata": {"name": "n1"}, "usage": {"cpu": "500m", "memory": "1Gi"}}


class FakeSession:
    namespace = "default"

    async def read(self, path: str, query: Any = None) -> dict[str, Any]:
        if path == "/api/v1/nodes":
            node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}}
            return {"items": [node]}
        return {"items": [NODE] if path.endswith("/nodes") else PODS}


def options(**given: Any) -> argparse.Namespace:
    plain = {"selector": "", "field_selector": "", "all_namespaces": False, "containers": False, "sort_by": "",
             "sum": False, "no_headers": False, "show_capacity": False}  # fmt: skip
    return argparse.Namespace(**{**plain, **given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [["NAME", "CPU(cores)", "MEMORY(bytes)"], ["a", "1m", "9Mi"], ["b", "12m", "3Mi"]]),
        ({"sort_by": "cpu", "no_headers": True}, [["b", "12m", "3Mi"], ["a", "1m", "9Mi"]]),
        (
            {"containers": True, "no_headers": True},
            [["a", "app", "1m", "9Mi"], ["b", "app", "2m", "2Mi"], ["b", "side", "10m", "1Mi"]],
        ),
        (
            {"all_namespaces": True, "sum": True, "no_headers": True},
            [
                ["default", "a", "1m", "9Mi"],
                ["default", "b", "12m", "3Mi"],
                ["", "", "________", "________"],
                ["", "", "13m", "12Mi"],
            ],
        ),
    ],
)
async def test_pods(given: dict[str, Any], expected: list[list[str]]) -> None:
    assert await top._pods(FakeSession(), options(**given), "") == expected  # type: ignore[arg-type]


async def test_nodes() -> None:
    found = await top._nodes(FakeSession(), options(), "")  # type: ignore[arg-type]
    assert found[1:] == [["n1", "500m", "25%", "1024Mi", "25%"]]
    found = await top._nodes(FakeSession(), options(show_capacity=True, no_headers=True), "")  # type: ignore[arg-type]
    assert found == [["n1", "500m", "<unknown>", "1024Mi", "<unknown>"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("top",), "say what to look at"),
        (("top", "things"), "say what to look at"),
        (("top", "pods", "--sort-by=size"), "--sort-by accepts only cpu or memory"),
        (("top", "pods", "a", "-l", "b=c"), "only one of NAME or selector"),
        (("top", "nodes"), "this API server has no way to it"),
    ],
)
def test_what_cannot_be_told(sampan: Run, words: tuple[str, ...], message: str) -> None:
    said = sampan(*words)
    assert said.code == 1
    assert message in said.err

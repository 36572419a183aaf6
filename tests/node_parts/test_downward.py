from __future__ import annotations

import pytest

from sampan.api.types import core_v1
from sampan.node import downward
from sampan.node.downward import Facts, UnknownField
from tests.node_parts.pods import pod


def test_entries_are_sorted_lines_with_quoted_values() -> None:
    assert downward.entries_text({"b": "two", "a": 'say "hi"\n'}) == 'a="say \\"hi\\"\\n"\nb="two"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ("tab\tback\\", '"tab\\tback\\\\"'),
        ("\x01\x7f", '"\\x01\\x7f"'),
        ("grün", '"grün"'),
        ("\u200b", '"\\u200b"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("", '""'),
    ],
)
def test_values_are_quoted_as_go_does(text: str, expected: str) -> None:
    assert downward.quoted(text) == expected


def test_a_limit_falls_back_to_the_pod_and_then_to_the_node() -> None:
    facts = Facts(allocatable={"cpu": "3500m", "memory": "4294967296"})
    limits = core_v1.ResourceFieldSelector(resource="limits.cpu", divisor="1m")
    one = pod("containers: [{name: c, image: i}]")
    assert downward.resource_value(one, limits, "c", facts) == "3500"
    whole = pod("resources: {limits: {cpu: '2'}}\ncontainers: [{name: c, image: i}]")
    assert downward.resource_value(whole, limits, "c", facts) == "2000"


def test_an_unknown_container_is_an_error() -> None:
    reference = core_v1.ResourceFieldSelector(containerName="d", resource="limits.cpu")
    with pytest.raises(UnknownField, match="container d not found"):
        downward.resource_value(pod("containers: [{name: c, image: i}]"), reference, "", Facts())


def test_init_containers_may_be_named() -> None:
    one = pod(
        """
        initContainers: [{name: setup, image: i, resources: {limits: {memory: 64Mi}}}]
        containers: [{name: c, image: i}]
        """
    )
    reference = core_v1.ResourceFieldSelector(containerName="setup", resource="limits.memory")
    assert downward.resource_value(one, reference, "c", Facts()) == str(64 << 20)

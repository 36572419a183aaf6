"""Which UDP flows must begin anew."""

from __future__ import annotations

import ipaddress

import pytest

from sampan.network.proxy import flows
from sampan.network.proxy.flows import Change
from sampan.network.proxy.ruleset import Address

PODS = ipaddress.IPv4Network("10.244.0.0/16")
SERVICE, NODE_PORT = ("10.96.0.50", 53), ("", 30053)
ONE, TWO = ("10.244.0.2", 5353), ("10.244.0.3", 5353)
OUTSIDE = ("192.0.2.9", 5353)


def targets(*addresses: Address) -> frozenset[Address]:
    return frozenset(addresses)


def test_only_frontends_that_lost_somebody_or_have_their_first_change() -> None:
    both = targets(ONE, TWO)
    assert flows.changes({SERVICE: both}, {SERVICE: both}) == {}
    assert flows.changes({SERVICE: targets(ONE)}, {SERVICE: both}) == {}
    assert flows.changes({SERVICE: both}, {SERVICE: targets(ONE)}) == {SERVICE: Change(both, targets(ONE))}
    assert flows.changes({SERVICE: both}, {}) == {SERVICE: Change(both, flows.NONE)}
    assert flows.changes({}, {SERVICE: both}) == {SERVICE: Change(flows.NONE, both)}
    assert flows.changes({}, {SERVICE: flows.NONE}) == {}


@pytest.mark.parametrize(
    ("destination", "answers", "expected"),
    [
        (SERVICE, ONE, True),
        (SERVICE, TWO, False),
        (SERVICE, SERVICE, True),
        (("10.96.0.51", 53), ONE, False),
        (("192.0.2.2", 30053), ONE, True),
        (("192.0.2.2", 30053), TWO, False),
        (("192.0.2.2", 30053), ("192.0.2.2", 30053), True),
        (("192.0.2.2", 30053), ("10.244.0.99", 1), True),
        (("192.0.2.2", 30053), OUTSIDE, False),
        (("192.0.2.2", 30054), ONE, False),
    ],
)
def test_outdated(destination: Address, answers: Address, expected: bool) -> None:
    change = Change(targets(ONE), targets(TWO))
    assert flows.outdated({SERVICE: change, NODE_PORT: change}, PODS, destination, answers) == expected


def test_an_endpoint_outside_of_the_pod_range_is_known_by_name() -> None:
    changed = {NODE_PORT: Change(targets(OUTSIDE), targets(TWO))}
    assert flows.outdated(changed, PODS, ("192.0.2.2", 30053), OUTSIDE)

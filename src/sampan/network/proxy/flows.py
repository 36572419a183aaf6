"""Which UDP flows must begin anew when frontends change. Pure.

The kernel translates a flow as its first packet was, and UDP has no end: a client that keeps its port would talk
to an endpoint that is gone for as long as it goes on. TCP connections go on until their ends close them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple

from sampan.network.proxy.ruleset import Address, Flows

NONE: frozenset[Address] = frozenset()


class Change(NamedTuple):
    was: frozenset[Address]
    now: frozenset[Address]


def changes(old: Flows, new: Flows) -> dict[Address, Change]:
    """Frontends that some flows may have to leave: an endpoint is gone, or the first one has come."""
    found = {}
    for frontend in old.keys() | new.keys():
        was, now = old.get(frontend, NONE), new.get(frontend, NONE)
        if was - now or (now and not was):
            found[frontend] = Change(was, now)
    return found


def outdated(
    changed: Mapping[Address, Change], pods: ipaddress.IPv4Network, destination: Address, answers: Address
) -> bool:
    """Whether a flow to `destination` whose answers come from `answers` leads to where it must not any more."""
    change = changed.get(destination)
    if change is not None:
        return answers not in change.now
    change = changed.get(("", destination[1]))
    if change is None or answers in change.now:
        return False
    # A node port is on all of the node's addresses; the same number elsewhere in the world is none of ours.
    return answers in change.was or answers == destination or ipaddress.IPv4Address(answers[0]) in pods

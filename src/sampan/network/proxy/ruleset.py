"""A ruleset of nftables as values: what compute makes, render writes out, and apply compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Elements = dict[str, str]
"""Key to verdict: `10.96.0.1 . tcp . 443` to `goto svc-...`."""

MAPS = ("services", "node-ports", "dead-services", "dead-node-ports")
"""Frontends with a chain that translates, and those that answer `reject` or `drop`."""

Address = tuple[str, int]
"""An address and a port; of a node port ("", number), for it is on every address of the node."""

Flows = Mapping[Address, frozenset[Address]]
"""UDP frontends with where they lead."""


class Health(NamedTuple):
    """What a load balancer is told about a service: how many ready endpoints this node has of it."""

    namespace: str
    name: str
    endpoints: int


@dataclass(slots=True)
class Ruleset:
    """Parts of one service or of all: chains (rules by name), affinity sets (seconds by name), maps, hairpins.

    `flows` are the UDP frontends, `health` is what is answered on the health check node ports.
    """

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    maps: dict[str, Elements] = field(default_factory=lambda: {name: {} for name in MAPS})
    hairpins: set[str] = field(default_factory=set)
    flows: dict[Address, frozenset[Address]] = field(default_factory=dict)
    health: dict[int, Health] = field(default_factory=dict)


def merge(parts: Iterable[Ruleset]) -> Ruleset:
    """All parts as one. A frontend that two services claim (an external IP) belongs to the first."""
    whole = Ruleset()
    for part in parts:
        whole.chains.update(part.chains)
        whole.sets.update(part.sets)
        whole.hairpins |= part.hairpins
        for name, elements in part.maps.items():
            into = whole.maps[name]
            for key, verdict in elements.items():
                into.setdefault(key, verdict)
        for frontend, targets in part.flows.items():
            whole.flows.setdefault(frontend, targets)
        for port, health in part.health.items():
            whole.health.setdefault(port, health)
    for alive, dead in (("services", "dead-services"), ("node-ports", "dead-node-ports")):
        for key in whole.maps[alive].keys() & whole.maps[dead].keys():
            del whole.maps[dead][key]
    return whole


def changed(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Keys to remove (gone or other) and to add (new or other), in order."""
    remove = sorted(key for key, value in old.items() if key not in new or new[key] != value)
    add = sorted(key for key, value in new.items() if key not in old or old[key] != value)
    return remove, add

"""A ruleset of nftables as values: what compute makes, render writes out, and apply compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Elements = dict[str, str]
"""Key to verdict: `10.96.0.1 . tcp . 443` to `goto svc-...`."""

MAPS = ("services", "node-ports", "dead-services", "dead-node-ports")
"""Frontends with a chain that translates, and those that answer `reject` or `drop`."""


@dataclass(slots=True)
class Ruleset:
    """Parts of one service or of all: chains (rules by name), affinity sets (seconds by name), maps, hairpins.

    `flows` are UDP frontends with where they lead: ("10.96.0.10", 53) or ("", node port) to (address, port) pairs.
    """

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    maps: dict[str, Elements] = field(default_factory=lambda: {name: {} for name in MAPS})
    hairpins: set[str] = field(default_factory=set)
    flows: dict[tuple[str, int], frozenset[tuple[str, int]]] = field(default_factory=dict)


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
    for alive, dead in (("services", "dead-services"), ("node-ports", "dead-node-ports")):
        for key in whole.maps[alive].keys() & whole.maps[dead].keys():
            del whole.maps[dead][key]
    return whole


def changed(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Keys to remove (gone or other) and to add (new or other), in order."""
    remove = sorted(key for key, value in old.items() if key not in new or new[key] != value)
    add = sorted(key for key, value in new.items() if key not in old or old[key] != value)
    return remove, add

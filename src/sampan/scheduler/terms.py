"""Which pods a constraint speaks of: a selector, in certain namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sampan.api import selectors
from sampan.api.selectors import Selector
from sampan.api.types import core_v1, meta_v1

NamespaceLabels = Callable[[str], Mapping[str, str]]


class Peers(NamedTuple):
    """The pods with labels that `selector` selects, in `namespaces` and those that `namespace_selector` selects."""

    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None = None

    def include(self, namespace: str, labels: Mapping[str, str], namespace_labels: NamespaceLabels) -> bool:
        if namespace not in self.namespaces:
            wider = self.namespace_selector
            if wider is None or not wider.matches(namespace_labels(namespace)):
                return False
        return self.selector.matches(labels)


class Term(NamedTuple):
    """One term of pod affinity: `peers` in the same domain of the node label `key`."""

    peers: Peers
    key: str


def selector(
    struct: meta_v1.LabelSelector | None,
    labels: Mapping[str, str],
    same: Iterable[str] = (),
    other: Iterable[str] = (),
) -> Selector:
    """The selector, narrowed to the pod's own values of the labels in `same` and to others of those in `other`."""
    wanted = selectors.label_selector(struct)
    if wanted.nothing:
        return wanted
    more = [selectors.requirement(key, "in", (labels[key],)) for key in same if key in labels]
    more += [selectors.requirement(key, "notin", (labels[key],)) for key in other if key in labels]
    return Selector({*wanted.requirements, *more}) if more else wanted


def term(source: core_v1.PodAffinityTerm, namespace: str, labels: Mapping[str, str]) -> Term:
    """The term as the pod of that namespace and those labels means it."""
    wider = source.namespaceSelector
    namespaces = frozenset(source.namespaces)
    if not namespaces and wider is None:
        namespaces = frozenset((namespace,))
    peers = Peers(
        selector(source.labelSelector, labels, source.matchLabelKeys, source.mismatchLabelKeys),
        namespaces,
        None if wider is None else selectors.label_selector(wider),
    )
    return Term(peers, source.topologyKey)


class Weighted(NamedTuple):
    """A preferred term; repulsion has a negative weight."""

    term: Term
    weight: int


class Spread(NamedTuple):
    """One topology spread constraint."""

    selector: Selector
    key: str
    max_skew: int
    hard: bool
    min_domains: int
    honour_affinity: bool
    honour_taints: bool


def spread(source: core_v1.TopologySpreadConstraint, labels: Mapping[str, str]) -> Spread:
    return Spread(
        selector(source.labelSelector, labels, source.matchLabelKeys),
        source.topologyKey,
        source.maxSkew,
        source.whenUnsatisfiable == "DoNotSchedule",
        source.minDomains or 1,
        source.nodeAffinityPolicy != "Ignore",
        source.nodeTaintsPolicy == "Honor",
    )

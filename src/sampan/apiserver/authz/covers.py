"""Whether some rules give all that others give: the base of the check against escalation and of reconciliation.

A rule is broken into single verb-group-resource-name or verb-URL pieces; each must be in one of the owner's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sampan.api.types.rbac_v1 import PolicyRule
from sampan.apiserver.authz.rules import path_matches


def missing(owner: Iterable[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The pieces of `wanted` that no rule of `owner` gives, compacted."""
    held = list(owner)
    lacking = [p for rule in wanted for p in pieces(rule) if not any(gives(h, p) for h in held)]
    return compact(lacking)


def pieces(rule: PolicyRule) -> Iterator[PolicyRule]:
    names: list[tuple[str, ...]] = [(name,) for name in rule.resourceNames] or [()]
    for group in rule.apiGroups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for name in names:
                    yield PolicyRule(apiGroups=(group,), resources=(resource,), verbs=(verb,), resourceNames=name)
    for url in rule.nonResourceURLs:
        for verb in rule.verbs:
            yield PolicyRule(nonResourceURLs=(url,), verbs=(verb,))


def gives(owner: PolicyRule, piece: PolicyRule) -> bool:
    """Whether the owner's rule gives one piece."""
    if piece.verbs[0] not in owner.verbs and "*" not in owner.verbs:
        return False
    if piece.nonResourceURLs:
        return path_matches(owner.nonResourceURLs, piece.nonResourceURLs[0])
    if piece.apiGroups[0] not in owner.apiGroups and "*" not in owner.apiGroups:
        return False
    if not _gives_resource(owner.resources, piece.resources[0]):
        return False
    return not owner.resourceNames or (bool(piece.resourceNames) and piece.resourceNames[0] in owner.resourceNames)


def _gives_resource(held: Sequence[str], resource: str) -> bool:
    if "*" in held or resource in held:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in held


def compact(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Pieces for the same group and resource become one rule with all their verbs."""
    verbs: dict[tuple[str, str], list[str]] = {}
    made: list[PolicyRule] = []
    for rule in rules:
        simple = len(rule.apiGroups) == 1 and len(rule.resources) == 1 and not rule.resourceNames
        if simple and not rule.nonResourceURLs:
            found = verbs.setdefault((rule.apiGroups[0], rule.resources[0]), [])
            found += [verb for verb in rule.verbs if verb not in found]
        elif rule not in made:
            made.append(rule)
    simple_rules = [PolicyRule(apiGroups=(g,), resources=(r,), verbs=tuple(v)) for (g, r), v in verbs.items()]
    return simple_rules + made

"""How a rule of a role meets a request (upstream's evaluation helpers), with sets made once per rule."""

from __future__ import annotations

from collections.abc import Collection

from sampan.api.types.rbac_v1 import PolicyRule
from sampan.apiserver.contracts import Attributes


class Compiled:
    """A rule ready to be asked; it stands for `rule` in answers."""

    __slots__ = (
        "_any_group",
        "_any_resource",
        "_any_verb",
        "_groups",
        "_resources",
        "_urls",
        "_verbs",
        "names",
        "rule",
    )

    def __init__(self, rule: PolicyRule) -> None:
        self.rule = rule
        self._verbs = frozenset(rule.verbs)
        self._groups = frozenset(rule.apiGroups)
        self._resources = frozenset(rule.resources)
        self._urls = rule.nonResourceURLs
        self._any_verb = "*" in self._verbs
        self._any_group = "*" in self._groups
        self._any_resource = "*" in self._resources
        self.names = frozenset(rule.resourceNames)
        """The only objects that the rule is for; empty for all."""

    def covers_kind(self, verb: str, group: str, combined: str, every: str) -> bool:
        """Whether the rule is for this verb and resource; the names aside.

        `combined` is `pods` or `pods/log`, `every` `*/log`, or "" where there is no subresource.
        """
        return (
            (self._any_verb or verb in self._verbs)
            and (self._any_group or group in self._groups)
            and (self._any_resource or combined in self._resources or (every != "" and every in self._resources))
        )

    def covers_path(self, verb: str, path: str) -> bool:
        return (self._any_verb or verb in self._verbs) and path_matches(self._urls, path)

    def allows(self, attributes: Attributes) -> bool:
        if not attributes.is_resource:
            return self.covers_path(attributes.verb, attributes.path)
        if self.names and attributes.name not in self.names:
            return False
        return self.covers_kind(attributes.verb, attributes.group, *resource_names(attributes))


def resource_names(attributes: Attributes) -> tuple[str, str]:
    """(`pods/log`, `*/log`), or (`pods`, "") without a subresource."""
    if attributes.subresource:
        return f"{attributes.resource}/{attributes.subresource}", f"*/{attributes.subresource}"
    return attributes.resource, ""


def path_matches(patterns: Collection[str], path: str) -> bool:
    """Exactly, by `*` for everything, or by a beginning before a last `*`."""
    return any(
        pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
        for pattern in patterns
    )

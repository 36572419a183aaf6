"""Which location answers which path. Pure. Source: Ingress v1, HTTPIngressPath.pathType.

Exact goes before Prefix, longer before shorter; prefixes match whole elements and a slash at their end means nothing.
ImplementationSpecific is Prefix here, and a regular expression for Ingresses that ask for them (use-regex, or a
rewrite-target with a path that has groups), as ingress-nginx has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from sampan.api.types import networking_v1
from sampan.network.ingress.model import Location, Match, Options

LONGEST = 1024
_SPECIAL = re.compile(r"[][()*+?|^$\\{}]")
_GROUPS = re.compile(r"[()*|\\]")


def kind(path: networking_v1.HTTPIngressPath, options: Options) -> tuple[Match, str]:
    """How a path is matched, and its normal form: prefixes end without a slash, so that the root is empty."""
    text = path.path or "/"
    if path.pathType == "Exact":
        return "exact", text
    if options.regex or (options.rewrite and _GROUPS.search(text)):
        return "regex", text
    return "prefix", text.rstrip("/")


def problem(match: Match, path: str) -> str:
    """Why a path cannot be served, "" when it can."""
    if len(path) > LONGEST:
        return f"path is longer than {LONGEST} characters"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return f"path {path!r} has control characters"
    if match == "regex":
        try:
            re.compile(path)
        except re.error as error:
            return f"path {path!r} is no regular expression: {error}"
    return ""


def literal(pattern: str) -> str:
    """What every path that the expression matches begins with."""
    found = _SPECIAL.search(pattern)
    if found is None:
        return pattern
    # What a quantifier follows may be missing.
    return pattern[: found.start() - 1] if found[0] in "*?{" else pattern[: found.start()]


def final(prefix: str, expressions: Iterable[str]) -> bool:
    """Whether a prefix goes before all regular expressions of its host: none of them begins with something longer."""
    return all(len(literal(each)) < len(prefix) + 1 for each in expressions)


def ordered(locations: Collection[Location]) -> list[Location]:
    """Exact ones, then prefixes, then expressions; the longest first. nginx takes the first expression that matches."""
    rank = {"exact": 0, "prefix": 1, "regex": 2}
    return sorted(locations, key=lambda each: (rank[each.match], -len(each.path), each.path))

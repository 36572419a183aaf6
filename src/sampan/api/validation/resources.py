"""Rules of resource names and amounts: containers, quotas, limits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sampan.api import names
from sampan.api.errors import duplicate, invalid, not_found, required
from sampan.api.types import core_v1
from sampan.api.validation.checks import NOT_NEGATIVE, Errors, amount, named

_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_COUNTS = frozenset(
    (
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_STANDARD = frozenset(
    (*_COMPUTE, *(f"{word}.{name}" for word in ("requests", "limits") for name in _COMPUTE), *_COUNTS, "storage")
)
_NANO = 10**9


@lru_cache(maxsize=1024)
def is_extended(name: str) -> bool:
    """Devices and the like: `vendor.domain/thing`, outside of kubernetes.io."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    native = "/" not in name or "kubernetes.io/" in name
    return native and not name.startswith("hugepages-")


def is_whole(name: str) -> bool:
    """Counted in whole units."""
    return name in _COUNTS or name.startswith("count/") or is_extended(name)


@lru_cache(maxsize=1024)
def name_problems(name: str) -> tuple[str, ...]:
    """What is wrong with a resource's name in a container."""
    problems = names.qualified_name(name)
    if not problems and "/" not in name and name not in _CONTAINER and not name.startswith("hugepages-"):
        problems = ["must be a standard resource for containers"]
    elif not problems and "/" in name and not is_extended(name) and "kubernetes.io/" not in name:
        problems = ["must be a standard resource type or fully qualified"]
    return tuple(problems)


@lru_cache(maxsize=1024)
def quota_name_problems(name: str) -> tuple[str, ...]:
    """What is wrong with a resource's name in a quota or limit range."""
    problems = names.qualified_name(name)
    if not problems and "/" not in name and name not in _STANDARD and not name.startswith(("hugepages-", "requests.")):
        problems = ["must be a standard resource type or fully qualified", "must be a standard resource for quota"]
    return tuple(problems)


def quantity(errors: Errors, name: str, text: str, path: str) -> int | None:
    """The amount in nano units, checked for its sign and, where only whole units make sense, its fraction."""
    nano = amount(text)
    if nano is None:
        return None
    if nano < 0:
        errors.append(invalid(path, text, NOT_NEGATIVE))
    if nano % _NANO and is_whole(name):
        errors.append(invalid(path, text, "must be an integer"))
    return nano


def requirements(
    errors: Errors, wanted: core_v1.ResourceRequirements, path: str, claims: frozenset[str] = frozenset()
) -> None:
    """Requests and limits of a container."""
    limits, requests = wanted.limits, wanted.requests
    bounds: dict[str, int] = {}
    for name, text in limits.items():
        if problems := name_problems(name):
            errors += [invalid(f"{path}.limits[{name}]", name, problem) for problem in problems]
        nano = amount(text)
        if nano is None or nano < 0 or nano % _NANO:
            nano = quantity(errors, name, text, f"{path}.limits[{name}]")
        if nano is not None:
            bounds[name] = nano
    for name, text in requests.items():
        if problems := name_problems(name):
            errors += [invalid(f"{path}.requests[{name}]", name, problem) for problem in problems]
        nano = amount(text)
        if nano is None or nano < 0 or nano % _NANO:
            nano = quantity(errors, name, text, f"{path}.requests[{name}]")
        bound = bounds.get(name)
        if bound is None:
            if not may_overcommit(name):
                errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        elif nano is not None and nano != bound and (nano > bound or not may_overcommit(name)):
            word = "less than or equal to" if may_overcommit(name) else "equal to"
            text_ = f"must be {word} {name} limit of {limits[name]}"
            errors.append(invalid(f"{path}.requests", text, text_))
    if wanted.claims:
        _claims(errors, wanted, path, claims)


def _claims(errors: Errors, wanted: core_v1.ResourceRequirements, path: str, known: frozenset[str]) -> None:
    seen = set()
    for at, claim in enumerate(wanted.claims):
        below = f"{path}.claims[{at}]"
        if not claim.name:
            errors.append(required(f"{below}.name"))
        elif (claim.name, claim.request) in seen:
            errors.append(duplicate(below, claim.name))
        elif claim.name not in known:
            errors.append(not_found(f"{below}.name", claim.name))
        seen.add((claim.name, claim.request))


def amounts(errors: Errors, values: Mapping[str, str], path: str) -> None:
    """A list of resources with quantities, as nodes and overheads have."""
    for name, text in values.items():
        named(errors, name, f"{path}[{name}]", names.qualified_name)
        quantity(errors, name, text, f"{path}[{name}]")

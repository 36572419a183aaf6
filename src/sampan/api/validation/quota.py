"""Rules of ResourceQuotas and LimitRanges."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1
from sampan.api.validation import checks, resources
from sampan.api.validation.checks import Errors, amount
from sampan.api.validation.meta import IMMUTABLE

SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def validate_resource_quota(quota: core_v1.ResourceQuota) -> list[FieldError]:
    errors: Errors = []
    for name, text in quota.spec.hard.items():
        path = f"spec.hard[{name}]"
        errors += [invalid(path, name, problem) for problem in resources.quota_name_problems(name)]
        resources.quantity(errors, name, text, path)
    scopes = quota.spec.scopes
    for at, scope in enumerate(scopes):
        if scope not in SCOPES:
            errors.append(not_supported(f"spec.scopes[{at}]", scope, SCOPES))
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    selector = quota.spec.scopeSelector
    for at, want in enumerate(selector.matchExpressions if selector is not None else ()):
        _scope(errors, want, f"spec.scopeSelector.matchExpressions[{at}]")
    return errors


def _scope(errors: Errors, want: core_v1.ScopedResourceSelectorRequirement, path: str) -> None:
    if want.scopeName not in SCOPES:
        errors.append(not_supported(f"{path}.scopeName", want.scopeName, SCOPES))
    if want.operator not in _OPERATORS:
        errors.append(invalid(f"{path}.operator", want.operator, "not a valid selector operator"))
    elif want.operator in ("In", "NotIn") and not want.values:
        text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        errors.append(required(f"{path}.values", text))
    elif want.operator in ("Exists", "DoesNotExist") and want.values:
        text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
        errors.append(invalid(f"{path}.values", want.values, text))


def validate_resource_quota_update(new: core_v1.ResourceQuota, old: core_v1.ResourceQuota) -> list[FieldError]:
    if set(new.spec.scopes) == set(old.spec.scopes):
        return []
    return [invalid("spec.scopes", new.spec.scopes, IMMUTABLE)]


def validate_limit_range(obj: core_v1.LimitRange) -> list[FieldError]:
    errors: Errors = []
    seen: set[str] = set()
    for at, item in enumerate(obj.spec.limits):
        path = f"spec.limits[{at}]"
        if item.type not in ("Pod", "Container", "PersistentVolumeClaim"):
            checks.named(errors, item.type, f"{path}.type", names.qualified_name)
        if item.type in seen:
            errors.append(duplicate(f"{path}.type", item.type))
        seen.add(item.type)
        if item.type == "Pod":
            if item.default:
                errors.append(forbidden(f"{path}.default", "may not be specified when `type` is 'Pod'"))
            if item.defaultRequest:
                errors.append(forbidden(f"{path}.defaultRequest", "may not be specified when `type` is 'Pod'"))
        if item.type == "PersistentVolumeClaim" and not ("storage" in item.min or "storage" in item.max):
            text = "either minimum or maximum storage value is required, but neither was provided"
            errors.append(required(f"{path}.limits", text))
        for name in dict.fromkeys((*item.min, *item.max, *item.default, *item.defaultRequest)):
            _bounds(errors, item, name, path)
        for name, text in item.maxLimitRequestRatio.items():
            _ratio(errors, item, name, text, path)
    return errors


def _bounds(errors: Errors, item: core_v1.LimitRangeItem, name: str, path: str) -> None:
    """min <= defaultRequest <= default <= max, as far as they are given."""
    steps = ("min", "defaultRequest", "default", "max")
    words = {
        "min": "min value",
        "max": "max value",
        "default": "default value",
        "defaultRequest": "default request value",
    }
    given = []
    for member in steps:
        text = getattr(item, member).get(name)
        nano = None if text is None else resources.quantity(errors, name, text, f"{path}.{member}[{name}]")
        if nano is not None:
            given.append((member, text, nano))
    for at, (low, low_text, low_nano) in enumerate(given):
        for high, high_text, high_nano in given[at + 1 :]:
            if low_nano <= high_nano:
                continue
            where, shown = (high, high_text) if low == "min" and high != "max" else (low, low_text)
            text = f"{words[low]} {low_text} is greater than {words[high]} {high_text}"
            errors.append(invalid(f"{path}.{where}[{name}]", shown, text))


def _ratio(errors: Errors, item: core_v1.LimitRangeItem, name: str, text: str, path: str) -> None:
    ratio = amount(text)
    low, high = amount(item.min.get(name, "0")), amount(item.max.get(name, "0"))
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is None:
        return
    if ratio < 10**9:
        errors.append(invalid(where, text, f"ratio {text} is less than 1"))
    elif low and high and ratio * low > high * 10**9:
        errors.append(invalid(where, text, f"ratio {text} is greater than max/min = {high / low:f}"))

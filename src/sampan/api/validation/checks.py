"""Checks that many kinds share: selectors, choices, counts, ports, addresses, percentages."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sampan.api import names, quantity
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.types import meta_v1
from sampan.api.validation import meta
from sampan.api.validation.meta import IMMUTABLE

Errors = list[FieldError]

NOT_NEGATIVE = "must be greater than or equal to 0"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def named(errors: Errors, text: str, path: str, rule: Callable[[str], list[str]] = names.dns_label) -> None:
    if problems := rule(text):
        errors += [invalid(path, text, problem) for problem in problems]


def not_negative(errors: Errors, number: int | None, path: str) -> None:
    if number is not None and number < 0:
        errors.append(invalid(path, number, NOT_NEGATIVE))


def choice(errors: Errors, value: str | None, choices: Sequence[str], path: str, *, needed: bool = False) -> None:
    """One of `choices`; nothing at all is fine unless `needed`."""
    if value in choices:
        return
    if value:
        errors.append(not_supported(path, value, choices))
    elif needed:
        errors.append(required(path))


def unchanged(errors: Errors, new: Any, old: Any, path: str) -> None:
    if new != old:
        errors.append(invalid(path, new, IMMUTABLE))


def label_selector(errors: Errors, selector: meta_v1.LabelSelector | None, path: str) -> None:
    if selector is None:
        return
    if selector.matchLabels:
        meta.labels(errors, selector.matchLabels, f"{path}.matchLabels")
    for at, expression in enumerate(selector.matchExpressions):
        below = f"{path}.matchExpressions[{at}]"
        if expression.operator in ("In", "NotIn"):
            if not expression.values:
                errors.append(required(f"{below}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif expression.operator in ("Exists", "DoesNotExist"):
            if expression.values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden(f"{below}.values", text))
        else:
            errors.append(invalid(f"{below}.operator", expression.operator, "not a valid selector operator"))
        meta.label_name(errors, expression.key, f"{below}.key")
        for index, value in enumerate(expression.values):
            named(errors, value, f"{below}.values[{index}]", names.label_value)


def template_labels(errors: Errors, selector: Any, labels: Mapping[str, str], path: str) -> None:
    """A workload's selector must select its own pods. `selector` is a compiled one."""
    if not selector.matches(labels):
        errors.append(invalid(path, labels, "`selector` does not match template `labels`"))


def port(errors: Errors, value: int | str | None, path: str) -> None:
    """The number or the name of a port."""
    if isinstance(value, int):
        errors += [invalid(path, value, text) for text in names.port_number(value)]
    else:
        errors += [invalid(path, value or "", text) for text in names.port_name(value or "")]


def int_or_percent(errors: Errors, value: int | str | None, path: str) -> None:
    if isinstance(value, str):
        errors += [invalid(path, value, text) for text in names.percent(value)]
    else:
        not_negative(errors, value, path)


def percent(value: int | str | None) -> int | None:
    """The number in `25%`; none for anything else."""
    return int(value[:-1][:9]) if isinstance(value, str) and not names.percent(value) else None


def at_most_100(errors: Errors, value: int | str | None, path: str) -> None:
    if (percent(value) or 0) > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


@lru_cache(maxsize=4096)
def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


@lru_cache(maxsize=1024)
def is_cidr(text: str) -> bool:
    if "/" not in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return text.partition("/")[2].isdigit()


def ip(errors: Errors, text: str, path: str) -> None:
    if not is_ip(text):
        errors.append(invalid(path, text, IP))


def reachable(errors: Errors, text: str, path: str) -> None:
    """An address that may serve: no loopback, link-local or multicast."""
    if not is_ip(text):
        errors.append(invalid(path, text, IP))
        return
    address = ipaddress.ip_address(text)
    if address.is_unspecified:
        errors.append(invalid(path, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        errors.append(invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast:
        text_ = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(invalid(path, text, text_))


def cidr(errors: Errors, text: str, path: str) -> None:
    if not is_cidr(text):
        errors.append(invalid(path, text, CIDR))


def amount(text: str) -> int | None:
    """A quantity in nano units; none when it cannot be read (decoding has complained already)."""
    try:
        return quantity.nano(text)
    except ValueError:
        return None


def positive_quantity(errors: Errors, text: str, path: str) -> None:
    nano = amount(text)
    if nano is not None and nano < 0:
        errors.append(invalid(path, text, NOT_NEGATIVE))

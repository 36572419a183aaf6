"""Names of things: DNS labels, subdomains, qualified names, label values, ports.

Each function returns the complaints about a text, none when it is fine; the texts are upstream's
(apimachinery's util/validation).
"""

from __future__ import annotations

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_1035 = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?").fullmatch
_is_qualified = re.compile(_QUALIFIED).fullmatch
_is_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}").fullmatch
_is_key = re.compile("[-._a-zA-Z0-9]+").fullmatch
_is_percent = re.compile("[0-9]+%").fullmatch
_is_header = re.compile("[-A-Za-z0-9]+").fullmatch
_is_path_name = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+").fullmatch


def _regex(message: str, pattern: str, *examples: str) -> str:
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {listed}regex used for validation is '{pattern}')"


def _long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


LABEL_RULE = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
SUBDOMAIN_RULE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
WILDCARD_RULE = _regex(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
DNS1035_RULE = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
)
QUALIFIED_RULE = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
LABEL_VALUE_RULE = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    f"({_QUALIFIED})?",
    "MyValue",
    "my_value",
    "12345",
)
KEY_RULE = _regex(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "[-._a-zA-Z0-9]+",
    "key.name",
    "KEY_NAME",
    "key-name",
)
HEADER_RULE = _regex(
    "a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", "X-Header-Name"
)
PERCENT_RULE = _regex(
    "a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", "1%", "93%"
)


def dns_label(text: str) -> list[str]:
    """RFC 1123 label: at most 63 of a-z, 0-9 and '-'."""
    if len(text) <= 63 and _is_label(text):
        return []
    found = [_long(63)] if len(text.encode("utf-8", "replace")) > 63 else []
    if not _is_label(text):
        found.append(SUBDOMAIN_AS_LABEL if _is_subdomain(text) else LABEL_RULE)
    return found


SUBDOMAIN_AS_LABEL = "must not contain dots"


def dns_subdomain(text: str) -> list[str]:
    """RFC 1123 subdomain: labels joined by dots, at most 253."""
    if len(text) <= 253 and _is_subdomain(text):
        return []
    found = [_long(253)] if len(text.encode("utf-8", "replace")) > 253 else []
    return found if _is_subdomain(text) else [*found, SUBDOMAIN_RULE]


def wildcard_subdomain(text: str) -> list[str]:
    found = [_long(253)] if len(text.encode("utf-8", "replace")) > 253 else []
    return found if _is_wildcard(text) else [*found, WILDCARD_RULE]


def dns1035_label(text: str) -> list[str]:
    """RFC 1035 label: as dns_label, but starting with a letter (Services)."""
    if len(text) <= 63 and _is_1035(text):
        return []
    found = [_long(63)] if len(text.encode("utf-8", "replace")) > 63 else []
    return found if _is_1035(text) else [*found, DNS1035_RULE]


def qualified_name(text: str) -> list[str]:
    """`name` or `prefix/name`: keys of labels, annotations, resources, finalizers."""
    if len(text) <= 63 and _is_qualified(text):
        return []
    found = []
    parts = text.split("/")
    name = parts[-1]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found.extend(f"prefix part {problem}" for problem in dns_subdomain(prefix))
    elif len(parts) > 2:
        suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {QUALIFIED_RULE}{suffix}"]
    if not name:
        found.append("name part must be non-empty")
    elif len(name.encode("utf-8", "replace")) > 63:
        found.append(f"name part {_long(63)}")
    if not _is_qualified(name):
        found.append(f"name part {QUALIFIED_RULE}")
    return found


def label_value(text: str) -> list[str]:
    if not text or (len(text) <= 63 and _is_qualified(text)):
        return []
    found = [_long(63)] if len(text.encode("utf-8", "replace")) > 63 else []
    return found if _is_qualified(text) else [*found, LABEL_VALUE_RULE]


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    found = [_long(253)] if len(text) > 253 else []
    if not _is_key(text):
        found.append(KEY_RULE)
    return found + _no_dots(text)


def _no_dots(text: str) -> list[str]:
    if text == ".":
        return ["must not be '.'"]
    if text == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def env_name(text: str) -> list[str]:
    """The name of an environment variable: printable ASCII without '='."""
    if not text:
        return ["environment variable name must be non-empty"]
    if text.isascii() and text.isprintable() and "=" not in text:
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def path_segment(text: str) -> list[str]:
    """A name that may stand in a URL path as it is (RBAC objects)."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{letter}'" for letter in "/%" if letter in text]


def port_name(text: str) -> list[str]:
    """IANA service name: at most 15 of a-z, 0-9, '-', with a letter, no '--'."""
    found = []
    if len(text) > 15:
        found.append(_long(15))
    if not re.fullmatch("[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_number(number: int) -> list[str]:
    return in_range(number, 1, 65535)


def percent(text: str) -> list[str]:
    return [] if _is_percent(text) else [PERCENT_RULE]


def in_range(number: int, low: int, high: int) -> list[str]:
    return [] if low <= number <= high else [f"must be between {low} and {high}, inclusive"]


def user_id(number: int) -> list[str]:
    """A Unix user or group."""
    return in_range(number, 0, 0xFFFFFFFF)


def http_header(text: str) -> list[str]:
    return [] if _is_header(text) else [HEADER_RULE]


def http_path(text: str) -> bool:
    return _is_path_name(text) is not None


def fully_qualified(text: str) -> list[str]:
    """A domain of at least three labels (signers, ...)."""
    if problems := dns_subdomain(text):
        return problems
    if text.count(".") < 2:
        return ["should be a domain with at least three segments separated by dots"]
    return []

"""The formats of strings and numbers that structural schemas may ask for; unknown ones say nothing.

Source: the list in apiextensions.k8s.io/v1 JSONSchemaProps.format.
"""

from __future__ import annotations

import binascii
import datetime
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

_HOST = re.compile(r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_EMAIL = re.compile(r"[^@\s<>()]+@[^@\s<>()]+")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?")
_DURATION = re.compile(r"[+-]?(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w|[a-z]+)\s*)+|0", re.IGNORECASE)
_HEX_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB = re.compile(r"rgb\(\s*(\d{1,3}\s*,\s*){2}\d{1,3}\s*\)")


def _parses(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _time(text: str) -> None:
    if _TIME.fullmatch(text) is None:
        raise ValueError
    datetime.datetime.fromisoformat(text.upper())


def _date(text: str) -> None:
    datetime.datetime.strptime(text, "%Y-%m-%d")


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError
    ipaddress.ip_network(text, strict=False)


def _uri(text: str) -> None:
    found = urllib.parse.urlsplit(text)
    if not (found.scheme and (found.netloc or found.path)) and not text.startswith("/"):
        raise ValueError


def _fully(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _uuid(version: str) -> Callable[[str], bool]:
    return lambda text: _UUID.fullmatch(text) is not None and text.replace("-", "")[12] == version


STRINGS: dict[str, Callable[[str], bool]] = {
    "byte": _parses(lambda text: binascii.a2b_base64(text, strict_mode=True)),
    "cidr": _parses(_cidr),
    "date": _parses(_date),
    "date-time": _parses(_time),
    "datetime": _parses(_time),
    "duration": _fully(_DURATION),
    "email": _fully(_EMAIL),
    "hexcolor": _fully(_HEX_COLOR),
    "hostname": lambda text: len(text) <= 255 and _HOST.fullmatch(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "mac": _fully(_MAC),
    "rgbcolor": _fully(_RGB),
    "uri": _parses(_uri),
    "uuid": _fully(_UUID),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}
INTEGERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}

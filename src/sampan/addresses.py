"""Ranges of IPv4 addresses as people write them: a CIDR, or FIRST-LAST."""

from __future__ import annotations

import ipaddress

MOST = 65536
"""Addresses of one range."""


def parse(text: str) -> tuple[int, int]:
    """First and last address as numbers; of a CIDR of /30 or more without its own and the broadcast address.

    Raises ValueError.
    """
    if "/" in text:
        network = ipaddress.IPv4Network(text.strip())
        first, last = int(network[0]), int(network[-1])
        if network.prefixlen < 31:
            first, last = first + 1, last - 1
    else:
        begin, _, end = text.partition("-")
        first = int(ipaddress.IPv4Address(begin.strip()))
        last = int(ipaddress.IPv4Address((end or begin).strip()))
    if last < first or last - first >= MOST:
        raise ValueError(f"range {text}: the first address comes before the last, and there are at most {MOST}")
    return first, last


def contains(text: str, address: str) -> bool:
    first, last = parse(text)
    try:
        return first <= int(ipaddress.IPv4Address(address)) <= last
    except ValueError:
        return False

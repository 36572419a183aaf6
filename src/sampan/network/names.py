"""Names of kernel objects. Everything carries its instance's name, so that two clusters never touch each other's."""

from __future__ import annotations

import hashlib


def bridge(instance: str) -> str:
    return f"{instance}0"


def veth(instance: str, sandbox_id: str) -> str:
    """15 characters at most: the beginning of the instance's name, and enough of a hash."""
    return f"{instance[:5]}{digest(instance, sandbox_id)[:10]}"


def group(instance: str, part: str = "pods") -> int:
    """The group that the host's ends of pod links are in: `pods`, or `leaving` for those to be deleted."""
    return int(digest(instance, part)[:7], 16) + 1


def table(instance: str, part: str = "") -> str:
    """A table of nftables; its names begin with a letter."""
    start = instance if instance[:1].isalpha() else f"i{instance}"
    return f"{start}-{part}" if part else start


def digest(*parts: str) -> str:
    """20 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def mac(address: str) -> str:
    """A locally administered MAC from an IPv4 address: whoever gets the address again has the same MAC."""
    return "0a:58:" + ":".join(f"{int(part):02x}" for part in address.split("."))

"""Kernel settings of the network namespace that the calling thread is in."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys/net/ipv4")

FORWARD = "ip_forward"


def read(name: str) -> str:
    return (_ROOT / name).read_text().strip()


def write(name: str, value: str) -> None:
    """Written only when it differs, so that a read-only /proc that already has it is fine."""
    if read(name) != value:
        (_ROOT / name).write_text(value)


def of_link(link: str, name: str) -> str:
    return f"conf/{link}/{name}"

"""What one attempt of a probe found."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

AGENT = "kube-probe/1.37"
LONGEST_MESSAGE = 10 * 1024


class Outcome(NamedTuple):
    passed: bool
    message: str = ""


class Unprobeable(Exception):
    """The attempt could not be made, which says nothing about the container."""


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_error(host: str, port: int, error: OSError) -> str:
    """Why a connection was not made, as people know it from other clusters."""
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"dial tcp {authority(host, port)}: connect: {why}"

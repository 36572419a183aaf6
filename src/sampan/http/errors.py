"""What goes wrong on a connection. All are ConnectionErrors or say what limit was passed."""

from __future__ import annotations


class Disconnected(ConnectionError):
    """The peer closed the connection, or it broke."""


class TimedOut(ConnectionError):
    """The peer took longer than the limit for this step."""


class BodyTooLarge(Exception):
    """A body is larger than its reader allows; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body is larger than {limit} bytes")
        self.limit = limit


class ProtocolError(ConnectionError):
    """The peer's answer is no HTTP."""

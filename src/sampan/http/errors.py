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


class UpgradeRefused(Exception):
    """The server answered a request for an upgrade in plain HTTP; `status` and `body` say why."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the upgrade was refused with status {status}: {body[:200].decode(errors='replace')}")
        self.status = status
        self.body = body

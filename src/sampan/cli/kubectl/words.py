"""What kubectl says when the server refuses, and how it names things."""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError


def refusal(error: StatusError, prefix: str = "") -> str:
    """The line, or lines, that kubectl prints. `prefix` says what was tried (`error when creating "x.yaml"`)."""
    status = error.status
    reason, message = status.reason or "", status.message or ""
    details = status.details
    if reason == "Unauthorized" and not prefix:
        return f"error: You must be logged in to the server ({message or 'Unauthorized'})"
    if reason == "Invalid" and details is not None:
        causes = [
            f"{cause.field_}: {cause.message}" if cause.field_ else cause.message or "" for cause in details.causes
        ]
        named = f'The {details.kind} "{details.name}" is invalid'
        if details.name or details.kind:
            if not causes:
                return f"{named}: {message}" if not details.name else named
            if len(causes) == 1:
                return f"{named}: {causes[0]}"
            return "\n".join([f"{named}: ", *(f"* {cause}" for cause in dict.fromkeys(causes))])
        return f"The request is invalid: {message}"
    if prefix:
        message = f"{prefix}: {message}"
    return f"Error from server ({reason}): {message}" if reason else f"Error from server: {message}"


def unreachable(server: str, error: Exception) -> str:
    text = str(error)
    host = server.partition("://")[2]
    if "refused" in text.lower() or "Errno 111" in text:
        return f"The connection to the server {host} was refused - did you specify the right host or port?"
    if "certificate" in text.lower():
        return f"Unable to connect to the server: tls: failed to verify certificate: {text}"
    return f"Unable to connect to the server: {text or type(error).__name__}"


def failed(error: StatusError, prefix: str = "") -> CommandError:
    return CommandError(refusal(error, prefix))

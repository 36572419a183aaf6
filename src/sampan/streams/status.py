"""How a session ended, as metav1.Status on the error channel. Source: client-go's tools/remotecommand."""

from __future__ import annotations

import msgspec

from sampan.api.errors import StatusError, internal
from sampan.api.types import meta_v1

NON_ZERO = "NonZeroExitCode"
EXIT_CODE = "ExitCode"

_DECODER = msgspec.json.Decoder(meta_v1.Status)


def exited(code: int) -> meta_v1.Status:
    if code == 0:
        return meta_v1.Status(status="Success")
    cause = meta_v1.StatusCause(reason=EXIT_CODE, message=str(code))
    return meta_v1.Status(
        status="Failure",
        reason=NON_ZERO,
        details=meta_v1.StatusDetails(causes=(cause,)),
        message=f"command terminated with non-zero exit code: exit status {code}",
    )


def failed(message: str) -> meta_v1.Status:
    return internal(message).status


def encoded(status: meta_v1.Status, *, as_status: bool) -> bytes:
    """What goes over the error channel; protocols before v4 send the failure's text and nothing for success.
    `metadata` is always there, as upstream's encoder writes it."""
    if not as_status:
        return b"" if status.status == "Success" else (status.message or "").encode()
    return msgspec.json.encode({"metadata": {}, **msgspec.to_builtins(status)})


def decoded(data: bytes) -> int:
    """The exit code that a v4 or v5 server reports. Raises StatusError for any other failure."""
    try:
        status = _DECODER.decode(data)
    except msgspec.DecodeError:
        raise internal(data.decode(errors="replace")) from None
    if status.status == "Success":
        return 0
    if status.reason == NON_ZERO and status.details is not None:
        for cause in status.details.causes:
            if cause.reason == EXIT_CODE and (cause.message or "").isdigit():
                return int(cause.message or "")
    raise StatusError(status)

"""Errors of the API, in upstream's form: kind Status with reason, code, details and causes.

Sources: apimachinery's api/errors and util/validation/field; the texts follow their style.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from sampan.api.types import meta_v1


class FieldError(NamedTuple):
    """One complaint about one field; `field` is a path such as `spec.containers[0].name`."""

    type: str  # FieldValueRequired, FieldValueInvalid, ... (metav1.CauseType)
    field: str
    value: Any
    detail: str

    @property
    def body(self) -> str:
        """The complaint without the field, such as `Invalid value: "x": must be ...`."""
        word = _WORDS[self.type]
        bare = self.type in ("FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError")
        shown = "" if bare else f": {show(self.value)}"
        return f"{word}{shown}{': ' if self.detail else ''}{self.detail}"

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


_WORDS = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "InternalError": "Internal error",
    "FieldValueTypeInvalid": "Invalid value",
}


def show(value: Any) -> str:
    """A value as upstream prints it: strings quoted, objects as JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return msgspec.json.encode(value).decode()


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "", detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, value, detail)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, value, "")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, "", detail)


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, value, "")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, "", f"may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, actual, f"must have at most {limit} items")


def not_supported(field: str, value: Any, choices: Sequence[str]) -> FieldError:
    listed = ", ".join(show(c) for c in choices)
    return FieldError("FieldValueNotSupported", field, value, f"supported values: {listed}" if choices else "")


class StatusError(Exception):
    """An API error as it travels: `status` is what the client receives as kind Status."""

    def __init__(self, status: meta_v1.Status, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status.message or status.reason or "")
        self.status = status
        self.headers = headers

    @property
    def code(self) -> int:
        return self.status.code or 500

    @property
    def reason(self) -> str:
        return self.status.reason or ""


def status_error(code: int, reason: str, message: str, details: meta_v1.StatusDetails | None = None) -> StatusError:
    return StatusError(
        meta_v1.Status(
            apiVersion="v1",
            kind="Status",
            status="Failure",
            message=message,
            reason=reason or None,
            details=details,
            code=code,
        )
    )


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(
    name: str, group: str, kind: str, causes: tuple[meta_v1.StatusCause, ...] = (), retry: int | None = None
) -> meta_v1.StatusDetails:
    return meta_v1.StatusDetails(
        name=name or None, group=group or None, kind=kind or None, causes=causes, retryAfterSeconds=retry
    )


def not_found_error(plural: str, group: str, name: str) -> StatusError:
    return status_error(
        404, "NotFound", f'{_qualified(plural, group)} "{name}" not found', _details(name, group, plural)
    )


def already_exists(plural: str, group: str, name: str) -> StatusError:
    return status_error(
        409, "AlreadyExists", f'{_qualified(plural, group)} "{name}" already exists', _details(name, group, plural)
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, why: str = MODIFIED) -> StatusError:
    return status_error(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}',
        _details(name, group, plural),
    )


def invalid_error(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with one cause per complaint; `kind` is the Kind's name (`Pod`), not the plural."""
    causes = tuple(meta_v1.StatusCause(reason=e.type, message=e.body, field_=e.field) for e in errors)
    texts = list(dict.fromkeys(str(e) for e in errors))
    listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    return status_error(
        422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', _details(name, group, kind, causes)
    )


def bad_request(message: str) -> StatusError:
    return status_error(400, "BadRequest", message)


def forbidden_error(plural: str, group: str, name: str, why: str) -> StatusError:
    subject = f'{_qualified(plural, group)} "{name}"' if name else _qualified(plural, group)
    message = f"{subject} is forbidden: {why}" if plural else f"forbidden: {why}"
    return status_error(403, "Forbidden", message, _details(name, group, plural))


def unauthorized() -> StatusError:
    return status_error(401, "Unauthorized", "Unauthorized")


def gone(message: str) -> StatusError:
    """410 Expired: the resourceVersion asked for is too old."""
    return status_error(410, "Expired", message)


def method_not_supported(plural: str, group: str, action: str) -> StatusError:
    return status_error(
        405,
        "MethodNotAllowed",
        f"{action} is not supported on resources of kind {show(_qualified(plural, group))}",
        _details("", group, plural),
    )


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    error = status_error(429, "TooManyRequests", message, _details("", "", "", retry=retry_after))
    error.headers = (("Retry-After", str(retry_after)),)
    return error


def internal(message: str) -> StatusError:
    return status_error(500, "InternalError", f"Internal error occurred: {message}")


def unsupported_media_type(message: str) -> StatusError:
    return status_error(415, "UnsupportedMediaType", message)


def service_unavailable(message: str) -> StatusError:
    return status_error(503, "ServiceUnavailable", message)

"""What a patch may cost, and the errors all patches share, in upstream's form."""

from __future__ import annotations

from typing import Any

from sampan.api.errors import StatusError, bad_request, status_error
from sampan.api.types import meta_v1

OPERATIONS = 10_000
DEPTH = 128
"""Levels of nesting in a patch or a document; the deepest type of the API, JSONSchemaProps, stays far below."""
COPIED = 3 * 1024 * 1024
"""Bytes that the `copy` operations of one JSON patch may add."""


def too_large(message: str) -> StatusError:
    return status_error(413, "RequestEntityTooLarge", f"Request entity is too large: {message}")


def rejected() -> StatusError:
    """422: the patch is well formed but does not fit the object."""
    return status_error(
        422, "Invalid", "the server rejected our request due to an error in our request", meta_v1.StatusDetails()
    )


def check_depth(value: Any) -> None:
    """Refuse what is nested deeper than DEPTH, without recursion. Raises BadRequest."""
    level = [value]
    for _ in range(DEPTH):
        below: list[Any] = []
        for container in level:
            items = container.values() if isinstance(container, dict) else container
            below += [item for item in items if isinstance(item, (dict, list))]
        if not below:
            return
        level = below
    raise bad_request(f"the patch may not be nested deeper than {DEPTH} levels")


def check_object(patch: Any) -> dict[str, Any]:
    """A patch that must be a JSON object, not nested too deep. Raises BadRequest."""
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    check_depth(patch)
    return {**patch}

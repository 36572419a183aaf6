"""Refusals of the registry: codes of the OCI distribution specification, and the answers that carry them."""

from __future__ import annotations

import msgspec

from sampan.http.types import Response

_STATUS = {
    "BLOB_UNKNOWN": 404, "BLOB_UPLOAD_INVALID": 400, "BLOB_UPLOAD_UNKNOWN": 404, "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404, "MANIFEST_INVALID": 400, "MANIFEST_UNKNOWN": 404, "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404, "SIZE_INVALID": 413, "DENIED": 403, "UNSUPPORTED": 405, "TOOMANYREQUESTS": 429,
    "RANGE_INVALID": 416, "PAGINATION_NUMBER_INVALID": 400,
}  # fmt: skip


class Refusal(Exception):
    """`code` is one of the specification's; its status can be given where it means several."""

    def __init__(self, code: str, message: str, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status or _STATUS[code]
        self.headers = headers

    def response(self) -> Response:
        body = msgspec.json.encode({"errors": [{"code": self.code, "message": str(self)}]})
        return Response(self.status, body, (("Content-Type", "application/json"), *self.headers))

"""Scalars of the API that the generated Structs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

Quantity = Annotated[str, "quantity"]
"""A quantity in canonical form, such as `500m` or `1Gi` (resource.Quantity)."""

Time = Annotated[str, "time"]
"""RFC 3339 with seconds, UTC (`2026-01-02T03:04:05Z`)."""

MicroTime = Annotated[str, "microtime"]
"""RFC 3339 with microseconds, UTC (`2026-01-02T03:04:05.000006Z`)."""

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Base64 = Annotated[str, "base64"]
"""Bytes in standard base64 (Go's []byte)."""

IntOrString = Int32 | str
JSON = Any
JSONObject = Mapping[str, Any]

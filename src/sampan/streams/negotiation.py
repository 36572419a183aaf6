"""Which of the stream protocols that a SPDY client offers is spoken."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.http.types import Request, Response

PROTOCOL_HEADER = "X-Stream-Protocol-Version"
ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"


def negotiate(request: Request, spoken: Sequence[str], default: str) -> str | Response:
    """The first offer that we speak, `default` for a client that offers none, or the answer that refuses."""
    given = request.headers.get(PROTOCOL_HEADER.lower(), "")
    offers = [name for part in given.split(",") if (name := part.strip())]
    if not offers:
        return default
    for offer in offers:
        if offer in spoken:
            return offer
    text = (
        f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(offers)}], "
        f"server accepts [{' '.join(spoken)}]\n"
    )
    return Response(403, text.encode(), tuple((ACCEPTED_HEADER, name) for name in spoken))

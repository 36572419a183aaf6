"""What `trace` and `metrics` share: the questions to the nodes, which remember what their pods have sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sampan.api.errors import StatusError
from sampan.cli.kubectl.session import Session

T = TypeVar("T")


async def ask(session: Session, path: str, query: Mapping[str, Any], type: type[T]) -> list[T]:
    """One answer a node; a node that knows nothing of it has none. Raises StatusError when no node answers."""
    listed = await session.read("/api/v1/nodes")
    names = [each["metadata"]["name"] for each in listed.get("items") or ()]
    answers = await asyncio.gather(*(_one(session, name, path, query, type) for name in names), return_exceptions=True)
    found = [each for each in answers if not isinstance(each, BaseException)]
    failures = [each for each in answers if isinstance(each, BaseException)]
    hard = [each for each in failures if not (isinstance(each, StatusError) and each.code == 404)]
    if hard and not found:
        raise hard[0]
    return found


async def _one(session: Session, node: str, path: str, query: Mapping[str, Any], type: type[T]) -> T:
    where = f"/api/v1/nodes/{node}/proxy/monitor/{path}"
    response = await session.raw("GET", target_of(where, query))
    return msgspec.json.decode(await response.read(), type=type)


def target_of(path: str, query: Mapping[str, Any]) -> str:
    """Lists become a parameter each."""
    from urllib.parse import urlencode

    given = {key: value for key, value in query.items() if value not in ("", None, [], ())}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path

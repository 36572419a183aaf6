"""`sampan deploy` asks at the host itself before it says that an app is published."""

from __future__ import annotations

import pytest

from sampan.cli import published
from sampan.http.server import Server
from sampan.http.types import Request, Response


async def asked(statuses: list[int]) -> tuple[str, list[Request]]:
    seen: list[Request] = []

    def handle(request: Request) -> Response:
        seen.append(request)
        return Response(statuses.pop(0) if len(statuses) > 1 else statuses[0], b"")

    front = Server(handle)
    port = await front.listen("127.0.0.1", 0)
    try:
        return await published.answers("web.localhost", port, "/healthz"), seen
    finally:
        await front.close()


async def test_a_host_that_is_taken_over_a_moment_later() -> None:
    doubt, seen = await asked([404, 503, 200])
    assert doubt == "" and len(seen) == 3
    assert {(each.target, each.headers["host"]) for each in seen} == {("/healthz", "web.localhost")}


@pytest.mark.parametrize("status", [200, 302, 401, 500])
async def test_any_answer_of_the_app_itself_will_do(status: int) -> None:
    assert (await asked([status]))[0] == ""


async def test_a_host_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PATIENCE", 0.2)
    doubt, _ = await asked([503])
    assert doubt.startswith("http://web.localhost/healthz at port ") and doubt.endswith("answers 503")
    assert "does not answer: " in await published.answers("web.localhost", 1, "/")

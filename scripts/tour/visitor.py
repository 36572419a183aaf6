"""A visitor of a published host: HTTP, HTTPS with a real look at the certificate, and many at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Visitor:
    """`authority` is the file of the authority that must have signed the certificate."""

    host: str
    http: int = 80
    https: int = 443
    authority: str = ""

    def ask(self, path: str, form: dict[str, str] | None = None, *, tls: bool = False) -> Answer:
        """Raises OSError (ssl.SSLError for a certificate that does not hold)."""
        line = socket.create_connection((LOOPBACK, self.https if tls else self.http), timeout=PATIENCE)
        if tls:
            context = ssl.create_default_context(cafile=self.authority)
            line = context.wrap_socket(line, server_hostname=self.host)
        connection = http.client.HTTPConnection(self.host)
        connection.sock = line
        try:
            body = urllib.parse.urlencode(form) if form is not None else None
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
            connection.request("GET" if form is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """Raises ConnectionError for any other answer than 200."""
        answer = self.ask(path)
        if answer.status != 200:
            raise ConnectionError(f"{self.host}{path} answers {answer.status}")
        return json.loads(answer.text)

    def certificate(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=self.authority)
        with (
            socket.create_connection((LOOPBACK, self.https), timeout=PATIENCE) as line,
            context.wrap_socket(line, server_hostname=self.host) as tls,
        ):
            return dict(tls.getpeercert() or {})


@dataclass
class Crowd:
    """Requests from some visitors at once, each on new connections, until stopped. `ask` gives what to count."""

    ask: Callable[[], Awaitable[str]]
    count: int = 8
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def during(self, work: Callable[[], object]) -> None:
        """Come for as long as `work` lasts."""
        asyncio.run(self._during(work))

    async def _during(self, work: Callable[[], object]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.count):
                group.create_task(self._visit())
            try:
                await asyncio.to_thread(work)
            finally:
                self._stopped.set()

    async def _visit(self) -> None:
        while not self._stopped.is_set():
            try:
                self.answers[await self.ask()] += 1
            except OSError as error:
                self.failures[str(error)] += 1

    def report(self) -> str:
        failed = sum(self.failures.values())
        why = f" ({'; '.join(self.failures)})" if failed else ""
        return f"{sum(self.answers.values())} requests answered, {failed} failed{why}"


async def get(host: str, port: int, path: str) -> str:
    """The body of an answer that is 200. Raises ConnectionError for another one."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    if " 200 " not in head.split("\r\n")[0]:
        raise ConnectionError(f"answer was {head[:60]!r}")
    return body.strip()

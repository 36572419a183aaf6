from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from sampan.http import tls
from sampan.http.server import Limits, Server
from sampan.http.types import Handler
from sampan.pki import Authority, Identity


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on both loops: tests elsewhere use the one, a cluster the other."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def server_files(authority: Authority) -> tuple[Path, Path]:
    return authority.ensure(Identity("server", "server", hosts=("127.0.0.1", "localhost")))


@pytest.fixture(scope="session")
def client_files(authority: Authority) -> tuple[Path, Path]:
    return authority.ensure(Identity("client", "alice", ("makers",)))


@pytest.fixture
def server_tls(authority: Authority, server_files: tuple[Path, Path]) -> ssl.SSLContext:
    return tls.server_context(*server_files, authority.certificate_path)


@asynccontextmanager
async def serving(
    handler: Handler, *, tls: ssl.SSLContext | None = None, limits: Limits | None = None
) -> AsyncIterator[tuple[Server, int]]:
    server = Server(handler, tls=tls, limits=limits)
    try:
        yield server, await server.listen("127.0.0.1", 0)
    finally:
        await server.close(grace=1)

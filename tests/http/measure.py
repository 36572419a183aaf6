"""What one server process carries: `python -m tests.http.measure` prints a table. Needs wrk."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from sampan.http import tls
from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.http.types import Handler, Request, Response
from sampan.pki import Authority, Identity

BODY = b'{"kind":"ConfigMap","apiVersion":"v1"}'.ljust(400)
HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private"))
SECONDS = 6


def at_once(request: Request) -> Response:
    return Response(200, BODY, HEADERS)


async def later(request: Request) -> Response:
    return Response(200, BODY, HEADERS)


async def wrk(url: str) -> float:
    process = await asyncio.create_subprocess_exec(
        "wrk", "-c64", "-t1", f"-d{SECONDS}", f"{url}/api/v1/namespaces/default/configmaps/x", stdout=-1
    )
    out, _ = await process.communicate()
    found = re.search(rb"Requests/sec: +([0-9.]+)", out)
    assert found is not None and b"Socket errors" not in out, out
    return float(found[1])


async def serve(handler: Handler, context: ssl.SSLContext | None) -> float:
    server = Server(handler, tls=context)
    port = await server.listen("127.0.0.1", 0)
    rate = await wrk(f"{'https' if context else 'http'}://127.0.0.1:{port}")
    await server.close(grace=0)
    return rate


async def ask(port: int, context: ssl.SSLContext, at_a_time: int) -> float:
    client = HttpTransport(f"https://127.0.0.1:{port}", tls=context)

    async def worker(requests: int) -> None:
        for _ in range(requests):
            await client.send(Request("GET", "/x", {"accept": "application/json"}))

    await worker(10)
    start = time.perf_counter()
    await asyncio.gather(*(worker(8000 // at_a_time) for _ in range(at_a_time)))
    rate = 8000 / (time.perf_counter() - start)
    await client.close()
    return rate


async def only_serve(directory: str) -> None:
    """The server of `ask`, in a process of its own."""
    authority = Authority(Path(directory))
    files = authority.ensure(Identity("server", "server", hosts=("127.0.0.1",)))
    server = Server(at_once, tls=tls.server_context(*files))
    print(await server.listen("127.0.0.1", 0), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.close(grace=0)


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        files = authority.ensure(Identity("server", "server", hosts=("127.0.0.1",)))
        rows = [
            ("server, TLS, handler at once", await serve(at_once, tls.server_context(*files))),
            ("server, TLS, async handler", await serve(later, tls.server_context(*files))),
            ("server, plain, handler at once", await serve(at_once, None)),
        ]
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.http.measure", directory, stdin=-1, stdout=-1
        )
        assert other.stdout is not None
        port = int(await other.stdout.readline())
        context = tls.client_context(ca_file=authority.certificate_path)
        rows += [(f"client, TLS, {n} at a time", await ask(port, context, n)) for n in (1, 16)]
        await other.communicate(b"")
    for name, rate in rows:
        print(f"{name:32} {rate:9.0f}/s")


if __name__ == "__main__":
    uvloop.run(only_serve(sys.argv[1]) if len(sys.argv) > 1 else main())

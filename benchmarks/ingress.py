"""P19: requests a second through an Ingress, against nginx configured by hand before the same server, which gets the
same headers from both.

The server is an nginx as well, so that the proxies take the time; it stands behind a service without selector.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.lab import Lab, call
from sampan.api.types import core_v1, discovery_v1, meta_v1, networking_v1
from sampan.network.ingress.nginx import SEARCH

NAMESPACE = "default"
HOST = "bench.localhost"
TURNS = 12

COMMON = """
worker_processes auto;
pid {directory}/pid;
error_log {directory}/log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 10000;
    {body}
}}
"""
SERVER = 'server {{ listen {address}:{port} default_server; location / {{ return 200 "hello from the server\\n"; }} }}'
BY_HAND = """
    map $http_upgrade $connection_wish {{ default upgrade; "" ""; }}
    upstream server {{ server {address}:{target}; keepalive 64; keepalive_requests 10000; }}
    server {{
        listen 127.0.0.1:{port};
        server_name bench.localhost;
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_wish;
            proxy_set_header Host $http_host;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
"""


async def ratio(place: Lab) -> float:
    """The median of turns, each of them a second by hand and a second through the Ingress."""
    name = f"ing-{time.time_ns()}"
    async with place.client() as client:
        (node,) = (await client.list(core_v1.Node)).items
        address = next(each.address for each in node.status.addresses if each.type == "InternalIP")
        server, by_hand = free_port(address), free_port("127.0.0.1")
        hand = BY_HAND.format(address=address, target=server, port=by_hand)
        async with nginx(SERVER.format(address=address, port=server)), nginx(hand):
            for each in objects(name, address, server):
                await client.create(each)
            try:
                async for event in client.watch(networking_v1.Ingress, NAMESPACE, fields=f"metadata.name={name}"):
                    if event.object.status.loadBalancer.ingress:
                        break
                turns = []
                for _ in range(TURNS):
                    alone = await requests(by_hand)
                    turns.append(await requests(place.http_port) / alone)
            finally:
                await client.delete(networking_v1.Ingress, name, NAMESPACE)
                await client.delete(core_v1.Service, name, NAMESPACE)
    return statistics.median(turns)


def objects(name: str, address: str, port: int) -> tuple[object, ...]:
    metadata = meta_v1.ObjectMeta(name=name, namespace=NAMESPACE)
    labels = {"kubernetes.io/service-name": name}
    backend = networking_v1.IngressBackend(
        service=networking_v1.IngressServiceBackend(name=name, port=networking_v1.ServiceBackendPort(number=80))
    )
    paths = (networking_v1.HTTPIngressPath(path="/", pathType="Prefix", backend=backend),)
    rule = networking_v1.IngressRule(host=HOST, http=networking_v1.HTTPIngressRuleValue(paths=paths))
    return (
        core_v1.Service(metadata=metadata, spec=core_v1.ServiceSpec(ports=(core_v1.ServicePort(port=80),))),
        discovery_v1.EndpointSlice(
            metadata=meta_v1.ObjectMeta(name=name, namespace=NAMESPACE, labels=labels),
            addressType="IPv4",
            endpoints=(discovery_v1.Endpoint(addresses=(address,)),),
            ports=(discovery_v1.EndpointPort(port=port, protocol="TCP"),),
        ),
        networking_v1.Ingress(metadata=metadata, spec=networking_v1.IngressSpec(rules=(rule,))),
    )


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def nginx(body: str) -> AsyncIterator[int]:
    program = shutil.which("nginx", path=SEARCH)
    if program is None:
        raise RuntimeError("nginx is not installed")
    with tempfile.TemporaryDirectory(prefix="sampan-nginx-") as directory:
        Path(directory).chmod(0o755)
        config = Path(directory) / "nginx.conf"
        config.write_text(COMMON.format(directory=directory, body=body))
        await call(program, "-e", f"{directory}/log", "-c", str(config))
        pid = int((Path(directory) / "pid").read_text())
        descriptor = os.pidfd_open(pid)
        try:
            yield pid
        finally:
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(descriptor, ended.set)
            os.kill(pid, signal.SIGTERM)
            await ended.wait()
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)


async def requests(port: int) -> float:
    out = await call("wrk", "-t1", "-c64", "-d1s", "-H", f"Host: {HOST}", f"http://127.0.0.1:{port}/")
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]


FIGURES = (Figure("P19", "through an Ingress against nginx by hand, requests/s", "ratio", 0.95, "higher", ratio),)

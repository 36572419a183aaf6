"""A host of our own to break: a fresh network namespace as the host, others as pods, sockets in any of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from sampan.host import namespaces, syscalls
from sampan.host.containers import PortMapping, SandboxConfig
from sampan.network.pods import BridgeNetwork

DEADLINE = 5.0
_CLONE_NEWNET = 0x40000000
_COUNTER = itertools.count(1)
_SCTP = 132


@contextlib.contextmanager
def own_host() -> Iterator[None]:
    """Move the calling thread into a fresh network namespace, with an uplink that leads nowhere."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(_CLONE_NEWNET)
    try:
        batch = (
            "link set lo up\nlink add uplink mtu 1400 type veth peer name world\n"
            "addr add 192.0.2.2/24 dev uplink\nlink set uplink up\nlink set world up\n"
            "route add default via 192.0.2.1\n"
        )
        subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True)
        # A new namespace begins with what the machine has.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        yield
    finally:
        syscalls.setns(home, _CLONE_NEWNET)
        os.close(home)


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """The path of a fresh network namespace, its loopback up, as the runtime makes them."""
    with tempfile.TemporaryDirectory(prefix="netns-") as directory:
        path = f"{directory}/net"
        namespaces.pin({"net": path})
        try:
            yield path
        finally:
            namespaces.unpin(path)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], check=True, capture_output=True, text=True).stdout


def instance() -> str:
    return f"t{os.getpid()}"[:9] + chr(ord("a") + next(_COUNTER) % 26)


def config(*ports: PortMapping, name: str = "pod") -> SandboxConfig:
    return SandboxConfig(uid="u", name=name, namespace="default", ports=ports)


def network(directory: Path, name: str = "") -> BridgeNetwork:
    return BridgeNetwork(
        name or instance(), "10.244.0.0/24", "10.244.0.0/16", "10.96.0.0/16", "10.96.0.10", directory / "run"
    )


class Pod:
    """A network namespace with an address, and sockets in it. `path` empty: the host itself."""

    def __init__(self, path: str, address: str) -> None:
        self.path = path
        self.address = address

    def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, kind)
            made.setblocking(False)
            return made

        return namespaces.inside(self.path, "net", make) if self.path else make()

    @contextlib.asynccontextmanager
    async def serve(self, port: int, answer: str = "") -> AsyncIterator[None]:
        """TCP and UDP: tells its name (the address) and the client's address."""
        listener = self.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"{answer or self.address} {writer.get_extra_info('peername')[0]}".encode())
            writer.close()
            await writer.wait_closed()

        class Echo(asyncio.DatagramProtocol):
            def connection_made(inner, transport) -> None:
                inner.transport = transport

            def datagram_received(inner, data: bytes, peer: tuple[str, int]) -> None:
                inner.transport.sendto(f"{answer or self.address} {peer[0]}".encode(), peer)

        server = await asyncio.start_server(tell, sock=listener)
        datagrams = self.socket(socket.SOCK_DGRAM)
        datagrams.bind(("", port))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=datagrams)
        try:
            yield
        finally:
            transport.close()
            server.close()
            await server.wait_closed()

    async def ask(self, address: str, port: int, *, deadline: float = DEADLINE) -> tuple[str, str]:
        """(who answered, whom it saw) over TCP. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        with self.socket() as client:
            async with asyncio.timeout(deadline):
                await loop.sock_connect(client, (address, port))
                data = await loop.sock_recv(client, 100)
        who, _, saw = data.decode().partition(" ")
        return who, saw

    async def ask_datagram(self, address: str, port: int, *, source: int = 0) -> tuple[str, str]:
        """Over UDP, from port `source`."""
        who, _, saw = (await self.exchange(address, port, b"?", source=source)).decode().partition(" ")
        return who, saw

    async def exchange(self, address: str, port: int, data: bytes, *, source: int = 0) -> bytes:
        """A datagram there and one back."""
        loop = asyncio.get_running_loop()
        with self.socket(socket.SOCK_DGRAM) as client:
            client.bind(("", source))
            await loop.sock_connect(client, (address, port))
            async with asyncio.timeout(DEADLINE):
                await loop.sock_sendall(client, data)
                return await loop.sock_recv(client, 4096)


HOST = Pod("", "")


def ip_inside(path: str, *arguments: str) -> str:
    return subprocess.run(
        ["nsenter", f"--net={path}", "ip", *arguments], check=True, capture_output=True, text=True
    ).stdout


def plug(path: str, link: str, here: str, there: str) -> None:
    """Join this namespace and the one at `path` by a pair of links, with an address at each end."""
    ip("link", "add", link, "type", "veth", "peer", "name", "in", "netns", path)
    ip("addr", "add", here, "dev", link)
    ip("link", "set", link, "up")
    ip_inside(path, "addr", "add", there, "dev", "in")
    ip_inside(path, "link", "set", "in", "up")


def everything() -> str:
    """Links, addresses, routes, rules and settings of this namespace, as text to compare."""
    names = [line.split(":")[1].strip().partition("@")[0] for line in ip("-o", "link").splitlines()]
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    return "\n".join(
        [*sorted(names), ip("-4", "-o", "addr"), ip("route", "show", "table", "all"), nft("list", "ruleset"), forward]
    )


def watch_uplink(address: str) -> Callable[[], int]:
    """From now on count packets for `address` that would leave by the uplink."""
    rule = f"oifname uplink ip daddr {address} counter"
    script = f"table ip watch {{ chain out {{ type filter hook postrouting priority 300; {rule}; }}; }}"
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)

    def count() -> int:
        found = re.search(r"packets (\d+)", nft("list", "table", "ip", "watch"))
        assert found
        return int(found[1])

    return count


def other_network(directory: Path) -> BridgeNetwork:
    """Ranges that do not meet those of `network`."""
    return BridgeNetwork(
        instance(), "10.200.0.0/24", "10.200.0.0/16", "10.201.0.0/16", "10.201.0.10", directory / "run"
    )


async def get(address: str, port: int) -> tuple[int, Any]:
    """Status and JSON of `GET /`."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def send_sctp(source: Pod, target: Pod, address: str, port: int) -> tuple[str, int]:
    """Send an INIT chunk; (source address, destination port) of the packet that arrives at the target."""
    loop = asyncio.get_running_loop()

    def raw() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, _SCTP)
        made.setblocking(False)
        return made

    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
    head = struct.pack("!HHI", 5000, port, 0)
    packet = head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk
    with namespaces.inside(target.path, "net", raw) as listening, namespaces.inside(source.path, "net", raw) as sending:
        sending.sendto(packet, (address, 0))
        async with asyncio.timeout(DEADLINE):
            data = await loop.sock_recv(listening, 2048)
    return socket.inet_ntoa(data[12:16]), int.from_bytes(data[22:24], "big")


def crc32c(data: bytes) -> int:
    """Castagnoli's, as SCTP has it (RFC 9260, appendix A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 & -(value & 1))
    return value ^ 0xFFFFFFFF

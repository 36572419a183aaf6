from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan.api.types import core_v1
from sampan.node.probes import grpc, http, tcp
from sampan.node.probes.http import Address
from sampan.node.probes.outcome import AGENT, Outcome, Unprobeable
from tests.node_parts.peers import Health, Site, plain, server, silent

CONTAINER = core_v1.Container(name="c", ports=(core_v1.ContainerPort(name="web", containerPort=8080),))


def closed_port() -> int:
    """A port where nobody listens: bound, never listening, freed."""
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def at(port: int, target: str = "/") -> Address:
    return Address("http", "127.0.0.1", port, target)


# --- HTTP ---


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200 OK", Outcome(True)),
        ("204 No Content", Outcome(True)),
        ("399 Odd", Outcome(True)),
        ("400 Bad", Outcome(False, "HTTP probe failed with statuscode: 400")),
        ("500 Bad", Outcome(False, "HTTP probe failed with statuscode: 500")),
        ("301 Moved", Outcome(True)),
    ],
)
async def test_statuses(status: str, outcome: Outcome) -> None:
    async with server(Site(default=status)) as port:
        assert await http.probe(at(port), (), 5) == outcome


async def test_what_is_asked() -> None:
    site = Site()
    action = core_v1.HTTPGetAction(
        path="healthz?full=1",
        port="web",
        httpHeaders=(
            core_v1.HTTPHeader(name="X-A", value="1"),
            core_v1.HTTPHeader(name="X-A", value="2"),
            core_v1.HTTPHeader(name="Host", value="shop.example"),
            core_v1.HTTPHeader(name="Accept", value=""),
        ),
    )
    async with server(site) as port:
        address = http.action_address(action, CONTAINER, "127.0.0.1")
        assert address == at(8080, "/healthz?full=1")
        await http.probe(address._replace(port=port), http.action_headers(action), 5)
    assert site.requests == [
        "GET /healthz?full=1 HTTP/1.1\r\nHost: shop.example\r\n"
        f"User-Agent: {AGENT}\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"
    ]


async def test_a_header_cannot_smuggle_another() -> None:
    site = Site()
    header = core_v1.HTTPHeader(name="X", value="1\r\nEvil: yes")
    async with server(site) as port:
        await http.probe(at(port), http.action_headers(core_v1.HTTPGetAction(httpHeaders=(header,))), 5)
    assert "\r\nEvil" not in site.requests[0]


async def test_nobody_listens() -> None:
    port = closed_port()
    assert await http.probe(at(port, "/x"), (), 5) == Outcome(
        False, f'Get "http://127.0.0.1:{port}/x": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )


async def test_nobody_answers() -> None:
    async with server(silent) as port:
        outcome = await http.probe(at(port), (), 0.05)
    why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert outcome == Outcome(False, f'Get "http://127.0.0.1:{port}/": {why}')


@pytest.mark.parametrize(("answer", "why"), [(b"", "EOF"), (b"SSH-2.0-x\r\n", "malformed HTTP response")])
async def test_no_http(answer: bytes, why: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with server(talk) as port:
        outcome = await http.probe(at(port), (), 5)
    assert not outcome.passed and why in outcome.message


async def test_an_endless_head_is_cut() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 4000 + b"\r\n")
            await writer.drain()

    async with server(talk) as port:
        outcome = await http.probe(at(port), (), 5)
    assert not outcome.passed


async def test_redirects_within_the_host_are_followed() -> None:
    answers = {"/": "302 Found\nLocation: /a/b?c=d", "/a/b?c=d": "503 Bad"}
    async with server(Site(answers)) as port:
        assert await http.probe(at(port), (), 5) == Outcome(False, "HTTP probe failed with statuscode: 503")


async def test_redirects_elsewhere_are_not_followed() -> None:
    async with server(Site({"/": "302 Found\nLocation: http://example.invalid/"})) as port:
        assert (await http.probe(at(port), (), 5)).passed


async def test_redirects_in_a_circle_end() -> None:
    site = Site(default="302 Found\nLocation: /")
    async with server(site) as port:
        outcome = await http.probe(at(port), (), 5)
    assert outcome == Outcome(False, f'Get "http://127.0.0.1:{port}/": stopped after 10 redirects')
    assert len(site.requests) == 10


@pytest.mark.parametrize("location", ["http://[bad/", "ftp://x/", "http://x:99999999/", ""])
def test_locations_that_lead_nowhere(location: str) -> None:
    assert http.redirected(at(80), location) in (None, at(80))


async def test_https_without_verification(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody.else")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "pem").write_bytes(private + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    async with server(Site(), tls=context) as port:
        assert await http.probe(Address("https", "127.0.0.1", port, "/"), (), 5) == Outcome(True)
    async with server(plain) as port:
        outcome = await http.probe(Address("https", "127.0.0.1", port, "/"), (), 5)
    assert not outcome.passed and "WRONG_VERSION_NUMBER" in outcome.message


def test_ports_have_names() -> None:
    assert [http.port_number(port, CONTAINER) for port in (80, "web", "8081")] == [80, 8080, 8081]
    with pytest.raises(Unprobeable, match="couldn't find port: none in container c"):
        http.port_number("none", CONTAINER)


def test_addresses_of_version_6() -> None:
    assert Address("http", "fd00::1", 80, "/").url == "http://[fd00::1]:80/"


# --- TCP ---


async def test_a_connection_is_enough() -> None:
    async with server(silent) as port:
        assert await tcp.probe("127.0.0.1", port, 5) == Outcome(True)
    port = closed_port()
    assert await tcp.probe("127.0.0.1", port, 5) == Outcome(
        False, f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )


# --- gRPC ---


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("service", ["", "shop.v1.Cart", "s" * 200])
async def test_a_healthy_service(service: str, split: bool) -> None:
    health = Health(split=split)
    async with server(health) as port:
        assert await grpc.probe("127.0.0.1", port, service, 5) == Outcome(True)
    assert health.acknowledged
    assert health.services == [service] or len(service) == 200


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (2, 'service unhealthy (responded with "NOT_SERVING")'),
        (0, 'service unhealthy (responded with "UNKNOWN")'),
        (9, 'service unhealthy (responded with "9")'),
        (None, 'error: health rpc failed: no grpc.health.v1.Health there, or it does not know service "x"'),
    ],
)
async def test_an_unhealthy_service(status: int | None, message: str) -> None:
    async with server(Health(status)) as port:
        assert await grpc.probe("127.0.0.1", port, "x", 5) == Outcome(False, message)


async def test_a_server_that_speaks_something_else() -> None:
    async with server(Site()) as port:
        outcome = await grpc.probe("127.0.0.1", port, "", 5)
    assert not outcome.passed and outcome.message.startswith("error: health rpc failed:")


async def test_a_server_that_says_nothing() -> None:
    async with server(silent) as port:
        outcome = await grpc.probe("127.0.0.1", port, "", 0.05)
    assert outcome == Outcome(
        False,
        f'timeout: failed to connect service "127.0.0.1:{port}" within 0.05s: context deadline exceeded',
    )


@pytest.mark.parametrize("kind", [grpc.GOAWAY, grpc.RST_STREAM])
async def test_a_server_that_refuses(kind: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = grpc.STREAM if kind == grpc.RST_STREAM else 0
        writer.write(grpc.encode(grpc.Frame(kind, 0, stream, b"\x00\x00\x00\x07")))
        await reader.read()

    async with server(talk) as port:
        outcome = await grpc.probe("127.0.0.1", port, "", 5)
    assert not outcome.passed and "health rpc failed" in outcome.message


@pytest.mark.parametrize(("number", "encoded"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_variable_integers(number: int, encoded: bytes) -> None:
    assert grpc.varint(number) == encoded


def test_long_header_fields() -> None:
    assert grpc.literal(b"n", b"v" * 130) == b"\x00\x01n\x7f\x03" + b"v" * 130

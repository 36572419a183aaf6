from __future__ import annotations

import ssl
import warnings
from pathlib import Path

import pytest
from cryptography import x509

from sampan.http import tls
from sampan.http.client import HttpTransport
from sampan.http.types import Request, Response
from sampan.pki import Authority, Identity
from tests.http.conftest import serving


def who(request: Request) -> Response:
    if request.peer_certificate is None:
        return Response(200, b"nobody")
    certificate = x509.load_der_x509_certificate(request.peer_certificate)
    return Response(200, certificate.subject.rfc4514_string().encode())


async def ask(port: int, context: ssl.SSLContext, host: str = "127.0.0.1", **more: str) -> bytes:
    client = HttpTransport(f"https://{host}:{port}", tls=context, **more)
    try:
        return await (await client.send(Request("GET", "/"))).read()
    finally:
        await client.close()


async def test_a_client_certificate_is_optional_and_shown_to_the_handler(
    server_tls: ssl.SSLContext, authority: Authority, client_files: tuple[Path, Path]
) -> None:
    ca = authority.certificate_path
    async with serving(who, tls=server_tls) as (_, port):
        assert await ask(port, tls.client_context(ca_file=ca)) == b"nobody"
        context = tls.client_context(ca_data=ca.read_text(), cert_file=client_files[0], key_file=client_files[1])
        assert await ask(port, context) == b"CN=alice,O=makers"
        context = tls.client_context(
            ca_data=ca.read_bytes(), cert_data=client_files[0].read_bytes(), key_data=client_files[1].read_bytes()
        )
        assert await ask(port, context) == b"CN=alice,O=makers"


async def test_a_certificate_of_another_authority_is_refused_on_either_side(
    server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    certificate, key = stranger.ensure(Identity("client", "mallory", ("system:masters",)))
    context = tls.client_context(ca_file=authority.certificate_path, cert_file=certificate, key_file=key)
    async with serving(who, tls=server_tls) as (_, port):
        with pytest.raises(ConnectionError):
            await ask(port, context)
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            await ask(port, tls.client_context(ca_file=stranger.certificate_path))
        assert await ask(port, tls.client_context(insecure=True)) == b"nobody"


async def test_the_name_in_the_certificate_counts(server_tls: ssl.SSLContext, authority: Authority) -> None:
    ca = authority.certificate_path
    async with serving(who, tls=server_tls) as (_, port):
        assert await ask(port, tls.client_context(ca_file=ca), host="localhost") == b"nobody"
        assert await ask(port, tls.client_context(ca_file=ca, server_name="localhost")) == b"nobody"
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            await ask(port, tls.client_context(ca_file=ca, server_name="elsewhere"))
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            await ask(port, tls.client_context(ca_file=ca), server_hostname="elsewhere")


async def test_old_versions_of_tls_are_refused(server_tls: ssl.SSLContext, authority: Authority) -> None:
    context = tls.client_context(ca_file=authority.certificate_path)
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    async with serving(who, tls=server_tls) as (_, port):
        with pytest.raises(ConnectionError):
            await ask(port, context)


async def test_new_handshakes_use_a_renewed_certificate(authority: Authority, tmp_path: Path) -> None:
    first = authority.ensure(Identity("first", "first", hosts=("first.test",)))
    second = authority.ensure(Identity("second", "second", hosts=("second.test",)))
    context = tls.server_context(*first)
    trust = authority.certificate_path
    async with serving(who, tls=context) as (_, port):
        assert await ask(port, tls.client_context(ca_file=trust, server_name="first.test")) == b"nobody"
        tls.reload(context, *second)
        assert await ask(port, tls.client_context(ca_file=trust, server_name="second.test")) == b"nobody"

"""TLS for both ends: who must prove what, and with which versions.

Certificates may change on disk while a context lives: `reload` makes new handshakes use the new ones.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path


def server_context(
    cert_file: str | Path, key_file: str | Path, client_ca_file: str | Path | None = None
) -> ssl.SSLContext:
    """A server with this certificate. With `client_ca_file` a client may prove a certificate that this CA
    signed: one without stays anonymous, one with a wrong certificate is refused in the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1
    context.load_cert_chain(cert_file, key_file)
    if client_ca_file is not None:
        context.load_verify_locations(client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class ClientContext(ssl.SSLContext):
    """Also knows the name to expect in the server's certificate when it is not the URL's host."""

    server_name: str | None = None


def client_context(
    *,
    ca_data: str | bytes | None = None,
    ca_file: str | Path | None = None,
    cert_file: str | Path | None = None,
    key_file: str | Path | None = None,
    cert_data: bytes | None = None,
    key_data: bytes | None = None,
    insecure: bool = False,
    server_name: str | None = None,
) -> ClientContext:
    """A client that trusts only the given CA (the system's when none is given) and proves its certificate, from
    files or PEM bytes. `insecure` trusts everybody. `server_name` is the name that the server's certificate must
    carry when it is not the URL's host. Raises ssl.SSLError or OSError for material that cannot be read.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        if ca_data is not None:
            context.load_verify_locations(cadata=ca_data.decode() if isinstance(ca_data, bytes) else ca_data)
        elif ca_file is not None:
            context.load_verify_locations(ca_file)
        else:
            context.load_default_certs()
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    elif cert_data is not None:
        _load_bytes(context, cert_data, key_data or b"")
    return context


def reload(context: ssl.SSLContext, cert_file: str | Path, key_file: str | Path) -> None:
    """New handshakes use the certificate that these files hold now."""
    context.load_cert_chain(cert_file, key_file)


def _load_bytes(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL reads certificate chains from files only: one that nobody else can read and that is gone at once.
    with tempfile.NamedTemporaryFile(prefix="sampan-", suffix=".pem") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)

"""Authorities that this machine trusts besides the usual ones: behind a proxy that opens TLS, a RUN that downloads
something needs them as well. They are mounted, and named in the variables that programs read; the image keeps nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

TARGET = "/dev/certificates.crt"
VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"),
    *("GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"),
)
"""Where OpenSSL, requests, curl, pip, Node.js, git and cargo look for a bundle."""

_OWN = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
)
"""Where Debian, Fedora and Arch keep the authorities that an administrator added."""
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def of_machine(environ: Mapping[str, str], root: str = "") -> str:
    """The bundle that RUNs need too: SSL_CERT_FILE, or the system's when somebody added to it; "" for none."""
    named = environ.get("SSL_CERT_FILE", "")
    if named and os.path.isfile(named):
        return named
    if not any(os.path.isdir(root + own) and os.listdir(root + own) for own in _OWN):
        return ""
    return next((root + bundle for bundle in _BUNDLES if os.path.isfile(root + bundle)), "")

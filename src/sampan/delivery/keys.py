"""What opens a private repository elsewhere: the Secret APP-git of the app's namespace.

git runs as root on the node, so it gets these keys and no others: neither those in root's home nor an agent's.
Source: the fields of the types kubernetes.io/basic-auth and kubernetes.io/ssh-auth.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.client import Client

USER, PASSWORD = "username", "password"
KEY, HOSTS = "ssh-privatekey", "known_hosts"
TOKEN_USER = "git"  # noqa: S105
"""Whom forges expect in front of a token."""


class KeysError(Exception):
    """Why the Secret does not do; the words are for whoever made it."""


async def read(client: Client, namespace: str, name: str) -> dict[str, str] | None:
    """The fields of a Secret, None when there is none. Raises KeysError, StatusError and what UNREACHABLE names."""
    try:
        secret = await client.get(core_v1.Secret, name, namespace)
    except StatusError as error:
        if error.code == 404:
            return None
        raise
    try:
        return {field: base64.b64decode(value).decode() for field, value in secret.data.items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise KeysError(f"secret {name} holds something else than text") from error


def name_of(app: str) -> str:
    return f"{app}-git"


def environment(url: str, secret: str, fields: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Variables that give git the keys. Files are written into `directory`. Blocking. Raises KeysError.

    `fields` is empty when there is no Secret: then git has no keys at all.
    """
    if url.startswith("ssh://"):
        return _ssh(secret, fields, directory)
    if not url.startswith(("https://", "http://")) or not fields:
        return {}
    if PASSWORD not in fields:
        raise KeysError(f"Secret {secret} has no {PASSWORD}, which {url} needs; it has {_listed(fields)}")
    if url.startswith("http://"):
        raise KeysError(f"Secret {secret} is not sent to {url}, where everybody on the way can read it: use https://")
    pair = f"{fields.get(USER) or TOKEN_USER}:{fields[PASSWORD]}".encode()
    parts = urlsplit(url)
    # Only to this server: git would hand it on to where a redirect leads.
    return {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_1": "http.followRedirects",
        "GIT_CONFIG_VALUE_1": "false",
        "GIT_CONFIG_KEY_0": f"http.https://{parts.netloc.rpartition('@')[2]}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {base64.b64encode(pair).decode()}",
    }


def _ssh(secret: str, fields: Mapping[str, str], directory: Path) -> dict[str, str]:
    wanted = {KEY: "the private key", HOSTS: "the server's lines of known_hosts"}
    missing = [f"{field} ({what})" for field, what in wanted.items() if not fields.get(field)]
    if missing:
        raise KeysError(f"a repository over ssh needs Secret {secret} with {' and '.join(missing)}")
    for field in wanted:
        _write(directory / field, fields[field].rstrip("\n") + "\n")
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "20",
        "ServerAliveInterval": "20",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": str(directory / KEY),
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(directory / HOSTS),
        "GlobalKnownHostsFile": "/dev/null",
    }
    words = " ".join(f"-o {quote(f'{name}={value}')}" for name, value in options.items())
    return {"GIT_SSH_COMMAND": f"ssh -F /dev/null {words}", "GIT_SSH_VARIANT": "ssh"}


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)


def _listed(fields: Mapping[str, str]) -> str:
    return ", ".join(sorted(fields)) or "nothing"

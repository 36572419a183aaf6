"""Which server, as whom, in which namespace: kubeconfig files, flags, or the service account of a pod.

Source: client-go's tools/clientcmd (loading rules and precedence).
"""

from __future__ import annotations

import argparse
import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.cli.context import CommandError
from sampan.cli.kubectl import credentials

Document = dict[str, Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Target:
    """Everything that a connection needs. Files are read when it is opened."""

    server: str
    namespace: str = "default"
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_data: bytes | None = None
    ca_file: str = ""
    certificate: bytes = b""
    key: bytes = b""
    server_name: str = ""
    insecure: bool = False


def paths(options: argparse.Namespace | None, environ: Mapping[str, str]) -> list[Path]:
    if options is not None and options.kubeconfig:
        return [Path(options.kubeconfig)]
    listed = [Path(p) for p in environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return listed or [Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"]


def load(files: list[Path], *, must_exist: bool = False) -> Document:
    """The files merged: of entries with one name, and of single values, the first counts. Relative paths are made
    absolute."""
    merged: Document = {"clusters": [], "users": [], "contexts": [], "current-context": ""}
    for path in files:
        document = _read(path, must_exist=must_exist)
        for section in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[section]}
            for entry in document.get(section) or ():
                if entry.get("name") not in known:
                    merged[section].append(_absolute(entry, path.parent))
        merged["current-context"] = merged["current-context"] or document.get("current-context") or ""
    return merged


def _read(path: Path, *, must_exist: bool) -> Document:
    from sampan.api import yaml

    try:
        document, _ = yaml.load(path.read_bytes())
    except FileNotFoundError:
        if must_exist:
            raise CommandError(f"error: stat {path}: no such file or directory") from None
        return {}
    except (yaml.YAMLError, OSError) as error:
        raise CommandError(f'error: error loading config file "{path}": {error}') from error
    return document if isinstance(document, dict) else {}


_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _absolute(entry: Document, folder: Path) -> Document:
    made = dict(entry)
    for part in ("cluster", "user"):
        if isinstance(entry.get(part), dict):
            made[part] = {
                key: str(folder / value) if key in _FILES and value else value for key, value in entry[part].items()
            }
    return made


def named(document: Document, section: str, name: str) -> Document | None:
    for entry in document[section]:
        if entry["name"] == name:
            return entry.get(section.removesuffix("s")) or {}
    return None


def target(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Raises CommandError for a context or cluster that the files do not have."""
    document = load(paths(options, environ), must_exist=bool(options.kubeconfig))
    if not document["contexts"] and not options.server and not options.cluster and ACCOUNT.joinpath("token").exists():
        return _of_account(options, environ)
    name = options.context or document["current-context"]
    context = named(document, "contexts", name)
    if context is None:
        if options.context:
            raise CommandError(f'error: context "{name}" does not exist')
        context = {}
    cluster = _part(document, "clusters", options.cluster or context.get("cluster"))
    user = _part(document, "users", options.user or context.get("user"))
    server = options.server or cluster.get("server") or "http://localhost:8080"
    return Target(
        server=server if "://" in server else f"http://{server}",
        namespace=options.namespace or context.get("namespace") or "default",
        headers=_headers(options, user),
        # what is typed wins over what the file holds
        ca_data=None if options.certificate_authority else _data(cluster, "certificate-authority-data"),
        ca_file=options.certificate_authority or cluster.get("certificate-authority") or "",
        certificate=_material(options.client_certificate, user, "client-certificate"),
        key=_material(options.client_key, user, "client-key"),
        server_name=options.tls_server_name or cluster.get("tls-server-name") or "",
        insecure=options.insecure_skip_tls_verify or bool(cluster.get("insecure-skip-tls-verify")),
    )


def _part(document: Document, section: str, name: str | None) -> Document:
    if not name:
        return {}
    found = named(document, section, name)
    if found is None:
        raise CommandError(f'error: {section.removesuffix("s")} "{name}" does not exist')
    if section == "users" and "exec" in found:
        return {**found, **credentials.ask(found["exec"])}
    return found


def _data(part: Document, name: str) -> bytes | None:
    return base64.b64decode(part[name]) if part.get(name) else None


def _material(file: str | None, user: Document, name: str) -> bytes:
    if file:
        return _bytes(file)
    return _data(user, f"{name}-data") or (_bytes(user[name]) if user.get(name) else b"")


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"error: unable to read {path}: {error.strerror}") from error


def _headers(options: argparse.Namespace, user: Document) -> dict[str, str]:
    headers = {}
    token = options.token or user.get("token")
    if not token and user.get("tokenFile"):
        token = _bytes(user["tokenFile"]).decode().strip()
    if token:
        headers["authorization"] = f"Bearer {token}"
    elif user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if impersonated := options.as_ or user.get("as"):
        headers["impersonate-user"] = impersonated
    if uid := options.as_uid or user.get("as-uid"):
        headers["impersonate-uid"] = uid
    groups = options.as_group or user.get("as-groups") or []
    if len(groups) > 1:
        raise CommandError("error: more than one --as-group cannot be sent; use one")
    if groups:
        headers["impersonate-group"] = groups[0]
    return headers


def _of_account(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = options.token or ACCOUNT.joinpath("token").read_text().strip()
    return Target(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=options.namespace or ACCOUNT.joinpath("namespace").read_text().strip() or "default",
        headers=_headers(options, {"token": token}),
        ca_file=str(ACCOUNT / "ca.crt"),
    )

"""kubeconfig files: read, change and write them as kubectl does, owned by the person who asked.

Source: client-go's tools/clientcmd; the file's shape is v1 Config.
"""

from __future__ import annotations

import base64
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sampan.cli.context import CommandError

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose kubeconfig is written: with sudo it is the person who called it."""

    uid: int
    gid: int
    home: Path


def owner(environ: Mapping[str, str]) -> Owner:
    name = environ.get("SUDO_USER", "")
    if os.geteuid() == 0 and name and name != "root":
        entry = pwd.getpwnam(name)
        return Owner(entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    return Owner(os.geteuid(), os.getegid(), Path(environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir))


def default_path(environ: Mapping[str, str]) -> Path:
    """The file that changes go to: the first existing one of KUBECONFIG, else its last, else ~/.kube/config."""
    paths = [Path(p) for p in environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    if paths:
        return next((p for p in paths if p.exists()), paths[-1])
    return owner(environ).home / ".kube" / "config"


def empty() -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [],
        "users": [],
        "contexts": [],
        "current-context": "",
    }


def read(path: Path) -> Document:
    """The file's content; an absent or empty file is an empty Config."""
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return empty()
    except OSError as error:
        raise CommandError(f"error loading config file {str(path)!r}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"error loading config file {str(path)!r}: {error}") from error
    if document is None:
        return empty()
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise CommandError(f"error loading config file {str(path)!r}: it is no kubeconfig")
    return {**empty(), **document}


def put(document: Document, section: str, name: str, value: Document) -> None:
    """Set the entry `name` of `clusters`, `users` or `contexts`."""
    singular = section.removesuffix("s")
    entries = document[section] = [e for e in document.get(section) or [] if e.get("name") != name]
    entries.append({"name": name, singular: value})


def drop(document: Document, section: str, name: str) -> None:
    document[section] = [e for e in document.get(section) or [] if e.get("name") != name]


def find(document: Document, section: str, name: str) -> Document | None:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            value: Document = entry.get(section.removesuffix("s")) or {}
            return value
    return None


def write(path: Path, document: Document, who: Owner) -> None:
    """Whole or not at all, 0600, owned by `who`; missing folders are made for `who` as well."""
    try:
        _write(path, document, who)
    except OSError as error:
        mend = "let KUBECONFIG name a file that can be written"
        raise CommandError(f"cannot write the kubeconfig {path}: {error.strerror}; {mend}") from error


def _write(path: Path, document: Document, who: Owner) -> None:
    for parent in [p for p in reversed(path.parents) if not p.exists()]:
        parent.mkdir(mode=0o700)
        os.chown(parent, who.uid, who.gid)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(document, file, sort_keys=False)
        os.fchown(file.fileno(), who.uid, who.gid)
    partial.replace(path)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def add_cluster(document: Document, name: str, server: str, ca: Path, certificate: Path, key: Path) -> None:
    """Cluster, user and context of one name, made current."""
    put(document, "clusters", name, {"server": server, "certificate-authority-data": encoded(ca)})
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    put(document, "users", name, user)
    namespace = (find(document, "contexts", name) or {}).get("namespace")
    put(document, "contexts", name, {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})})
    document["current-context"] = name


def remove_cluster(document: Document, name: str) -> None:
    for section in ("clusters", "users", "contexts"):
        drop(document, section, name)
    if document.get("current-context") == name:
        document["current-context"] = ""

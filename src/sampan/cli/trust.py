"""`sampan trust`: this machine's programs believe the certificates of published hosts; `--remove` undoes it.

The authority is one of its own: it signs certificates of hosts and nothing that the cluster's API believes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sampan.cli import cluster_options
from sampan.cli.context import CommandError, Context
from sampan.config import ClusterConfig

EXAMPLES = "sampan trust\nsampan trust --remove\ncurl --cacert $(sampan trust --print) https://app.localhost"
ENDING = ".crt"


class Store(NamedTuple):
    """Where a distribution keeps authorities that were added, and what makes programs see them."""

    place: Path
    update: tuple[str, ...]


STORES = (
    Store(Path("/usr/local/share/ca-certificates"), ("update-ca-certificates",)),
    Store(Path("/etc/pki/ca-trust/source/anchors"), ("update-ca-trust",)),
    Store(Path("/etc/ca-certificates/trust-source/anchors"), ("update-ca-trust",)),
    Store(Path("/etc/pki/trust/anchors"), ("update-ca-certificates",)),
)
"""Debian and Ubuntu; Fedora and its kin; Arch; openSUSE."""


def configure(parser: argparse.ArgumentParser) -> None:
    cluster_options.add(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="trust it no longer")
    what.add_argument("--print", dest="show", action="store_true", help="print the certificate's path, change nothing")


def run(options: argparse.Namespace, context: Context) -> int:
    cluster = cluster_options.read(options)
    certificate = certificate_of(cluster)
    if options.show:
        context.out(str(existing(certificate, cluster)))
        return 0
    if os.geteuid() != 0:
        raise CommandError("not root: the system's store of certificates belongs to it; run it with sudo")
    if options.remove:
        remove(cluster.name, STORES, context)
        databases = tuple(browsers(context.environ))
        for database in databases:
            browser("-D", database, cluster.name)
    else:
        install(existing(certificate, cluster), cluster.name, STORES, context)
        databases = tuple(browsers(context.environ))
        for database in databases:
            browser("-D", database, cluster.name)
            if browser("-A", database, cluster.name, "-t", "C,,", "-i", str(certificate)):
                context.err(f"  and by browsers that read {database}")
        hint(databases, certificate, context)
    return 0


def certificate_of(cluster: ClusterConfig) -> Path:
    from sampan.network.ingress import certificates

    return certificates.public(cluster.pki_dir)


def existing(certificate: Path, cluster: ClusterConfig) -> Path:
    if not certificate.exists():
        raise CommandError(f"cluster {cluster.name} has no certificates yet: start it once with `sampan up`")
    return certificate


def file_name(cluster: str) -> str:
    return f"sampan-{cluster}{ENDING}"


def install(certificate: Path, cluster: str, stores: Sequence[Store], context: Context) -> None:
    store = next((each for each in stores if each.place.is_dir() and shutil.which(each.update[0])), None)
    if store is None:
        raise CommandError(
            "no store of certificates is known on this machine; install the package ca-certificates, or give programs "
            f"this authority: {certificate}"
        )
    place = store.place / file_name(cluster)
    if place.exists() and place.read_bytes() == certificate.read_bytes():
        context.err(f"this machine trusts cluster {cluster} already ({place})")
    else:
        shutil.copyfile(certificate, place)
        place.chmod(0o644)
        update(store)
        context.err(f"this machine trusts the hosts that cluster {cluster} publishes")
        context.err(f"  the authority is {place}")
    context.err("  undo it with: sampan trust --remove" + (f" --name {cluster}" if cluster != "sampan" else ""))


def remove(cluster: str, stores: Sequence[Store], context: Context) -> None:
    """Idempotent; works for clusters that are no more."""
    found = False
    for store in stores:
        place = store.place / file_name(cluster)
        if place.exists():
            place.unlink()
            update(store)
            found = True
            context.err(f"this machine trusts cluster {cluster} no longer ({place} is removed)")
    if not found:
        context.err(f"this machine did not trust cluster {cluster}")


def update(store: Store) -> None:
    done = subprocess.run(store.update, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(store.update)} failed: {(done.stderr or done.stdout).strip()}")


# --- browsers that look into a database of their own


def browsers(environ: Mapping[str, str]) -> Iterator[Path]:
    """Databases of Chromium and Firefox of the person who called, also by sudo; none without certutil."""
    if shutil.which("certutil") is None:
        return
    for home in homes(environ):
        for pattern in (".pki/nssdb", ".mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*"):
            yield from (each for each in sorted(home.glob(pattern)) if (each / "cert9.db").exists())


def homes(environ: Mapping[str, str]) -> list[Path]:
    import pwd

    person = environ.get("SUDO_USER")
    try:
        return [Path(pwd.getpwnam(person).pw_dir)] if person else [Path.home()]
    except KeyError:
        return [Path.home()]


def browser(action: str, database: Path, cluster: str, *more: str) -> bool:
    command = ["certutil", "-d", f"sql:{database}", action, "-n", f"Sampan local CA ({cluster})", *more]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def hint(databases: Sequence[Path], certificate: Path, context: Context) -> None:
    if not databases:
        context.err("  Firefox and Chromium keep their own lists: import the file there, or install libnss3-tools")
        context.err(f"  and run this again ({certificate})")

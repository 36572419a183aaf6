"""Images for `sampan deploy`: built from a folder into the node's store, and what an image there declares."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sampan.cli import main
from sampan.cli.cluster_options import KEPT
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config

if TYPE_CHECKING:
    from sampan.images.store import Record

REGISTRY = "sampan.dev/apps"
"""What built images are called: `sampan.dev/apps/NAME:DIGEST`; the name leads to no registry."""
LETTERS = 12
PROTOCOLS = "https:http:ssh:git:file"
"""Ways to a repository; git knows others that run commands."""


class Declared(NamedTuple):
    """What an image says of itself."""

    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    known: bool = False


class Local(NamedTuple):
    """A cluster on this machine, into whose store we can build."""

    name: str
    data_root: Path

    @property
    def images(self) -> Path:
        return self.data_root / self.name / "images"


def local(options: argparse.Namespace, context: Context) -> Local | None:
    """The Sampan cluster on this machine that the kubeconfig's context means; None for another one."""
    name = options.context or config.load(config.paths(options, context.environ)).get("current-context") or ""
    found = Local(str(name), Path(options.data_root))
    return found if name and (found.data_root / found.name / KEPT).exists() else None


def elsewhere(options: argparse.Namespace, context: Context) -> str:
    """Why `local` found nothing."""
    name = options.context or config.load(config.paths(options, context.environ)).get("current-context")
    return f"context {name} is another one" if name else "no context is chosen: `sampan up` starts a cluster"


def find(cluster: Local | None, image: str) -> Record | None:
    """The image in the node's store, if we may look there."""
    from sampan.host.containers import ImageFailure
    from sampan.images.store import ImageStore

    if cluster is None or os.geteuid() != 0 or not cluster.images.is_dir():
        return None
    store = ImageStore(str(cluster.images))
    try:
        return store.find(image)
    except ImageFailure as error:
        raise CommandError(f"error: {image}: {error}") from error
    finally:
        store.close()


def declared(cluster: Local | None, image: str) -> Declared:
    record = find(cluster, image)
    if record is None:
        return Declared()
    said = record.config
    return Declared(said.exposed_ports, said.volumes, (*said.entrypoint, *said.cmd), said.env, True)


@contextlib.contextmanager
def cloned(url: str, ref: str) -> Iterator[Path]:
    """A shallow clone for the time of a build. Raises CommandError with git's own words."""
    program = shutil.which("git")
    if program is None:
        raise CommandError("error: git is missing; as root: apt-get install git")
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS}
    with tempfile.TemporaryDirectory(prefix="sampan-git-") as folder:
        for words in (
            ("init", "--quiet", folder),
            ("-C", folder, "fetch", "--quiet", "--depth=1", "--", url, ref or "HEAD"),
            ("-C", folder, "checkout", "--quiet", "--detach", "FETCH_HEAD"),
        ):
            done = subprocess.run([program, *words], env=environ, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
                said = (fatal or lines or [f"git ended with exit code {done.returncode}"])[0]
                raise CommandError(f"error: {url}{f' ({ref})' if ref else ''}: {said}")
        yield Path(folder)


async def build(cluster: Local, directory: Path, name: str, context: Context) -> str:
    """Build a folder as `sampan image build` does. Returns the image's name, which changes with its content."""
    if os.geteuid() != 0:
        raise CommandError("error: not root: the node's images belong to root; run it with sudo, or deploy an --image")
    latest = f"{REGISTRY}/{name}:latest"
    words = ["build", "--tag", latest, "--name", cluster.name, "--data-root", str(cluster.data_root), str(directory)]
    parser, module = main.parser_of(main.find("image"))
    code = await module.run(parser.parse_args(words), context)  # type: ignore[attr-defined]
    if code:
        raise CommandError(f"\nthe image of {name} was not built: mend the step above and deploy again", code)
    record = find(cluster, latest)
    if record is None:
        raise CommandError(f"error: {latest} is not in the store although its build ended well")
    pinned = f"{REGISTRY}/{name}:{record.id.removeprefix('sha256:')[:LETTERS]}"
    from sampan.images.store import ImageStore

    store = ImageStore(str(cluster.images))
    try:
        await store.tag(latest, pinned)
    finally:
        store.close()
    return pinned

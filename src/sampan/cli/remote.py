"""`sampan remote`: makes `git push sampan main` of the current folder's repository deploy an app.

The remote's address, the cluster's authority, and how to prove who pushes go into the repository's own configuration,
for this one address: a client certificate as files beside it, or a helper that gives the kubeconfig's token when git
asks.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from sampan.cli import building, cluster_options, deploy
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config, flags
from sampan.config import DATA_ROOT, ClusterConfig
from sampan.delivery import guess

REMOTE = "sampan"
STRONGER = ("GIT_SSL_CAINFO", "GIT_SSL_CERT", "GIT_SSL_KEY")
"""Variables that git believes rather than any configuration."""
FILES = ("ca.crt", "client.crt", "client.key")

EXAMPLES = """\
examples:
  sampan remote
  sampan remote guestbook -n shop
  sampan remote --remove"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan remote [APP] [FLAGS]"
    flags.set_up(parser)
    parser.add_argument("--remote", default=REMOTE, metavar="NAME", help=f"what git calls it (default: {REMOTE})")
    parser.add_argument("--remove", action="store_true", help="take the remote and all that belongs to it away")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help=argparse.SUPPRESS)


def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) > 1:
        raise CommandError("error: name one app")
    repository = Repository.here()
    name = _remote_name(options.remote)
    if options.remove:
        if not repository.remove(name):
            raise CommandError(f"error: this repository has no remote {name} of a cluster")
        context.err(f"remote {name} is removed")
        return 0
    target = config.target(options, context.environ)
    app = options.args[0] if options.args else _app(repository.top)
    url = address(options, context) + f"/{target.namespace}/{app}.git"
    repository.remove(name)
    repository.add(name, url)
    folder = repository.folder(name)
    authority = target.ca_data or (Path(target.ca_file).read_bytes() if target.ca_file else b"")
    files = dict(zip(FILES, (authority, target.certificate, target.key), strict=True))
    for setting, file in (("sslCAInfo", "ca.crt"), ("sslCert", "client.crt"), ("sslKey", "client.key")):
        if files[file]:
            repository.write(folder / file, files[file])
            repository.set(f"http.{url}.{setting}", str(folder / file))
    repository.set(f"http.{url}.proxy", "")
    if not target.certificate:
        repository.set(f"credential.{url}.helper", "", helper(options, context))
    repository.give_back(folder)
    context.err(f"remote {name} is {url}")
    branch = repository.branch()
    words = "git push"
    if stronger := [variable for variable in STRONGER if context.environ.get(variable)]:
        context.err(f"{' and '.join(stronger)} of this environment would win over the remote's own settings")
        words = f"env {' '.join(f'-u {variable}' for variable in stronger)} git push"
    context.err(f"deploy with: {words} {name} {branch if branch in ('main', 'master') else 'HEAD:main'}")
    return 0


def address(options: argparse.Namespace, context: Context) -> str:
    """Where the git server of the kubeconfig's cluster answers. Raises CommandError when it is not on this machine."""
    return f"https://127.0.0.1:{served(options, context).git_port}"


def served(options: argparse.Namespace, context: Context) -> ClusterConfig:
    """The cluster on this machine that the kubeconfig's context means, which serves git."""
    local = building.local(options, context)
    if local is None:
        raise CommandError(
            "error: the git server answers on the machine of its cluster, and "
            f"{building.elsewhere(options, context)}; run this there, or choose it with --context"
        )
    where = argparse.Namespace(name=local.name, data_root=local.data_root)
    cluster = cluster_options.read(where)
    if not cluster.git_port:
        raise CommandError(f"error: cluster {cluster.name} serves no git: sampan up --git-port 8418 switches it on")
    return cluster


def helper(options: argparse.Namespace, context: Context) -> str:
    """The command that git runs for a user name and a password."""
    words = [sys.executable, "-P", "-m", "sampan.cli.main", "git-credential"]
    files = os.pathsep.join(str(path.absolute()) for path in config.paths(options, context.environ))
    for flag in ("context", "user"):
        if value := getattr(options, flag):
            words.append(f"--{flag}={value}")
    return f"!KUBECONFIG={shlex.quote(files)} {shlex.join(words)}"


def _remote_name(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum() or name.startswith("-"):
        raise CommandError(f"error: --remote {name}: use letters, digits and dashes")
    return name


def _app(top: Path) -> str:
    base, _ = deploy.described(top)
    found = ((base or {}).get("metadata") or {}).get("name") or guess.app_name(top.name)
    if not found:
        raise CommandError("error: nothing gives the app a name; say sampan remote NAME")
    return str(found)


class Repository:
    """The one that the current folder is in, and its configuration. Raises CommandError with git's own words."""

    def __init__(self, program: str, top: Path, directory: Path) -> None:
        self.top = top
        self._program = program
        self._directory = directory

    @classmethod
    def here(cls) -> Repository:
        program = shutil.which("git")
        if program is None:
            raise CommandError("error: git is missing; as root: apt-get install git")
        words = [program, "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().removeprefix("fatal: ")
            raise CommandError(f"error: {said}; a new repository: git init && git add . && git commit -m first")
        top, directory = done.stdout.splitlines()
        return cls(program, Path(top), Path(directory))

    def folder(self, name: str) -> Path:
        return self._directory / "sampan" / name

    def branch(self) -> str:
        return self._git("symbolic-ref", "--short", "-q", "HEAD", check=False).strip()

    def add(self, name: str, url: str) -> None:
        self._git("remote", "add", "--", name, url)

    def set(self, key: str, *values: str) -> None:
        for at, value in enumerate(values):
            self._git("config", "--local", *(("--add",) if at else ()), key, value)

    def remove(self, name: str) -> bool:
        """Take away what an earlier call made; False when there was nothing. A remote of somebody else stays."""
        url = self._git("config", "--local", "--get", f"remote.{name}.url", check=False).strip()
        if not url:
            return False
        if not self.folder(name).is_dir():
            raise CommandError(f"error: remote {name} is {url}, and no cluster's: choose another name with --remote")
        self._git("remote", "remove", name)
        for section in (f"http.{url}", f"credential.{url}"):
            self._git("config", "--local", "--remove-section", section, check=False)
        shutil.rmtree(self.folder(name))
        return True

    def write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def give_back(self, folder: Path) -> None:
        """To the repository's owner, when root did this for somebody."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = self._directory.stat()
        if os.geteuid() == 0 and owner.st_uid:
            for path in (self._directory / "config", folder.parent, folder, *folder.iterdir()):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [self._program, f"--git-dir={self._directory}", *words], capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise CommandError(f"error: git {words[0]}: {done.stderr.strip()}")
        return done.stdout

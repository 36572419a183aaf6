"""Source code of an app in a git repository of a test's own, and the pipeline of what is committed there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from sampan.delivery.git.paths import Place
from sampan.delivery.git.repositories import Repositories
from sampan.delivery.places import Places
from tests.e2e.machine import SAMPAN, Machine, call

WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
DOCKERFILE = """\
FROM scratch
COPY bin/busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY index.html /www/
EXPOSE 8000
STOPSIGNAL SIGKILL
CMD ["/bin/busybox", "httpd", "-f", "-p", "8000", "-h", "/www"]
"""


class Project:
    """A small web site; its repository is where the git server keeps it, so that nothing but the push is missing."""

    def __init__(self, machine: Machine, namespace: str, folder: Path, app: str = "site") -> None:
        self.machine, self.namespace, self.folder, self.app = machine, namespace, folder, app
        uid = machine.kubectl("get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}").stdout
        places = Places(machine.data_dir)
        self.bare = Repositories(places.repositories, places.git).ensure(Place(namespace, app), uid)
        busybox = shutil.which("busybox")
        assert busybox, "busybox is not installed"
        (folder / "bin").mkdir(parents=True)
        shutil.copy(busybox, folder / "bin" / "busybox")
        self.git("init", "-q", "-b", "main")
        self.write("Dockerfile", DOCKERFILE)
        self.write("index.html", "one\n")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *WHO, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def push(self, message: str, branch: str = "main") -> str:
        """Commit everything and bring it into the repository. Returns the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "--force", str(self.bare), f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD").strip()

    def __call__(self, *words: str, code: int = 0) -> str:
        """`sampan pipeline APP ...`."""
        done = self.machine.sampan("pipeline", "-n", self.namespace, self.app, *words, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same beside the test."""
        command = [*SAMPAN, "pipeline", "-n", self.namespace, self.app, *words]
        return subprocess.Popen(
            command, env=self.machine.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, message: str, *words: str, branch: str = "main", code: int = 0) -> str:
        """Push, start a run and follow it to its end."""
        self.push(message, branch)
        return self("--start", "--branch", branch, "-f", *words, code=code)

    def last(self) -> dict[str, Any]:
        """The newest run."""
        runs: list[dict[str, Any]] = self.machine.get("runs", "-n", self.namespace)["items"]
        mine = [run for run in runs if run["spec"]["app"] == self.app]
        return max(mine, key=lambda run: run["status"].get("number", 0))

    def stages(self) -> dict[str, str]:
        return {stage["name"]: stage["phase"] for stage in self.last()["status"].get("stages", ())}

    def agents(self) -> list[str]:
        """Pods of pipelines."""
        label = "sampan.dev/pipelinerun"
        return self.machine.kubectl("-n", self.namespace, "get", "pods", "-l", label, "-o", "name").stdout.split()

    def page(self, path: str = "/") -> str:
        """What the app's service answers."""
        proxied = f"/api/v1/namespaces/{self.namespace}/services/{self.app}:8000/proxy{path}"
        return self.machine.kubectl("get", "--raw", proxied).stdout

    def sampan(self, *words: str, code: int = 0) -> str:
        done = call([*SAMPAN, *words, "-n", self.namespace], self.machine.environ, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def left(self) -> list[Path]:
        """Workspaces of runs that have not been cleaned up."""
        return list((self.machine.data_dir / "delivery" / "workspaces").glob(f"{self.namespace}/*"))

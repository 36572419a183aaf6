"""Where deliveries keep things on the node's disk. Pure: names to paths, and no name leads out."""

from __future__ import annotations

import re
from pathlib import Path

_SAFE = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z")


class Places:
    """`data_dir` is the cluster's. Names are those of objects of the API; others raise ValueError."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "delivery"

    @property
    def repositories(self) -> Path:
        return self.root / "repositories"

    def repository(self, namespace: str, app: str) -> Path:
        """The bare repository of an app, which people push to."""
        return self.repositories / _safe(namespace) / f"{_safe(app)}.git"

    @property
    def git(self) -> Path:
        """Hooks and settings of the git server."""
        return self.root / "git"

    def workspace(self, namespace: str, run: str) -> Path:
        """All that a run needs while it runs; gone afterwards."""
        return self.root / "workspaces" / _safe(namespace) / _safe(run)

    @property
    def secrets(self) -> Path:
        """Keys while git needs them; what a crash leaves goes with the workspaces."""
        return self.root / "workspaces" / ".secrets"

    def log(self, namespace: str, run: str) -> Path:
        return self.root / "logs" / _safe(namespace) / f"{_safe(run)}.log"

    def artifacts(self, namespace: str, run: str) -> Path:
        """What a run has archived."""
        return self.root / "artifacts" / _safe(namespace) / _safe(run)

    @property
    def kubeconfig(self) -> Path:
        """The runner's identity, for the commands that it starts."""
        return self.root / "kubeconfig"


def _safe(name: str) -> str:
    if _SAFE.match(name) is None or ".." in name or len(name) > 253:
        raise ValueError(f"{name!r} is no name of an object")
    return name

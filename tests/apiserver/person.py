"""Somebody with the stock kubectl, a kubeconfig and an empty home."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

KUBECTL = shutil.which("kubectl")


class Person:
    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._kubeconfig, self._home = kubeconfig, home

    def types(self, *words: str, given: Any = None, fails: bool = False, prints: int = 0) -> str:
        """What kubectl prints, ending with code `prints`; with `fails` what it complains."""
        assert KUBECTL is not None
        done = subprocess.run(
            [KUBECTL, "--kubeconfig", str(self._kubeconfig), *words],
            input=None if given is None else json.dumps(given),
            text=True,
            capture_output=True,
            timeout=60,
            env={"HOME": str(self._home), "PATH": "/usr/bin:/bin"},
            check=False,
        )
        assert done.returncode == prints or (fails and done.returncode), done.stdout + done.stderr
        return done.stderr if fails else done.stdout

"""The tour behind scripts/demo. Usage: scripts/demo [hello | guestbook]; both without a word."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tour import guestbook, hello, telling

from sampan.cli import doctor
from sampan.config import DATA_ROOT, RUN_ROOT, ClusterConfig

PARTS = {"hello": hello.show, "guestbook": guestbook.show}


def start() -> ClusterConfig:
    """The default cluster, running, and its settings. Ends with what is in the way."""
    from argparse import Namespace

    from sampan.cli import cluster_options

    cluster = cluster_options.read(Namespace(name="sampan", data_root=DATA_ROOT, run_root=Path(RUN_ROOT)))
    found = [each for each in doctor.examine(cluster) if each.state != "ok"]
    blocking = [each for each in found if each.state == "missing" or each.what.startswith(("port", "nginx"))]
    if blocking:
        lines = [f"  {each.what}" + (f"\n      mend: {each.mend}" if each.mend else "") for each in blocking]
        sys.exit("\n".join(["the tour cannot begin:", *lines]))
    with telling.step("start the cluster (sampan up)") as said:
        done = subprocess.run(["sampan", "up"], check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"\n{done.stderr}")
        said += done.stderr.strip().split("\n")
    return cluster


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [each for each in wanted if each not in PARTS]:
        sys.exit(f"{unknown[0]}: the tour has the parts {' and '.join(PARTS)}")
    began = time.monotonic()
    cluster = start()
    ends: list[str] = []
    for name in wanted:
        print(f"\n--- {name}\n")
        ends += PARTS[name](cluster)
    print(f"\nall of it took {time.monotonic() - began:.1f} s. It goes on running:\n")
    print("\n".join(ends))
    print("sampan down                        ends the cluster; its state stays for the next sampan up")


if __name__ == "__main__":
    main()

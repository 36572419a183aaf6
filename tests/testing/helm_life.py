"""A release's life with Helm's own library, in a process of its own: one line of JSON for each step, then it waits.

python helm_life.py KUBECONFIG CHART
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python as helm


def say(step: str, **what: Any) -> None:
    print(json.dumps({"step": step, **what}), flush=True)
    input()


def live(kubeconfig: str, chart: str) -> None:
    wait = {"wait": "watcher", "timeout": 60}
    with helm.Config(kubeconfig_path=kubeconfig, namespace="default") as config:
        config.check_reachable()
        config.install(chart, "demo", {"replicas": 2}, **wait)
        say("install", releases=[each["name"] for each in config.list()])
        config.upgrade(chart, "demo", {"replicas": 3}, **wait)
        say("upgrade", revisions=len(config.history("demo")))
        config.rollback("demo", version=1, **wait)
        say("rollback")
        try:
            config.upgrade(chart, "demo", {"image": "broken:1"}, wait="watcher", timeout=3, rollback_on_failure=True)
        except helm.HelmError as error:
            say("broken", error=str(error))
        config.uninstall("demo", wait="watcher", timeout=60)
        say("uninstall", releases=[each["name"] for each in config.list()])


if __name__ == "__main__":
    live(*sys.argv[1:])

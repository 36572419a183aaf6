"""`sampan status`: what runs, since when, how often it was started again, and what it costs."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import time
from collections import Counter
from pathlib import Path

from sampan import supervisor
from sampan.cli import cluster_options
from sampan.cli.context import CommandError, Context
from sampan.config import ClusterConfig

NAMES = {"apiserver": "API server", "manager": "controllers, scheduler", "node": "node"}


def configure(parser: argparse.ArgumentParser) -> None:
    cluster_options.add(parser)


def memory(pid: int) -> int:
    """Proportional set size in bytes: shared pages count by their share. 0 for a process that is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0


def age(seconds: float) -> str:
    """`42s`, `5m`, `3h`, `2d`."""
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{letter}"
    return f"{int(seconds)}s"


def processes(status: dict[str, object], roles: object) -> list[str]:
    now = time.time()
    rows = [("PROCESS", "PID", "STATE", "UP", "RESTARTS", "MEMORY")]
    total = memory(int(str(status["pid"])))
    rows.append(
        ("supervisor", str(status["pid"]), "running", age(now - float(str(status["started"]))), "0", mib(total))
    )
    for name, role in roles:  # type: ignore[attr-defined]
        used = memory(role["pid"]) if role["pid"] else 0
        total += used
        state = "waits to restart" if not role["pid"] else "ready" if role["ready"] else "starting"
        restarts = f"{role['restarts']} ({role['lastExit']})" if role["restarts"] else "0"
        rows.append(
            (NAMES.get(name, name), str(role["pid"] or "-"), state, age(now - role["started"]), restarts, mib(used))
        )
    rows.append(("together", "", "", "", "", mib(total)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


async def run(options: argparse.Namespace, context: Context) -> int:
    cluster = cluster_options.read(options)
    status = supervisor.read_status(cluster.run_dir)
    if status is None:
        context.out(f"cluster {cluster.name} does not run; start it with `sampan up`")
        return 1
    context.out(f"cluster {cluster.name} at {cluster.api_url}")
    context.out("\n".join(processes(status, supervisor.roles_in(status))))
    context.out("")
    for line in (*await contents(cluster), *published(cluster), git(cluster)):
        context.out(line)
    return 0


def published(cluster: ClusterConfig) -> list[str]:
    """Where Ingresses answer, and why they do not."""
    from sampan.network.ingress import nginx, room

    if not (cluster.http_port or cluster.https_port):
        return ["ingress: switched off; sampan up --http-port N --https-port N switches it on"]
    said = room.read_status(cluster)
    if said is None:
        return ["ingress: starting"]
    if said["problem"]:
        return [f"ingress: disabled: {said['problem']}"]
    ports = " and ".join(f"{name} {said[key]}" for key, name in (("http", "HTTP"), ("https", "HTTPS")) if said[key])
    hosts = ", ".join(said["hosts"]) or "no hosts yet"
    used = f", nginx {mib(sum(memory(pid) for pid in (said['pid'], *nginx.children(said['pid']))))}"
    return [f"ingress at {ports}: {hosts}{used if said['pid'] else ''}"]


def git(cluster: ClusterConfig) -> str:
    """Where repositories take pushes, and why they do not."""
    if not cluster.git_port:
        return "git: switched off; sampan up --git-port N switches it on"
    if not any(os.access(f"{place}/git", os.X_OK) for place in ("/usr/local/bin", "/usr/bin", "/bin")):
        return "git: disabled: git is not installed; as root: apt-get install git"
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", cluster.git_port)):
            return f"git: nothing answers at port {cluster.git_port}; {cluster.log_dir}/node.log says why"
    return f"git at https://127.0.0.1:{cluster.git_port}/NAMESPACE/APP.git (sampan remote)"


async def contents(cluster: ClusterConfig) -> list[str]:
    """Nodes with their state, and pods by phase, as the API tells."""
    from sampan.api import kinds
    from sampan.api.errors import StatusError
    from sampan.api.types import core_v1
    from sampan.client.client import Client
    from sampan.http.client import HttpTransport

    tls = ssl.create_default_context(cafile=str(cluster.pki_dir / "ca.crt"))
    tls.load_cert_chain(cluster.pki_dir / "admin.crt", cluster.pki_dir / "admin.key")
    transport = HttpTransport(cluster.api_url, tls=tls)
    try:
        client = Client(transport, kinds.ALL)
        nodes = (await client.list(core_v1.Node)).items
        pods = (await client.list(core_v1.Pod)).items
    except (OSError, StatusError) as error:
        raise CommandError(f"the API server does not answer: {error}") from error
    finally:
        await transport.close()
    lines = []
    for node in nodes:
        ready = next((c for c in node.status.conditions if c.type == "Ready"), None)
        state = "Ready" if ready and ready.status == "True" else f"NotReady ({ready.message if ready else 'no report'})"
        here = sum(pod.spec.nodeName == node.metadata.name for pod in pods)
        lines.append(f"node {node.metadata.name}: {state}, {here} pods")
    phases = Counter(pod.status.phase or "Pending" for pod in pods)
    lines.append(f"pods: {', '.join(f'{count} {phase}' for phase, count in sorted(phases.items())) or 'none'}")
    return lines

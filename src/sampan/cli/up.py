"""`sampan up`: check the machine, start the supervisor, wait until the node is Ready, write the kubeconfig."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from sampan import supervisor
from sampan.cli import cluster_options, doctor, kubeconfig, turns
from sampan.cli.context import CommandError, Context
from sampan.config import ClusterConfig

EXAMPLES = "sampan up\nsampan up --name lab --api-port 7443 --pod-cidr 10.200.0.0/16 --service-cidr 10.201.0.0/16"
LABELS = {"apiserver": "API server", "manager": "controllers and scheduler", "node": "node"}
GIVE_UP_AFTER = 3


def configure(parser: argparse.ArgumentParser) -> None:
    cluster_options.add(parser)
    cluster_options.add_settings(parser)
    parser.add_argument("--no-kubeconfig", action="store_true", help="leave ~/.kube/config as it is")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground (for service managers)")


def run(options: argparse.Namespace, context: Context) -> int:
    if os.geteuid() != 0:
        check(cluster_options.read(options))
    with turns.turn(cluster_options.read(options), context) as turn:
        pid = start(options, context, turn)
    if options.foreground and pid:
        os.waitpid(pid, 0)
    return 0


def start(options: argparse.Namespace, context: Context, turn: int) -> int:
    """The supervisor's process, 0 when the cluster runs already."""
    started = time.monotonic()
    cluster = cluster_options.read(options)
    if status := supervisor.read_status(cluster.run_dir):
        context.err(f"cluster {cluster.name} runs already (process {status['pid']})")
        if not options.no_kubeconfig:
            write_kubeconfig(cluster, context)
        return 0
    check(cluster)
    cluster_options.keep(cluster)
    for directory in (cluster.run_dir, cluster.log_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        supervise(cluster, writer, turn, detach=not options.foreground)
    os.close(writer)
    follow(reader, cluster, context)
    if not options.no_kubeconfig:
        write_kubeconfig(cluster, context)
    context.err(f"cluster {cluster.name} is ready after {time.monotonic() - started:.2f} s")
    return pid


def check(cluster: ClusterConfig) -> None:
    missing = [f for f in doctor.examine(cluster) if f.state == "missing"]
    if missing:
        lines = [f"{f.what}{f'; mend: {f.mend}' if f.mend else ''}" for f in missing]
        raise CommandError("\n".join(["this machine lacks something:", *(f"  {line}" for line in lines)]))


def supervise(cluster: ClusterConfig, listener: int, turn: int, *, detach: bool) -> None:
    """The supervisor's process, from here to its end. It keeps the turn until others can see that it runs."""
    code = 1
    try:
        if detach:
            os.setsid()
            os.chdir("/")
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            close_others(listener, turn)
        supervisor.redirect(cluster.log_dir / "supervisor.log")
        from sampan import boot

        boot.serve(cluster, listener, turn)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def close_others(*kept: int) -> None:
    """Whoever called us may have left more open than it meant to, and wait for the end of such a pipe."""
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def events(reader: int) -> Iterator[dict[str, object]]:
    with os.fdopen(reader) as lines:
        for line in lines:
            yield json.loads(line)


def follow(reader: int, cluster: ClusterConfig, context: Context) -> None:
    """Report each part as it becomes ready; raise when one cannot start."""
    waiting = set(LABELS)
    for event in events(reader):
        role = str(event["role"])
        if event["event"] == "ready":
            context.err(f"  {LABELS[role]} ready in {event['seconds']} s")
            waiting.discard(role)
            if not waiting:
                return
        elif event["event"] == "died":
            if event["times"] == GIVE_UP_AFTER:
                stop(cluster)
                raise CommandError(f"{LABELS[role]} does not start ({event['why']})\n{tail(cluster, role)}")
    raise CommandError(f"the supervisor ended while starting\n{tail(cluster, 'supervisor')}")


def stop(cluster: ClusterConfig) -> None:
    if status := supervisor.read_status(cluster.run_dir):
        descriptor = os.pidfd_open(status["pid"])
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        os.close(descriptor)


def tail(cluster: ClusterConfig, role: str, count: int = 15) -> str:
    path: Path = cluster.log_dir / f"{role}.log"
    lines = path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []
    return "\n".join([f"last lines of {path}:", *(f"  {line}" for line in lines)])


def write_kubeconfig(cluster: ClusterConfig, context: Context) -> None:
    path = kubeconfig.default_path(context.environ)
    document = kubeconfig.read(path)
    pki = cluster.pki_dir
    kubeconfig.add_cluster(
        document, cluster.name, cluster.api_url, pki / "ca.crt", pki / "admin.crt", pki / "admin.key"
    )
    kubeconfig.write(path, document, kubeconfig.owner(context.environ))
    context.err(f"  kubeconfig {path}, context {cluster.name}")


def machine_name() -> str:
    """The node's name where none was given: the host's, as a DNS label."""
    return socket.gethostname().split(".")[0].lower()

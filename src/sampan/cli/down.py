"""`sampan down`: stop the processes and the containers, undo what was changed in the kernel; state stays."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal

from sampan import removal, supervisor
from sampan.cli import cluster_options, kubeconfig, turns
from sampan.cli.context import CommandError, Context
from sampan.config import ClusterConfig

DEADLINE = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    cluster_options.add(parser)
    parser.add_argument("--purge", action="store_true", help="forget the cluster's state, images and kubeconfig entry")


async def run(options: argparse.Namespace, context: Context) -> int:
    cluster = cluster_options.read(options)
    if os.geteuid() != 0:
        raise CommandError("not root: stopping containers needs it; run it with sudo")
    with turns.turn(cluster, context):
        await stop(cluster, context, purge=options.purge)
        turns.end(cluster)
    return 0


async def stop(cluster: ClusterConfig, context: Context, *, purge: bool) -> None:
    if status := supervisor.read_status(cluster.run_dir):
        end(status["pid"])
        context.err(f"  processes of cluster {cluster.name} stopped")
    elif not cluster.data_dir.exists():
        context.err(f"there is no cluster {cluster.name}")
        return
    from sampan import boot

    await boot.clean(cluster)
    shutil.rmtree(cluster.run_dir, ignore_errors=True)
    context.err("  containers, networks and mounts removed")
    if purge:
        forget_data(cluster)
        forget(cluster.name, context)
        context.err("  state removed")
    context.err(f"cluster {cluster.name} is down")


def forget_data(cluster: ClusterConfig) -> None:
    """What is mounted below is somebody's data: then nothing is removed. Raises CommandError."""
    from sampan.host import mounts

    top = str(cluster.data_dir)
    held = [point for point in mounts.below(top) if point != top]
    if held:
        raise CommandError(
            f"error: {held[0]} is still mounted; as root: umount {held[0]}, and sampan down --purge again"
        )
    removal.remove(cluster.data_dir)


def end(pid: int) -> None:
    """SIGTERM, and wait for the end by the process's own descriptor."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], DEADLINE)[0]:
            raise CommandError(f"the supervisor (process {pid}) did not stop within {DEADLINE:.0f} s")
    finally:
        os.close(descriptor)


def forget(name: str, context: Context) -> None:
    path = kubeconfig.default_path(context.environ)
    if path.exists():
        document = kubeconfig.read(path)
        kubeconfig.remove_cluster(document, name)
        kubeconfig.write(path, document, kubeconfig.owner(context.environ))

"""`sampan doctor`: what this machine lacks, and the command that mends it."""

from __future__ import annotations

import argparse
import ctypes
import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from sampan import config, supervisor
from sampan.cli import cluster_options
from sampan.cli.context import Context
from sampan.host import ports as hostports
from sampan.network import names

State = Literal["ok", "warn", "missing"]
CLONE_NEWNET = 0x40000000
NEEDED_SPACE = 1 << 30
NEEDED_INSTANCES = 128


class Finding(NamedTuple):
    """`mend` is a command or a sentence for the person, empty when nothing is to be done."""

    state: State
    what: str
    mend: str = ""


PROGRAMS = (
    ("conmon", "conmon", "holds each container's log and terminal"),
    ("nft", "nftables", "services and network policy"),
    ("ip", "iproute2", "pod network"),
)
OPTIONAL = (
    ("nginx", "nginx-light", "serves Ingresses"),
    ("git", "git", "takes pushes, builds from repositories"),
)
OCI_RUNTIMES = ("crun", "runc")
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"))


def root(_: config.ClusterConfig) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding("ok", "runs as root")
    else:
        yield Finding("missing", "not root: containers need it", "run it with sudo")


def programs(_: config.ClusterConfig) -> Iterator[Finding]:
    for program, package, use in PROGRAMS:
        path = shutil.which(program, path=SEARCH)
        if path:
            yield Finding("ok", f"{program}: {path}")
        else:
            yield Finding("missing", f"{program} ({use}) is not installed", f"apt-get install {package}")
    for program, package, use in OPTIONAL:
        path = shutil.which(program, path=SEARCH)
        if path:
            yield Finding("ok", f"{program}: {path}")
        else:
            yield Finding("warn", f"{program} ({use}) is not installed", f"apt-get install {package}")
    yield volumes()
    found = [path for name in OCI_RUNTIMES if (path := shutil.which(name, path=SEARCH))]
    if found:
        yield Finding("ok", f"OCI runtimes: {', '.join(found)}")
    else:
        yield Finding("missing", "no OCI runtime (crun or runc) is installed", "apt-get install runc")


def volumes() -> Finding:
    """Whether volumes can be limited: each is a file system of its own then."""
    if shutil.which("mkfs.ext4", path=SEARCH) is None:
        return Finding("warn", "mkfs.ext4 (limits volumes) is not installed", "apt-get install e2fsprogs")
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return Finding("warn", "no loop devices: the size of volumes is measured, not limited", "modprobe loop")
    return Finding("ok", "volumes are limited: mkfs.ext4, loop devices")


def kernel(_: config.ClusterConfig) -> Iterator[Finding]:
    filesystems = Path("/proc/filesystems").read_text().split()
    if "overlay" in filesystems:
        yield Finding("ok", "overlayfs")
    else:
        yield Finding("missing", "the kernel offers no overlayfs", "modprobe overlay")
    yield namespaces()
    yield cgroups()


def namespaces() -> Finding:
    """Try one, in a child, because that is the only sure test inside other containers."""
    pid = os.fork()
    if pid == 0:
        code = ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET)
        os._exit(0 if code == 0 else ctypes.get_errno() or 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 0:
        return Finding("ok", "network namespaces")
    return Finding("missing", f"network namespaces: {os.strerror(code)}", "run it outside the container, or privileged")


def cgroups() -> Finding:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        have = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        lacking = [c for c in ("cpu", "memory", "pids") if c not in have]
        version = "v2"
    else:
        lacking = [c for c in ("cpu", "memory", "pids") if not Path(f"/sys/fs/cgroup/{c}").is_dir()]
        version = "v1"
    if lacking:
        return Finding("missing", f"cgroups {version} lack {', '.join(lacking)}", "mount the cgroup file systems")
    return Finding("ok", f"cgroups {version}")


def capacity(cluster: config.ClusterConfig) -> Iterator[Finding]:
    place = cluster.data_root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < NEEDED_SPACE:
        yield Finding("warn", f"{free >> 20} MiB free at {place}", "images and logs need about 1 GiB")
    else:
        yield Finding("ok", f"{free >> 30} GiB free at {place}")
    instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    if instances < NEEDED_INSTANCES:
        yield Finding(
            "warn", f"fs.inotify.max_user_instances is {instances}", "sysctl fs.inotify.max_user_instances=512"
        )


def ports(cluster: config.ClusterConfig) -> Iterator[Finding]:
    if supervisor.read_status(cluster.run_dir):
        yield Finding("ok", f"cluster {cluster.name} runs")
        return
    loopback, everywhere = "127.0.0.1", ""
    wanted: tuple[tuple[int, str, str, str, State], ...] = (
        (cluster.api_port, loopback, "API server", "--api-port", "missing"),
        (cluster.node_port, loopback, "node", "--node-port", "missing"),
        (cluster.registry_port, loopback, "image registry", "--registry-port", "warn"),
        (cluster.git_port, loopback, "git server", "--git-port", "warn"),
        (cluster.http_port, everywhere, "Ingresses over HTTP", "--http-port", "warn"),
        (cluster.https_port, everywhere, "Ingresses over HTTPS", "--https-port", "warn"),
    )
    for port, address, use, option, state in wanted:
        if port:
            yield port_finding(port, address, use, option, state)


def port_finding(port: int, address: str, use: str, option: str, state: State) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            holder = hostports.listener(port)
            why = f"{holder} listens there" if holder else (error.strerror or str(error)).lower()
            return Finding(state, f"port {port} ({use}): {why}", f"free it, or give {option} to sampan up")
    return Finding("ok", f"port {port} is free for the {use}")


def is_ours(cluster: config.ClusterConfig, interface: str) -> bool:
    """The cluster's bridge, or a pod's link: they stay when our processes are killed, and so do their routes."""
    if interface == names.bridge(cluster.name):
        return True
    try:
        group = int(Path(f"/sys/class/net/{interface}/netdev_group").read_text())
    except OSError:
        return False  # gone meanwhile
    return group in (names.group(cluster.name), names.group(cluster.name, "leaving"))


def ranges(cluster: config.ClusterConfig) -> Iterator[Finding]:
    """Pod and service ranges must not be routed elsewhere already."""
    if supervisor.read_status(cluster.run_dir):
        return
    ours = [ipaddress.IPv4Network(c) for c in (cluster.pod_cidr, cluster.service_cidr)]
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, _, flags, _, _, _, mask = line.split()[:8]
        number, bits = (int.from_bytes(bytes.fromhex(x)[::-1], "big") for x in (destination, mask))
        if not bits or interface == "*" or int(flags, 16) & 0x200 or is_ours(cluster, interface):
            continue
        other = ipaddress.IPv4Network((number, bits.bit_count()))
        for own, option in zip(ours, ("--pod-cidr", "--service-cidr"), strict=True):
            if own.overlaps(other):
                yield Finding("missing", f"{own} is already routed to {interface}", f"give another range with {option}")


CHECKS: tuple[Callable[[config.ClusterConfig], Iterator[Finding]], ...] = (
    root,
    programs,
    kernel,
    capacity,
    ports,
    ranges,
)


def examine(cluster: config.ClusterConfig) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(cluster)]


def configure(parser: argparse.ArgumentParser) -> None:
    cluster_options.add(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    findings = examine(cluster_options.read(options))
    marks = {"ok": "ok      ", "warn": "warning ", "missing": "missing "}
    colors = {"ok": "32", "warn": "33", "missing": "31"}
    for finding in findings:
        mark = marks[finding.state]
        if context.color(context.stdout):
            mark = f"\x1b[{colors[finding.state]}m{mark}\x1b[0m"
        context.out(f"{mark}{finding.what}")
        if finding.mend:
            context.out(f"          mend: {finding.mend}")
    missing = sum(finding.state == "missing" for finding in findings)
    context.out("this machine can run a cluster" if not missing else f"{missing} missing: mend them, then `sampan up`")
    return 1 if missing else 0

"""The options that say which cluster is meant; `up` keeps them, so that later commands need only the name."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from sampan.cli.context import CommandError
from sampan.config import DATA_ROOT, RUN_ROOT, ClusterConfig

KEPT = "cluster.json"


def add(parser: argparse.ArgumentParser) -> None:
    default = ClusterConfig()
    group = parser.add_argument_group("cluster")
    group.add_argument("--name", default=default.name, help="name of the cluster (default: %(default)s)")
    group.add_argument("--data-root", type=Path, default=DATA_ROOT, help="where state lives (default: %(default)s)")
    group.add_argument("--run-root", type=Path, help=argparse.SUPPRESS)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What only `up` decides. No default here: what is not given keeps its last value."""
    default = ClusterConfig()
    group = parser.add_argument_group("settings, kept for the next start")
    group.add_argument("--api-port", type=int, metavar="PORT", help=f"API server (default: {default.api_port})")
    group.add_argument("--node-port", type=int, metavar="PORT", help=f"node's server (default: {default.node_port})")
    group.add_argument(
        "--registry-port",
        type=int,
        metavar="PORT",
        help=f"image registry on loopback, 0 for none (default: {default.registry_port})",
    )
    group.add_argument(
        "--git-port",
        type=int,
        metavar="PORT",
        help=f"git server and webhooks, 0 for none (default: {default.git_port})",
    )
    group.add_argument(
        "--bind-address",
        dest="bind_addresses",
        action="append",
        metavar="IP",
        help="where the API server listens besides the pod network; may be given again (default: 127.0.0.1)",
    )
    group.add_argument("--node-name", metavar="NAME", help="name of this node (default: the machine's)")
    group.add_argument("--node-ip", metavar="IP", help="address of this node (default: that of the default route)")
    group.add_argument("--pod-cidr", metavar="CIDR", help=f"addresses of pods (default: {default.pod_cidr})")
    group.add_argument(
        "--service-cidr", metavar="CIDR", help=f"addresses of services (default: {default.service_cidr})"
    )
    group.add_argument("--max-pods", type=int, metavar="N", help=f"pods this node takes (default: {default.max_pods})")
    group.add_argument("--http-port", type=int, metavar="PORT", help="of Ingresses, 0 for none (default: 80)")
    group.add_argument("--https-port", type=int, metavar="PORT", help="of Ingresses, 0 for none (default: 443)")
    group.add_argument(
        "--load-balancer-range",
        metavar="RANGE",
        help="addresses for services of type LoadBalancer, CIDR or FIRST-LAST (default: the node's own address)",
    )
    group.add_argument(
        "--oci-runtime", metavar="PROGRAM", help="crun, runc, a path, or auto: the first that works (default: auto)"
    )


def read(options: argparse.Namespace) -> ClusterConfig:
    """The cluster's kept settings, overridden by what was given now."""
    given: dict[str, Any] = {"name": options.name, "data_root": options.data_root}
    kept = Path(options.data_root) / options.name / KEPT
    if kept.exists():
        given |= {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(kept.read_text()).items()}
    given["run_root"] = Path(given.get("run_root", RUN_ROOT))
    for field in dataclasses.fields(ClusterConfig):
        value = getattr(options, field.name, None)
        if value is not None:
            given[field.name] = tuple(value) if isinstance(value, list) else value
    try:
        return ClusterConfig(**given)
    except ValueError as error:
        raise CommandError(str(error)) from error


def keep(cluster: ClusterConfig) -> None:
    values = {k: v for k, v in dataclasses.asdict(cluster).items() if k not in ("name", "data_root")}
    values["run_root"] = str(cluster.run_root)
    cluster.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    (cluster.data_dir / KEPT).write_text(json.dumps(values, indent=1) + "\n")

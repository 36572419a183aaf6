"""`sampan autoscale`: a horizontal pod autoscaler for a workload."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = "example: sampan autoscale deployment web --min=2 --max=10 --cpu-percent=80"


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-autoscale")
    add = parser.add_argument
    add("--min", type=int, default=-1, metavar="N", help="fewest pods")
    add("--max", type=int, default=-1, metavar="N", help="most pods")
    add("--cpu-percent", type=int, default=-1, metavar="PERCENT", help="of what is requested")
    add("--name", default="", metavar="NAME", help="name of the autoscaler")


async def run(options: argparse.Namespace, context: Context) -> int:
    if "max" not in options.given:
        raise CommandError('error: required flag(s) "max" not set')
    if options.max < 1:
        raise CommandError(f"error: --max=MAXPODS is required and must be at least 1, max: {options.max}")
    async with connect(options, context) as session:
        for target in await select.targets(session, options.args):
            await session.read(target.path)
            spec: Document = {
                "maxReplicas": options.max,
                "scaleTargetRef": {
                    "apiVersion": target.resource.api_version,
                    "kind": target.resource.kind,
                    "name": target.name,
                },
            }
            if options.min > 0:
                spec["minReplicas"] = options.min
            if options.cpu_percent >= 0:
                goal = {"type": "Utilization", "averageUtilization": options.cpu_percent}
                spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": goal}}]
            name = options.name or target.name
            document: Document = {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": name},
                "spec": spec,
            }
            resource = (await session.resources()).of(document)
            made = Target(resource, target.namespace, name, document)
            if flags.check_dry_run(options) != "client":
                path = resource.path(target.namespace)
                document = await session.write("POST", path, document, writing.query(options))
            writing.show(session, made, document, "autoscaled")
    return 0

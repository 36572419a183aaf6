"""`sampan drain`: cordon a node and evict its pods, as disruption budgets allow."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select
from sampan.cli.kubectl.session import Session, connect, seconds
from sampan.cli.kubectl.verbs import cordon, delete

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan drain n1 --ignore-daemonsets --delete-emptydir-data"""

AGAIN = 5.0
"""Seconds after which an eviction that a budget refused is tried again."""
MIRROR = "kubernetes.io/config.mirror"


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.selector(parser)
    flags.dry_run(parser)
    add = parser.add_argument
    add("--ignore-daemonsets", action="store_true", help="leave pods of daemon sets where they are")
    add("--delete-emptydir-data", action="store_true", help="evict pods with emptyDir volumes; their data is lost")
    add("--force", action="store_true", help="evict pods that nobody will make again")
    add("--disable-eviction", action="store_true", help="delete the pods, whatever disruption budgets say")
    add("--grace-period", type=int, default=-1, metavar="SECONDS", help="time to end; -1: what each pod says")
    add("--timeout", default="0s", metavar="TIME", help="how long to try; 0: for ever")
    add("--pod-selector", default="", metavar="SELECTOR", help="only pods with these labels")


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        for name in await cordon.chosen(session):
            await cordon.mark(session, name, cordoned=True)
            pods = await _pods(session, name)
            if flags.check_dry_run(options) == "none":
                await asyncio.gather(*(_leave(session, pod) for pod in pods))
            context.out(f"node/{name} drained")
    return 0


async def _pods(session: Session, node: str) -> list[Document]:
    """Those to evict. Raises CommandError for those that must not be, all at once."""
    options = session.options
    query = {"fieldSelector": f"spec.nodeName={node}", "labelSelector": options.pod_selector}
    found: list[Document] = []
    problems: dict[str, list[str]] = {}
    ignored = []
    for pod in (await session.read("/api/v1/pods", query)).get("items") or ():
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        owner = next((o for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), None)
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            continue
        if owner is not None and owner["kind"] == "DaemonSet" and not ended:
            if options.ignore_daemonsets:
                ignored.append(name)
            else:
                problems.setdefault(
                    "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", []
                ).append(name)
            continue
        local = any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())
        if local and not ended and not options.delete_emptydir_data:
            problems.setdefault(
                "cannot delete Pods with local storage (use --delete-emptydir-data to override)", []
            ).append(name)
        elif owner is None and not ended and not options.force:
            problems.setdefault("cannot delete Pods that declare no controller (use --force to override)", []).append(
                name
            )
        else:
            found.append(pod)
    if problems:
        text = ", ".join(f"{why}: {', '.join(names)}" for why, names in problems.items())
        raise CommandError(f'error: unable to drain node "{node}" due to error: {text}, continuing command...')
    if ignored:
        session.context.err(f"Warning: ignoring DaemonSet-managed Pods: {', '.join(ignored)}")
    return found


async def _leave(session: Session, pod: Document) -> None:
    options, meta = session.options, pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    grace = {"gracePeriodSeconds": options.grace_period} if options.grace_period >= 0 else {}
    limit = seconds(options.timeout)
    started = time.monotonic()
    session.context.out(
        f"{'deleting' if options.disable_eviction else 'evicting'} pod {meta['namespace']}/{meta['name']}"
    )
    while True:
        try:
            if options.disable_eviction:
                await session.write("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **grace})
            else:
                body = {
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
                    "deleteOptions": grace,
                }
                await session.write("POST", f"{path}/eviction", body)
            break
        except StatusError as error:
            if error.code == 404:
                return
            if error.code != 429:
                raise
            session.context.err(
                f'error when evicting pods/"{meta["name"]}" -n "{meta["namespace"]}" (will retry after 5s): {error}'
            )
            if limit and time.monotonic() - started + AGAIN > limit:
                raise CommandError(f"error: drain did not complete within {options.timeout}") from None
            # The server says so: budgets are looked at again after some seconds.
            await asyncio.sleep(AGAIN)
    resource = (await session.resources()).find("pods")
    target = select.Target(resource, meta["namespace"], meta["name"])
    await delete.gone(session, target, meta["uid"], limit)
    session.context.out(f"pod/{meta['name']} {'deleted' if options.disable_eviction else 'evicted'}")

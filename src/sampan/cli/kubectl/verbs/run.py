"""`sampan run`: one pod from an image."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect, seconds
from sampan.cli.kubectl.verbs import delete, wait

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan run web --image=nginx --port=80
  sampan run -it --rm shell --image=busybox -- sh
  sampan run once --image=busybox --restart=Never -- date"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser, rest=True)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-run")
    add = parser.add_argument
    add("--image", default="", metavar="IMAGE", help="what to run")
    add("--restart", default="Always", metavar="POLICY", help="Always, OnFailure or Never")
    add("--image-pull-policy", default="", metavar="POLICY", help="Always, IfNotPresent or Never")
    add("--port", default="", metavar="PORT", help="port that the container serves")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="environment; may be given again")
    add("-l", "--labels", default="", metavar="KEY=VALUE,...", help="labels of the pod")
    add("--annotations", action="append", default=[], metavar="KEY=VALUE", help="annotations of the pod")
    add("--command", action="store_true", help="the words after -- replace the image's entry point")
    add("--overrides", default="", metavar="JSON", help="a merge patch on the pod")
    add("--privileged", action="store_true", help="run privileged")
    add("-i", "--stdin", action="store_true", help="keep standard input open, and attach")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("--attach", action="store_true", help="attach when it runs")
    add("--rm", action="store_true", help="delete the pod afterwards")
    add("-q", "--quiet", action="store_true", help="only what the container says")
    add("--pod-running-timeout", default="1m0s", metavar="TIME", help="how long to wait for the pod")


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) < 1:
        raise CommandError("error: NAME is required for run\nSee 'sampan run -h' for help and examples")
    if not options.image:
        raise CommandError('error: required flag(s) "image" not set')
    attach = options.attach or options.stdin
    if options.rm and not attach:
        raise CommandError("error: --rm should only be used for attached containers")
    document = pod(options)
    async with connect(options, context) as session:
        resource = (await session.resources()).find("pods")
        target = Target(resource, session.namespace, options.args[0], document)
        if session.given_namespace:
            document["metadata"]["namespace"] = session.given_namespace
        dry = flags.check_dry_run(options)
        if dry != "client":
            document = await session.write("POST", resource.path(session.namespace), document, writing.query(options))
        if not attach or dry != "none":
            writing.show(session, target, document, "created")
            return 0
        try:
            return await _attached(session, target)
        finally:
            if options.rm:
                await _remove(session, target)


def pod(options: argparse.Namespace) -> Document:
    name = options.args[0]
    container: Document = {"image": options.image, "name": name, "resources": {}}
    arguments = [*options.args[1:], *(options.rest or ())]
    if arguments:
        container["command" if options.command else "args"] = arguments
    if options.env:
        container["env"] = [{"name": text.partition("=")[0], "value": text.partition("=")[2]} for text in options.env]
    if options.port:
        container["ports"] = [{"containerPort": int(options.port)}]
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    if options.privileged:
        container["securityContext"] = {"privileged": True}
    if options.stdin:
        container |= {"stdin": True, "stdinOnce": True}
    if options.tty:
        container["tty"] = True
    labels = dict(pair.split("=", 1) for pair in options.labels.split(",") if pair) or {"run": name}
    metadata: Document = {"labels": labels, "name": name}
    if options.annotations:
        metadata["annotations"] = dict(pair.split("=", 1) for pair in options.annotations)
    document: Document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": options.restart},
        "status": {},
    }
    if options.overrides:
        import msgspec

        from sampan.api.patch import merge

        return merge.merge(document, msgspec.json.decode(options.overrides))
    return document


async def _attached(session: Session, target: Target) -> int:
    from urllib.parse import urlencode

    from sampan.cli.kubectl import terminal
    from sampan.streams.command_client import remote_command

    options = session.options
    limit = seconds(options.pod_running_timeout)
    problem = await wait.until(session, target, _started, limit)
    if problem:
        raise CommandError(problem)
    document = await session.read(target.path)
    if (document.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        # It was faster than we: what it said is in its log.
        session.context.stdout.write(await session.text(f"{target.path}/log"))
        return _code(document)
    tty = options.tty and sys.stdin.isatty()
    if options.stdin and not options.quiet:
        session.context.err("If you don't see a command prompt, try pressing enter.")
    query = urlencode([("container", document["spec"]["containers"][0]["name"])])
    with terminal.raw() if tty else terminal.plain():
        await remote_command(
            session.transport,
            f"{target.path}/attach?{query}",
            stdin=terminal.stdin() if options.stdin else None,
            stdout=terminal.write_out,
            stderr=terminal.write_err,
            tty=tty,
            resize=terminal.sizes() if tty else None,
        )
    if options.restart == "Always":
        return 0
    await wait.until(session, target, _ended, limit)
    return _code(await session.read(target.path))


def _started(document: Document) -> bool:
    return (document.get("status") or {}).get("phase") in ("Running", "Succeeded", "Failed")


def _ended(document: Document) -> bool:
    return (document.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _code(document: Document) -> int:
    statuses = (document.get("status") or {}).get("containerStatuses") or [{}]
    return int(((statuses[0].get("state") or {}).get("terminated") or {}).get("exitCode") or 0)


async def _remove(session: Session, target: Target) -> None:
    body = {"apiVersion": "v1", "kind": "DeleteOptions"}
    try:
        await session.write("DELETE", target.path, body)
    except StatusError as error:
        session.context.err(words.refusal(error))
        return
    session.context.out(f'pod "{target.name}" deleted from {target.namespace} namespace')
    await delete.gone(session, target, "", 30.0)

"""`sampan logs`: what containers have written."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli import app_logs
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods, select, words
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan logs web
  sampan logs -f guestbook --grep error      all pods of an app
  sampan logs -f deployment/web --all-containers --prefix
  sampan logs web -c sidecar --tail=20 --timestamps
  sampan logs -l app=web --since=5m"""

SELECTED_TAIL = 10


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.selector(parser)
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="go on with what is written")
    add("-c", "--container", default="", metavar="NAME", help="this container")
    add("--grep", default="", metavar="TEXT", help="of an app: only lines with this text")
    add("-p", "--previous", action="store_true", help="of the container's run before this one")
    add("--all-containers", action="store_true", help="of all containers of the pod")
    add("--all-pods", action="store_true", help="of all pods behind the given object")
    add("--prefix", action="store_true", help="show pod and container before each line")
    add("--since", default="", metavar="TIME", help="only what is younger, such as 5s, 2m, 3h")
    add("--since-time", default="", metavar="TIME", help="only what was written after, in RFC 3339")
    add("--tail", type=int, default=None, metavar="N", help="only the last lines; -1: all")
    add("--limit-bytes", type=int, default=0, metavar="N", help="no more bytes than this")
    add("--timestamps", action="store_true", help="show the time before each line")
    add("--ignore-errors", action="store_true", help="with --follow: go on when one container's log fails")
    add("--max-log-requests", type=int, default=5, metavar="N", help="with -l: how many logs to follow at once")
    add("--pod-running-timeout", default="20s", metavar="TIME", help="how long to wait for a pod")
    add("--insecure-skip-tls-verify-backend", action="store_true", help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    words_ = list(options.args)
    if options.selector and words_:
        raise CommandError("error: only a selector (-l) or a POD name is allowed")
    if not options.selector and not words_:
        raise CommandError(
            "error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
            "POD or TYPE/NAME is a required argument for the logs command\nSee 'sampan logs -h' for help and examples"
        )
    if len(words_) == 2 and not options.container:
        options.container = words_.pop()
    if options.since and options.since_time:
        raise CommandError("error: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if options.all_containers and options.container:
        raise CommandError(
            "error: --all-containers=true should not be specified with container name " + options.container
        )
    async with connect(options, context) as session:
        app = await _app(session, words_)
        if app:
            logs = app_logs.AppLogs(session, app, _query(options), options.grep)
            return await logs.run(follow=options.follow, previous=options.previous)
        found = await _pods(session, words_)
        sources = [(pod, name) for pod in found for name in _containers(session, pod)]
        if options.follow and len(sources) > 1:
            if len(sources) > options.max_log_requests:
                raise CommandError(
                    f"error: you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency "
                    f"is {options.max_log_requests}, use --max-log-requests to increase the limit"
                )
            await asyncio.gather(*(_copy(session, pod, name, several=True) for pod, name in sources))
            return 0
        for pod, name in sources:
            await _copy(session, pod, name, several=len(sources) > 1)
        return 0


async def _app(session: Session, words_: Sequence[str]) -> str:
    """The app that is meant: `app/NAME`, or a NAME that no pod has; "" for pods and whatever else has some."""
    type_, slash, name = words_[0].partition("/") if words_ else ("", "", "")
    if slash:
        return name if type_ in ("app", "apps", "apps.sampan.dev") else ""
    if not type_ or session.options.container:
        return ""
    try:
        await session.read(f"/api/v1/namespaces/{session.namespace}/pods/{type_}")
    except StatusError as error:
        if error.code != 404:
            raise
        return type_ if await app_logs.is_app(session, type_) else ""
    return ""


async def _pods(session: Session, words_: Sequence[str]) -> list[Document]:
    options = session.options
    if options.selector:
        path = f"/api/v1/namespaces/{session.namespace}/pods"
        items = (await session.read(path, {"labelSelector": options.selector})).get("items") or []
        if not items:
            session.context.err(f"No resources found in {session.namespace} namespace.")
        return list(items)
    word = words_[0]
    wait = seconds(options.pod_running_timeout)
    if "/" not in word or word.split("/")[0] in ("pod", "pods", "po"):
        try:
            return [await pods.of_word(session, word)]
        except StatusError as error:
            if error.code != 404:
                raise
            where = f'in namespace "{session.namespace}"'
            raise CommandError(f"error: error from server (NotFound): {error.status.message} {where}") from error
    target = (await select.targets(session, [word]))[0]
    document = await session.read(target.path)
    found = await pods.behind(session, target, document, wait=wait)
    if options.all_pods:
        return found
    if len(found) > 1:
        session.context.err(f"Found {len(found)} pods, using pod/{found[0]['metadata']['name']}")
    return found[:1]


def _containers(session: Session, pod: Document) -> list[str]:
    options = session.options
    if options.all_containers:
        known = pods.containers(pod)
        return [n for n, kind in known if kind == "init"] + [n for n, kind in known if kind != "init"]
    return [pods.container(session, pod, options.container, quiet=bool(options.selector))]


def _query(options: argparse.Namespace) -> dict[str, str | int | bool]:
    tail = options.tail if options.tail is not None else (SELECTED_TAIL if options.selector else -1)
    return {
        "follow": options.follow or "",
        "previous": options.previous or "",
        "timestamps": options.timestamps or "",
        "sinceSeconds": int(seconds(options.since)) if options.since else "",
        "sinceTime": options.since_time,
        "tailLines": tail if tail >= 0 else "",
        "limitBytes": options.limit_bytes or "",
    }


async def _copy(session: Session, pod: Document, name: str, *, several: bool) -> None:
    options = session.options
    try:
        response = await session.raw("GET", pods.path(pod, "log"), {**_query(options), "container": name})
        prefix = f"[pod/{pod['metadata']['name']}/{name}] " if options.prefix else ""
        await _write(session, response.body, prefix, whole_lines=several)
    except (StatusError, OSError) as error:
        if not (options.ignore_errors and options.follow):
            raise
        session.context.err(words.refusal(error) if isinstance(error, StatusError) else f"error: {error}")


async def _write(session: Session, body: Any, prefix: str, *, whole_lines: bool) -> None:
    """As it comes; by whole lines where several logs are mixed or have prefixes."""
    out = session.context.stdout
    rest = ""

    def write(chunk: bytes) -> None:
        nonlocal rest
        text = chunk.decode(errors="replace")
        if prefix or whole_lines:
            *lines, rest = (rest + text).split("\n")
            text = "".join(f"{prefix}{line}\n" for line in lines)
        out.write(text)
        out.flush()

    if isinstance(body, bytes):
        write(body)
    else:
        async for chunk in body:
            write(chunk)
    if rest:
        out.write(f"{prefix}{rest}\n")
        out.flush()

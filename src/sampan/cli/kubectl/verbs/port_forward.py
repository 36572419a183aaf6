"""`sampan port-forward`: local ports that lead to ports of a pod."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods, select
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan port-forward pod/web 8080:80
  sampan port-forward service/web 8080:http
  sampan port-forward --address 0.0.0.0 deployment/web :5000"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    add = parser.add_argument
    add("--address", default="localhost", metavar="IP,...", help="where to listen (default: localhost)")
    add("--pod-running-timeout", default="1m0s", metavar="TIME", help="how long to wait for a pod")


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) < 2:
        raise CommandError(
            "error: TYPE/NAME and list of ports are required for port-forward\n"
            "See 'sampan port-forward -h' for help and examples"
        )
    async with connect(options, context) as session:
        pod, service = await _goal(session, options.args[0])
        phase = (pod.get("status") or {}).get("phase")
        if phase != "Running":
            raise CommandError(f"error: unable to forward port because pod is not running. Current status={phase}")
        pairs = [_pair(text, pod, service) for text in options.args[1:]]
        await _forward(session, pod, pairs)
    return 0


async def _goal(session: Session, word: str) -> tuple[Document, Document | None]:
    """The pod, and the service if that was asked for."""
    type_, slash, _ = word.rpartition("/")
    wait = seconds(session.options.pod_running_timeout)
    if slash and type_ in ("service", "services", "svc"):
        target = (await select.targets(session, [word]))[0]
        service = await session.read(target.path)
        return (await pods.behind(session, target, service, wait=wait))[0], service
    return await pods.of_word(session, word, wait=wait), None


def _pair(text: str, pod: Document, service: Document | None) -> tuple[int, int]:
    """(local, remote) of `8080:80`, `80`, `:80`, `8080:http`; a service's ports are those of its targets."""
    local, colon, remote = text.rpartition(":")
    if not colon:
        local = remote
    number = _service_port(remote, pod, service) if service is not None else _port(remote, pod)
    if not colon:
        local = remote if remote.isdigit() else str(number)
    if local and not local.isdigit():
        raise CommandError(f'error: error parsing local port "{local}"')
    return (int(local) if local else 0), number


def _port(text: str, pod: Document) -> int:
    if text.isdigit():
        return int(text)
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == text:
                return int(port["containerPort"])
    raise CommandError(f"error: Pod '{pod['metadata']['name']}' does not have a named port '{text}'")


def _service_port(text: str, pod: Document, service: Document) -> int:
    for port in (service.get("spec") or {}).get("ports") or ():
        if text in (str(port["port"]), port.get("name")):
            return _port(str(port.get("targetPort") or port["port"]), pod)
    raise CommandError(f"error: Service {service['metadata']['name']} does not have a service port {text}")


async def _forward(session: Session, pod: Document, pairs: list[tuple[int, int]]) -> None:
    from sampan.streams.forward_client import port_forward

    out, err = session.context.out, session.context.err
    async with AsyncExitStack() as stack:
        forward = await stack.enter_async_context(port_forward(session.transport, pods.path(pod, "portforward")))
        for local, remote in pairs:
            for host in _hosts(session.options.address):
                try:
                    where = forward.listening(host, local, remote, lambda text: err(f"error: {text}"))
                    taken = await stack.enter_async_context(where)
                except OSError as error:
                    if host == "::1":
                        continue  # localhost without IPv6
                    raise CommandError(f"error: unable to listen on port {local}: {error}") from error
                local = local or taken
                shown = f"[{host}]" if ":" in host else host
                out(f"Forwarding from {shown}:{taken} -> {remote}")
        session.context.stdout.flush()
        await asyncio.get_running_loop().create_future()


def _hosts(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        found += ["127.0.0.1", "::1"] if part == "localhost" else [part]
    return found

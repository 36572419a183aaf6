"""`sampan why`: events, exit codes, probes' answers, logs and the scheduler's reasons as one plain explanation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from sampan.api import duration
from sampan.api.errors import StatusError
from sampan.api.extra import diagnosis, steps
from sampan.api.extra.diagnosis import Evidence, Trouble
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import core_v1, meta_v1
from sampan.cli import apps, why_run
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select
from sampan.cli.kubectl import pods as pods_of
from sampan.cli.kubectl.session import Session, connect
from sampan.client.client import Client

EXAMPLES = """\
examples:
  sampan why guestbook
  sampan why guestbook-5d4f8c7b9-x2lqp
  sampan why deployment/web"""

LINES = 10
"""Lines of a log that are shown."""
EVENTS = 8
"""Events that are shown."""

NEXT = {
    "WaitsForBuild": "in its folder: sampan deploy",
    "NoEndpoints": "the pods first: nothing can be reached before one of them is ready",
    "Waiting": "wait a moment and ask again",
    "Starting": "wait a moment and ask again",
    "NotMeasuredYet": "wait a moment and ask again",
    "NoIngressController": "nothing here takes up Ingresses; `sampan port-forward service/{name} 8080:{port}` opens it",
    "NoMetrics": "nothing here measures pods; the app works all the same",
    "Lost": "bring the volume back, or delete the claim and begin with an empty one",
    "Full": "remove files, or give the volume a larger size in the app (spec.volumes) and deploy again",
    "Refused": "change what the message names, and deploy again",
    "LastRunFailed": "mend what the last lines say, and deploy again",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan why APP | POD | TYPE/NAME"
    flags.set_up(parser)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) != 1:
        raise CommandError("error: name one app or pod: sampan why NAME")
    word = options.args[0]
    async with connect(options, context) as session:
        client = apps.client_of(session)
        type_, slash, name = word.rpartition("/")
        if not slash or type_ in ("app", "apps"):
            app = await apps.find(client, name, session.namespace)
            if app is not None:
                code = await of_app(client, app, context)
                await why_run.tell(client, name, session.namespace, context)
                return code
            if await why_run.tell(client, name, session.namespace, context):
                return 1
        if not slash or type_ in ("pod", "pods", "po"):
            try:
                pod = await client.get(core_v1.Pod, name, session.namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                text = f'error: there is neither an app nor a pod "{name}" in namespace {session.namespace}'
                raise CommandError(f"{text}; sampan get apps,pods shows what there is") from error
            return await of_pod(client, pod, context)
        return await _of_selected(session, client, word, context)


async def _of_selected(session: Session, client: Client, word: str, context: Context) -> int:
    """The worst pod behind a Deployment, a Service and the like."""
    target = (await select.targets(session, [word]))[0]
    documents = await pods_of.behind(session, target, await session.read(target.path))
    now = time.time()
    found = [
        await client.get(core_v1.Pod, each["metadata"]["name"], each["metadata"]["namespace"]) for each in documents
    ]
    bad = [(pod, trouble) for pod in found if (trouble := diagnosis.diagnose(pod, now)) is not None]
    if not bad:
        context.out(f"{word} is well: {len(found)} pods, {sum(map(diagnosis.is_ready, found))} of them ready")
        return 0
    return await of_pod(client, sorted(bad, key=lambda pair: not pair[1].lasting)[0][0], context)


# --- apps


async def of_app(client: Client, app: App, context: Context) -> int:
    """0 when nothing is wrong with it, 1 otherwise."""
    seen, now, name = await apps.observe(client, app), time.time(), app.metadata.name or ""
    failing = [each for each in app.status.conditions if each.status != "True"]
    serious = [each for each in failing if each.reason not in steps.ABSENT]
    release = f"release {app.status.release}" if app.status.release else "no release yet"
    if not app.status.conditions:
        context.out(f"{name} was not looked at yet: is the cluster's manager running? (sampan status)")
        return 1
    if not serious:
        where = f", {app.status.url}" if app.status.url else ""
        context.out(f"{name} works: {release}, {app.status.ready or '0'} pods ready{where}")
        for each in failing:
            context.out(f"  {steps.TITLES.get(each.type, each.type)}: {each.message}")
        return 0
    context.out(f"{name} does not work as it should ({release}).\n")
    for each in serious:
        context.out(f"  {steps.TITLES.get(each.type, each.type)}: {_brief(each)}")
    found = steps.troubles(app, seen, now)
    advice: list[str] = []
    if found:
        pod, trouble = found[0]
        told = await _tell(client, pod, context, now)
        advice.append((told or trouble).next)
        if len(found) > 1:
            context.out(f"\nThe same or worse holds for {len(found) - 1} more of its pods.")
    else:
        advice += [_next(each, app) for each in serious[:1]]
    new = {pod.metadata.uid for pod in steps.current(app, seen)}
    old = [pod for pod in seen.pods if diagnosis.is_ready(pod) and pod.metadata.uid not in new]
    if old:
        context.out(f"\nThe version before still serves: {len(old)} pods are ready.")
    if any(each.type == "PodsReady" for each in serious) and (app.status.release or 0) > 1:
        advice.append(f"or go back to what worked: sampan rollback {name}")
    _advise(context, advice)
    return 1


def _brief(condition: meta_v1.Condition) -> str:
    """The first half of a condition's message: the pod's part of it follows at length."""
    return condition.message.partition("; pod ")[0] if condition.type == "PodsReady" else condition.message


def _next(condition: meta_v1.Condition, app: App) -> str:
    text = NEXT.get(condition.reason, "sampan describe app {name} shows more")
    return text.format(name=app.metadata.name, port=app.spec.port)


def _advise(context: Context, advice: Sequence[str]) -> None:
    context.out("")
    for at, text in enumerate(dict.fromkeys(advice)):
        context.out(f"{'Next:' if at == 0 else '     '} {text}")


# --- pods


async def of_pod(client: Client, pod: core_v1.Pod, context: Context) -> int:
    now, name = time.time(), pod.metadata.name or ""
    if diagnosis.diagnose(pod, now) is None:
        return await _well(client, pod, context, now)
    trouble = await _tell(client, pod, context, now)
    _advise(context, [trouble.next] if trouble else [f"sampan describe pod {name}"])
    return 1


async def _well(client: Client, pod: core_v1.Pod, context: Context, now: float) -> int:
    name, restarts = pod.metadata.name, sum(each.restartCount or 0 for each in pod.status.containerStatuses)
    if pod.metadata.deletionTimestamp is not None:
        context.out(f"pod {name} is being deleted; it has until its grace period ends")
        return 0
    if pod.status.phase == "Succeeded":
        context.out(f"pod {name} has ended well (exit code 0)")
        return 0
    ready = "ready" if diagnosis.is_ready(pod) else "not ready yet"
    context.out(f"pod {name} is {(pod.status.phase or 'Pending').lower()} and {ready}, on node {pod.spec.nodeName}")
    for status in pod.status.containerStatuses:
        ended = status.lastState.terminated if status.lastState else None
        if restarts and ended is not None:
            how = diagnosis.exit_words(ended.exitCode, ended.reason or "")
            ago = duration.since(ended.finishedAt, now)
            context.out(f"  its container {status.name} {how} {ago} ago and was started again ({restarts} times)")
    _events(context, await apps.events(client, pod), now)
    return 0


async def _tell(client: Client, pod: core_v1.Pod, context: Context, now: float) -> Trouble | None:
    """One pod's story. The log comes by itself below, so it is left out of the sentence."""
    happened = await apps.events(client, pod)
    container = (diagnosis.diagnose(pod, now) or Trouble("", "", "")).container
    evidence = await apps.evidence(client, pod, container, lines=LINES) if container else Evidence()
    trouble = diagnosis.diagnose(pod, now, Evidence(evidence.probe))
    if trouble is None:
        context.out(f"\npod {pod.metadata.name} is well by now")
        return None
    context.out(f"\npod {pod.metadata.name}: {trouble.message.partition('; it last wrote:')[0]}")
    if evidence.lines:
        context.out(f"\n  the last lines of container {container}:")
        for line in evidence.lines:
            context.out(f"    {line}")
    _events(context, happened, now)
    return trouble


def _events(context: Context, happened: Sequence[core_v1.Event], now: float) -> None:
    warnings = [each for each in happened if each.type == "Warning"][-EVENTS:]
    if not warnings:
        return
    context.out("\n  what was reported:")
    for each in warnings:
        ago = duration.since(each.lastTimestamp or each.eventTime or each.metadata.creationTimestamp, now)
        times = f", {each.count} times" if (each.count or 1) > 1 else ""
        first = (each.message or "").strip().splitlines() or [""]
        context.out(f"    {ago} ago{times}  {each.reason}: {first[0][:200]}")

"""Webhooks: what forges elsewhere deliver to /hooks/NAMESPACE/APP becomes a run, once.

The secret is `secret` in Secret APP-webhook of the namespace. Who does not know it learns nothing: not whether there
is such an app, nor such a hook. A run is named after the signed content, so that the same delivery, sent again by the
forge or by somebody who has seen it, finds the run that it made.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections import Counter
from urllib.parse import urlsplit

import msgspec

from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunSpec, RunSource, RunTrigger
from sampan.api.extra.sampan_v1 import App
from sampan.api.types import core_v1
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.client.client import FAILURES, Client
from sampan.delivery import webhook
from sampan.delivery.git.counts import FAILED, Counts, outcome_of
from sampan.delivery.git.paths import Place, Wrong
from sampan.delivery.git.pushes import plain
from sampan.delivery.webhook import Push, Rejected
from sampan.http.errors import BodyTooLarge
from sampan.http.types import Request, Response
from sampan.runtime.events import Recorder

SECRET, KEY = "webhook", "secret"
"""The Secret is called APP-webhook."""
AT_ONCE, OF_ONE = 4, 2
"""Deliveries whose content is read at once, and those of one hook; further ones are told to come back."""
BODY_TIME = 30.0
"""Seconds in which a delivery has to arrive."""
UNKNOWN = "no hook of this address has that secret"
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!/)(.+)\Z")


def same_repository(one: str, other: str) -> bool:
    """Whether two addresses mean one repository, whatever the way to it: https, ssh, git@host:path."""
    return _normal(one) == _normal(other) != ("", "")


def _normal(url: str) -> tuple[str, str]:
    match = None if "://" in url else _SCP.match(url)
    host, path = match.groups() if match else (urlsplit(url).hostname or "", urlsplit(url).path)
    return host.lower(), path.strip("/").removesuffix(".git").lower()


def judge(app: App, push: Push) -> str:
    """Why nothing is done about a push; "" when it is to be run."""
    source = app.spec.source.git
    name = app.metadata.name or ""
    if source is None or not source.url:
        return f"app {name} does not come from a repository elsewhere (sampan deploy --git URL)"
    if not same_repository(source.url, push.url):
        return f"app {name} comes from another repository than {plain(push.url)[:200]}"
    if push.kind != "branch":
        return f"{push.kind} {push.ref} is no branch"
    branch = (source.ref or push.default_branch or "main").removeprefix("refs/heads/")
    if push.ref != branch:
        return f"branch {push.ref} does not deploy, {branch} does"
    if push.deleted:
        return f"branch {push.ref} was deleted: what was deployed stays"
    return ""


def run_of(place: Place, app: App, push: Push, body: bytes) -> PipelineRun:
    source = app.spec.source.git
    assert source is not None
    subject = push.message.strip().partition("\n")[0]
    return PipelineRun(
        metadata=ObjectMeta(
            name=f"{place.app}-{hashlib.sha256(body).hexdigest()[:12]}",
            namespace=place.namespace,
            annotations={"sampan.dev/delivery": plain(push.delivery)[:200]},
        ),
        spec=PipelineRunSpec(
            app=place.app,
            source=RunSource(url=source.url, ref=f"refs/heads/{push.ref}", commit=push.commit),
            trigger=RunTrigger(kind="webhook", by=plain(push.author)[:200], message=plain(subject)[:200]),
        ),
    )


class Deliveries:
    def __init__(self, client: Client, recorder: Recorder, counts: Counts) -> None:
        self._client = client
        self._counts = counts
        self._recorder = recorder
        self._reading: Counter[Place] = Counter()

    async def answer(self, request: Request, place: Place) -> Response:
        """Raises Wrong."""
        outcome = FAILED
        try:
            outcome, response = await self._answer(request, place)
            return response
        except Wrong as wrong:
            outcome = outcome_of(wrong.status)
            raise
        finally:
            self._counts.deliveries[outcome] += 1

    async def _answer(self, request: Request, place: Place) -> tuple[str, Response]:
        if request.method != "POST":
            raise Wrong(405, "a webhook takes POST", (("Allow", "POST"),))
        try:
            # What nobody has signed is not even read.
            webhook.signature(webhook.sender(request.headers), request.headers)
        except Rejected as rejected:
            raise Wrong(rejected.code, str(rejected)) from None
        body = await self._read(request, place)
        secret = await self._secret(place)
        try:
            push = webhook.read(request.headers, body, secret or secrets.token_hex(32))
        except Rejected as rejected:
            if secret:
                await self._refused(place, rejected)
            raise Wrong(403, UNKNOWN) if rejected.code == 401 else Wrong(rejected.code, str(rejected)) from None
        return await self._deliver(place, push, body)

    async def _deliver(self, place: Place, push: Push | None, body: bytes) -> tuple[str, Response]:
        """What came of it, for the metrics, and the answer."""
        app = await self._app(place)
        if app is None:
            raise Wrong(404, f"there is no app {place.app} in namespace {place.namespace}")
        if push is None:
            return "ping", _json(200, message="the hook is well")
        if why := judge(app, push):
            return "ignored", _json(200, message=f"nothing is done: {why}")
        run = run_of(place, app, push, body)
        name = run.metadata.name or ""
        try:
            await self._client.create(run)
        except StatusError as error:
            if error.status.reason == "AlreadyExists":
                message = "this delivery was here before"
                return "repeated", _json(202, run=name, namespace=place.namespace, message=message)
            raise Wrong(422 if error.code < 500 else 503, f"the run cannot be made: {error}") from error
        except FAILURES as error:
            raise Wrong(503, f"the API server does not answer: {error}") from error
        text = f"{push.forge}: {push.ref} of {push.repository} is at {push.commit[:8]} now; run {name}"
        self._recorder.emit(app, "Normal", "PushReceived", plain(text))
        return "run", _json(202, run=name, namespace=place.namespace)

    async def _read(self, request: Request, place: Place) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > webhook.LIMIT:
            raise Wrong(413, f"a delivery has {webhook.LIMIT} bytes at most")
        if self._reading.total() >= AT_ONCE or self._reading[place] >= OF_ONE:
            raise Wrong(503, "too many deliveries at once: deliver it again", (("Retry-After", "5"),))
        self._reading[place] += 1
        try:
            async with asyncio.timeout(BODY_TIME):
                return await request.read(webhook.LIMIT)
        except BodyTooLarge as error:
            raise Wrong(413, f"a delivery has {error.limit} bytes at most") from None
        except TimeoutError:
            raise Wrong(408, f"the delivery did not arrive within {BODY_TIME:g} s") from None
        finally:
            self._reading[place] -= 1
            if not self._reading[place]:
                del self._reading[place]

    async def _secret(self, place: Place) -> str:
        """ "" without one."""
        try:
            found = await self._client.get(core_v1.Secret, f"{place.app}-{SECRET}", place.namespace)
            return base64.b64decode(found.data.get(KEY, "")).decode()
        except StatusError as error:
            if error.code == 404:
                return ""
            raise Wrong(503, "the API server cannot be asked for the hook's secret") from error
        except ValueError:
            return ""
        except FAILURES as error:
            raise Wrong(503, "the API server does not answer") from error

    async def _app(self, place: Place) -> App | None:
        try:
            return await self._client.get(App, place.app, place.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise Wrong(503, "the API server cannot be asked for the app") from error
        except FAILURES as error:
            raise Wrong(503, "the API server does not answer") from error

    async def _refused(self, place: Place, rejected: Rejected) -> None:
        """The app's people are told: somebody else tries, or the secrets differ."""
        app = await self._app(place)
        if app is not None:
            self._recorder.emit(app, "Warning", "WebhookRefused", f"a delivery was refused: {rejected}")


def _json(status: int, **values: str) -> Response:
    return Response(status, msgspec.json.encode(values) + b"\n", (("Content-Type", "application/json"),))

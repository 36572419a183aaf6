"""MutatingAdmissionWebhook asks one webhook after the other, ValidatingAdmissionWebhook all at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from sampan.api import codec
from sampan.api.errors import StatusError, bad_request, internal
from sampan.api.kinds.kind import Document, Kind
from sampan.api.patch import json as json_patch
from sampan.api.types import admissionregistration_v1 as v1
from sampan.apiserver.admission.base import Plugin, metadata, text
from sampan.apiserver.admission.webhooks import matching, review
from sampan.apiserver.admission.webhooks.caller import Caller, CallFailed
from sampan.apiserver.admission.webhooks.hooks import Hook, Hooks
from sampan.apiserver.contracts import Admission, View
from sampan.apiserver.crd.scale import shown_scale

log = logging.getLogger(__name__)


class Asking:
    """What both plugins share: how one webhook is asked about one write."""

    def __init__(self, view: View, caller: Caller, equivalents: matching.Equivalents, *, mutating: bool) -> None:
        self.view = view
        self._caller = caller
        self._equivalents = equivalents
        self._mutating = mutating

    def kind_for(self, hook: Hook, admission: Admission) -> Kind | None:
        return matching.match(hook, admission, self.view, self._equivalents)

    async def ask(self, hook: Hook, admission: Admission, kind: Kind) -> review.Verdict:
        """Raises StatusError for a refusal, and for a failure that the webhook's policy does not forgive."""
        webhook = hook.webhook
        if admission.dry_run and webhook.sideEffects not in ("None", "NoneOnDryRun"):
            raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        new, old = (
            converted(body_of(admission, each), admission.kind, kind)
            for each in (admission.document or admission.connection, admission.old)
        )
        asked = review.question(admission, kind, new, old, review.version_of(webhook.admissionReviewVersions))
        try:
            try:
                body = await self._caller.call(webhook.clientConfig, asked, hook.timeout)
            except CallFailed as failure:
                raise CallFailed(f"failed to call webhook: {failure}") from failure
            verdict = review.answer(asked, body, mutating=self._mutating)
        except (CallFailed, review.BadAnswer) as failure:
            if isinstance(failure, review.BadAnswer):
                why = f'failed calling webhook "{hook.name}": received invalid webhook response: {failure}'
            else:
                why = f'failed calling webhook "{hook.name}": {failure}'
            if hook.may_fail:
                log.warning("%s; its failurePolicy lets the write pass", why)
                return review.Verdict(True)
            raise internal(why) from failure
        admission.warnings.extend(verdict.warnings)
        if not verdict.allowed:
            raise review.denial(hook.name, verdict.status)
        return verdict


class MutatingAdmissionWebhook(Plugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, view: View, caller: Caller, equivalents: matching.Equivalents) -> None:
        self._hooks = Hooks(view, v1.MutatingWebhookConfiguration)
        self._asking = Asking(view, caller, equivalents, mutating=True)

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        hooks = self._hooks.current()
        if not hooks or matching.is_exempt(admission):
            return None
        return self._admit(hooks, admission)

    async def _admit(self, hooks: Sequence[Hook], admission: Admission) -> None:
        for hook in hooks:
            kind = self._asking.kind_for(hook, admission)
            if kind is None or not _its_turn(hook, admission):
                continue
            verdict = await self._asking.ask(hook, admission, kind)
            if verdict.patch:
                change(admission, hook, kind, verdict.patch)
            # What it has seen last; None for who does not want to see what others change later.
            admission.seen[hook.key] = codec.encode(admission.document or {}) if hook.again else None


def _its_turn(hook: Hook, admission: Admission) -> bool:
    """In the second round only those are asked that saw another object in the first, and want to know."""
    if not admission.second:
        return True
    seen = admission.seen.get(hook.key)
    return seen is not None and seen != codec.encode(admission.document or {})


def change(admission: Admission, hook: Hook, kind: Kind, patch: Sequence[Document]) -> None:
    """Do what a webhook asks for, in place. Raises StatusError when it does not fit."""
    document = admission.document
    if document is None or admission.attributes.subresource == "scale":
        why = f'admission webhook "{hook.name}" attempted to modify the object, which is not supported'
        raise internal(f"{why} for this operation")
    try:
        patched = json_patch.apply(converted(document, admission.kind, kind), list(patch))
    except StatusError as error:
        raise internal(str(error)) from error
    if not isinstance(patched, dict):
        raise internal(f'admission webhook "{hook.name}" leaves no object behind')
    if identity_of(patched) != identity_of(document):
        raise internal(f'admission webhook "{hook.name}" attempted to give the object another name')
    if document.get("kind") == admission.kind.name:
        try:
            codec.identify(kind, patched)
            codec.normalize(kind, patched)
            kind.default(patched)
            codec.decode(kind, patched)
        except StatusError as error:
            raise internal(str(error)) from error
        patched = converted(patched, kind, admission.kind) or patched
    if patched != document:
        document.clear()
        document.update(patched)
        admission.changed = True


def identity_of(document: Document) -> tuple[str, ...]:
    meta = metadata(document)
    return tuple(text(meta, name) for name in ("name", "namespace", "uid"))


class ValidatingAdmissionWebhook(Plugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, view: View, caller: Caller, equivalents: matching.Equivalents) -> None:
        self._hooks = Hooks(view, v1.ValidatingWebhookConfiguration)
        self._asking = Asking(view, caller, equivalents, mutating=False)

    def validate(self, admission: Admission) -> Awaitable[None] | None:
        hooks = self._hooks.current()
        if not hooks or matching.is_exempt(admission):
            return None
        asked = [(hook, kind) for hook in hooks if (kind := self._asking.kind_for(hook, admission)) is not None]
        return self._validate(asked, admission) if asked else None

    async def _validate(self, asked: Sequence[tuple[Hook, Kind]], admission: Admission) -> None:
        """The first refusal in the order of the configurations is the client's, whoever is the quickest."""
        asking = (self._asking.ask(hook, admission, kind) for hook, kind in asked)
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


def body_of(admission: Admission, document: Document | None) -> Document | None:
    """The body as the client knows it: of a scale its Scale."""
    if document is not None and admission.attributes.subresource == "scale":
        return shown_scale(admission.kind, document)
    return document


def converted(document: Document | None, given: Kind, wanted: Kind) -> Document | None:
    """The object in another version; a subresource's own body is the same in all of them."""
    if document is None or given is wanted or document.get("kind") != given.name:
        return document
    stored = given.storage.to_stored(document) if given.storage else document
    shown = wanted.storage.from_stored(stored) if wanted.storage else stored
    made: Document = msgspec.json.decode(msgspec.json.encode({**shown, "apiVersion": wanted.api_version}))
    return made


def equivalents(kinds: Callable[[], Sequence[Kind]]) -> matching.Equivalents:
    """Among all that is served, what is kept in the same place."""

    def place(kind: Kind) -> tuple[str, str]:
        return (kind.storage.group if kind.storage else kind.group, kind.plural)

    def others(kind: Kind) -> Sequence[Kind]:
        return [each for each in kinds() if each is not kind and each.stored and place(each) == place(kind)]

    return others

"""Carries out what planners decide, and lets the caches know at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1, policy_v1
from sampan.client.cache import Cache, meta
from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.runtime import tasks
from sampan.runtime.actions import Batch, Call, Create, Delete, Emit, Evict, Patch, Plan, Refused, Requeue, Update
from sampan.runtime.events import Recorder


class Applier:
    """`run` drives one plan to its end. Optimistic concurrency: a stale object raises the server's Conflict."""

    def __init__(self, client: Client, informers: Informers, recorder: Recorder) -> None:
        self._client = client
        self._informers = informers
        self._recorder = recorder
        self._doers: dict[type, Callable[[Any], Any]] = {
            Create: self._create,
            Update: self._update,
            Patch: self._patch,
            Delete: self._delete,
            Evict: self._evict,
            Batch: self._batch,
            Call: lambda action: action.function(self._client),
        }

    async def run(self, plan: Plan) -> float | None:
        """Returns the seconds after which the plan wants to be made again, None for never."""
        again: float | None = None
        answer: Any = None
        refusal: Exception | None = None
        try:
            while True:
                action = plan.throw(refusal) if refusal else plan.send(answer)
                answer = refusal = None
                if isinstance(action, Emit):
                    self._recorder.emit(action.about, action.type, action.reason, action.message)
                elif isinstance(action, Requeue):
                    again = action.after if again is None else min(again, action.after)
                else:
                    try:
                        answer = await self._do(action)
                    except (StatusError, Refused) as error:
                        refusal = error
        except StopIteration:
            return again
        finally:
            plan.close()

    async def _do(self, action: Any) -> Any:
        result = self._doers[type(action)](action)
        return await result if inspect.isawaitable(result) else result

    def _cache(self, type: type[Any]) -> Cache[Any] | None:
        return self._informers.find(type)

    def _assume(self, object: Any) -> Any:
        if (cache := self._cache(type(object))) is not None:
            cache.assume(object)
        return object

    async def _create(self, action: Create) -> Any:
        return self._assume(await self._client.create(action.object))

    async def _update(self, action: Update) -> Any:
        return self._assume(await self._client.update(action.object, subresource=action.subresource))

    async def _patch(self, action: Patch) -> Any:
        metadata = meta(action.object)
        body = {**action.body, "metadata": {**action.body.get("metadata", {}), "uid": metadata.uid}}
        return self._assume_known(
            await self._client.patch(
                type(action.object),
                metadata.name or "",
                metadata.namespace or "",
                body=body,
                how=action.how,
                subresource=action.subresource,
                kind=action.kind,
            ),
            action.kind is None,
        )

    def _assume_known(self, object: Any, known: bool) -> Any:
        return self._assume(object) if known else object

    async def _delete(self, action: Delete) -> Any:
        metadata = meta(action.object)
        try:
            remains = await self._client.delete(
                type(action.object),
                metadata.name or "",
                metadata.namespace or "",
                grace=action.grace,
                propagation=action.propagation,
                uid=metadata.uid,
                resourceVersion=metadata.resourceVersion if action.unchanged else None,
                kind=action.kind,
            )
        except StatusError as error:
            replaced = error.code == 409 and not action.unchanged
            if error.code != 404 and not replaced:
                raise
            remains = None
        if action.kind is not None:
            return remains
        if remains is not None:
            return self._assume(remains)
        if (cache := self._cache(type(action.object))) is not None:
            cache.assume_deleted(action.object)
        return None

    async def _evict(self, action: Evict) -> None:
        metadata = meta(action.object)
        eviction = policy_v1.Eviction(
            metadata=meta_v1.ObjectMeta(name=metadata.name, namespace=metadata.namespace),
            deleteOptions=meta_v1.DeleteOptions(preconditions=meta_v1.Preconditions(uid=metadata.uid)),
        )
        path = self._client.kind(core_v1.Pod).path(metadata.namespace or "", metadata.name or "", "eviction")
        await self._client.post(path, replace(eviction, apiVersion="policy/v1", kind="Eviction"))

    async def _batch(self, action: Batch) -> list[Any]:
        answers: list[Any] = []
        at, size = 0, 1
        while at < len(action.actions):
            part = action.actions[at : at + size]
            at, size = at + len(part), size * 2
            if len(part) == 1:
                outcomes = [await self._outcome(part[0])]
            else:
                outcomes = await tasks.all_of("batch", [self._do(each) for each in part])
            errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            answers += [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
            if errors:
                refusals = [error for error in errors if isinstance(error, StatusError)]
                if len(refusals) < len(errors):
                    raise next(error for error in errors if not isinstance(error, StatusError))
                raise Refused(refusals[0], answers, len(action.actions) - at)
        return answers

    async def _outcome(self, action: Any) -> Any:
        try:
            return await self._do(action)
        except StatusError as error:
            return error

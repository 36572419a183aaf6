"""Binding and eviction of pods, ephemeral containers and resize."""

from __future__ import annotations

import msgspec

from sampan.api import codec, selectors
from sampan.api.errors import (
    StatusError,
    bad_request,
    conflict,
    internal,
    invalid_error,
    not_supported,
    required,
    status_error,
)
from sampan.api.kinds import core
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import core_v1, meta_v1, policy_v1
from sampan.apiserver import negotiation
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.meta import metadata, now
from sampan.apiserver.resource import Resources, Write
from sampan.apiserver.routes import Route
from sampan.apiserver.verbs.write import body_of, read_document, write_of
from sampan.http.types import Request, Response

EVICTION = Kind(policy_v1.Eviction, "policy", "v1", "evictions", stored=False)
_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_BUDGET = "Cannot evict pod as it would violate the pod's disruption budget."


class Pods:
    def __init__(self, resources: Resources, budgets: Kind) -> None:
        self._resources = resources
        self._budgets = budgets

    async def bind(self, request: Request, route: Route, attributes: Attributes) -> Response:
        """pods/binding and bindings: give a pod its node."""
        write = write_of(request, attributes)
        body = await body_of(request)
        binding = read_document(core.BINDING, body, request.headers.get("content-type", ""), write)
        name = route.name or str(metadata(binding).get("name") or "")
        target = binding.get("target") or {}
        errors = []
        if target.get("kind") not in (None, "", "Node"):
            errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
        if not target.get("name"):
            errors.append(required("target.name"))
        if errors:
            raise invalid_error("Binding", "", name, errors)
        await self._resources.admit_unstored(core.POD, binding, write)
        given = metadata(binding)
        await self._assign(route.namespace, name, str(target["name"]), given, write)
        return negotiation.answer(request, codec.encode(_CREATED), status=201)

    async def _assign(self, namespace: str, name: str, node: str, given: Document, write: Write) -> None:
        def change(pod: Document) -> Document:
            uid = given.get("uid")
            if uid and uid != metadata(pod).get("uid"):
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata(pod).get('uid')}"
                raise conflict("pods", "", name, why)
            spec = pod["spec"]
            if metadata(pod).get("deletionTimestamp"):
                raise conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
            if spec.get("nodeName"):
                text = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
                raise conflict("pods/binding", "", name, text)
            if spec.get("schedulingGates"):
                raise conflict("pods/binding", "", name, f"pod {name} has non-empty .spec.schedulingGates")
            spec["nodeName"] = node
            if annotations := given.get("annotations"):
                metadata(pod).setdefault("annotations", {}).update(annotations)
            status = pod.setdefault("status", {})
            conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
            observed = metadata(pod).get("generation")
            scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
            if observed:
                scheduled["observedGeneration"] = observed
            status["conditions"] = [*conditions, {k: v for k, v in scheduled.items() if v is not None}]
            return pod

        await self._resources.update(core.POD, namespace, name, change, write, part="binding")

    async def evict(self, request: Request, route: Route, attributes: Attributes) -> Response:
        """pods/eviction: delete the pod if its disruption budgets allow it."""
        write = write_of(request, attributes)
        document = read_document(EVICTION, await body_of(request), request.headers.get("content-type", ""), write)
        eviction: policy_v1.Eviction = codec.decode(EVICTION, document)
        given = eviction.metadata.name
        if given and given != route.name:
            raise bad_request("name in URL does not match name in Eviction object")
        await self._resources.admit_unstored(core.POD, document, write)
        options = eviction.deleteOptions or meta_v1.DeleteOptions()
        dry = write.dry_run or bool(options.dryRun)
        item = await self._resources.current(core.POD, route.namespace, route.name)
        pod = msgspec.json.decode(item.value, type=core_v1.Pod)
        if pod.status.phase not in ("Succeeded", "Failed", "Pending") and not pod.metadata.deletionTimestamp:
            await self._spend(pod, write, dry)
        await self._resources.delete(
            core.POD, route.namespace, route.name, options, Write(attributes, dry, write.field_validation)
        )
        return negotiation.answer(request, codec.encode(_CREATED), status=201)

    async def _spend(self, pod: core_v1.Pod, write: Write, dry: bool) -> None:
        """Take one disruption off the budget that covers the pod. Raises TooManyRequests when there is none left."""
        name, namespace = pod.metadata.name or "", pod.metadata.namespace or ""
        covering = [
            budget
            for budget in self._resources.cacher.list(policy_v1.PodDisruptionBudget, namespace)
            if budget.spec.selector is not None
            and selectors.label_selector(budget.spec.selector).matches(pod.metadata.labels)
        ]
        if not covering:
            return
        if len(covering) > 1:
            raise internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        budget = covering[0]
        ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
        healthy, desired = budget.status.currentHealthy or 0, budget.status.desiredHealthy or 0
        if not ready and (budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow" or healthy >= desired > 0):
            return

        def change(old: Document) -> Document:
            left = old.setdefault("status", {})
            generation = metadata(old).get("generation") or 0
            if (left.get("observedGeneration") or 0) < generation:
                raise _refuse(budget, "The disruption budget is still being processed by the server.")
            if (left.get("disruptionsAllowed") or 0) <= 0:
                text = (
                    f"The disruption budget {budget.metadata.name} needs {left.get('desiredHealthy') or 0} "
                    f"healthy pods and has {left.get('currentHealthy') or 0} currently"
                )
                raise _refuse(budget, text)
            left["disruptionsAllowed"] -= 1
            left.setdefault("disruptedPods", {})[name] = now()
            return old

        if dry:
            item = await self._resources.current(self._budgets, namespace, budget.metadata.name or "")
            change(self._resources.document(self._budgets, item))
            return
        await self._resources.update(
            self._budgets, namespace, budget.metadata.name or "", change, Write(write.attributes), part="status"
        )


def _refuse(budget: policy_v1.PodDisruptionBudget, text: str) -> StatusError:
    details = meta_v1.StatusDetails(
        causes=(meta_v1.StatusCause(reason="DisruptionBudget", message=text),), retryAfterSeconds=None
    )
    return status_error(429, "TooManyRequests", _BUDGET, details)

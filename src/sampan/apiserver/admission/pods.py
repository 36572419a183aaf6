"""What pods are given on their way in: tolerations, priority, and what their runtime class adds."""

from __future__ import annotations

from typing import Any

from sampan.api import codec, quantity
from sampan.api.defaults.document import each, given, section
from sampan.api.kinds.kind import Document
from sampan.api.types import node_v1, scheduling_v1
from sampan.apiserver.admission.base import Plugin, is_plain, items, refuse, text
from sampan.apiserver.contracts import Admission, View

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATION_SECONDS = 300
PREEMPT = "PreemptLowerPriority"


class DefaultTolerationSeconds(Plugin):
    """Pods stay for five minutes on a node that does not answer."""

    name = "DefaultTolerationSeconds"
    handles = ("pods",)

    def admit(self, admission: Admission) -> None:
        pod = admission.document
        if pod is None or not is_plain(admission):
            return
        spec = section(pod, "spec")
        for key in (NOT_READY, UNREACHABLE):
            if not any(_tolerates(toleration, key) for toleration in each(spec, "tolerations")):
                items(spec, "tolerations").append(
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
                )


def _tolerates(toleration: Document, key: str) -> bool:
    return text(toleration, "key") in (key, "") and text(toleration, "effect") in ("NoExecute", "")


class Priority(Plugin):
    """priorityClassName becomes a number; at most one class is everyone's default."""

    name = "Priority"
    handles = ("pods", "priorityclasses.scheduling.k8s.io")

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        pod = admission.document
        if admission.kind.plural != "pods" or admission.attributes.subresource or pod is None:
            return
        spec = section(pod, "spec")
        if admission.operation == "UPDATE":
            _keep(spec, given(admission.old or {}, "spec") or {})
            return
        priority, policy = self._resolve(admission, spec)
        wished = spec.get("priority")
        if wished is not None and wished != priority:
            raise refuse(
                admission,
                f"the integer value of priority ({wished}) must not be provided in pod spec; priority admission "
                f"controller computed {priority} from the given PriorityClass name",
            )
        wished = spec.get("preemptionPolicy")
        if wished is not None and wished != policy:
            raise refuse(
                admission,
                f"the string value of PreemptionPolicy ({wished}) must not be provided in pod spec; priority admission "
                f"controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = priority, policy

    def _resolve(self, admission: Admission, spec: Document) -> tuple[int, str]:
        """(priority, preemption policy) of the pod's class or of the default one, whose name the pod gets."""
        name = text(spec, "priorityClassName")
        if name:
            found = self._view.get(scheduling_v1.PriorityClass, name)
            if found is None:
                raise refuse(admission, f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
            if found is None:
                return 0, PREEMPT
            spec["priorityClassName"] = found.metadata.name
        return found.value or 0, found.preemptionPolicy or PREEMPT

    def _default(self) -> scheduling_v1.PriorityClass | None:
        """Of several defaults the lowest counts."""
        found = [each for each in self._view.list(scheduling_v1.PriorityClass) if each.globalDefault]
        return min(found, key=lambda each: (each.value or 0, each.metadata.name or ""), default=None)

    def validate(self, admission: Admission) -> None:
        document = admission.document
        if admission.kind.plural != "priorityclasses" or document is None or not document.get("globalDefault"):
            return
        default = self._default()
        name = text(section(document, "metadata"), "name")
        if default is not None and (admission.operation == "CREATE" or default.metadata.name != name):
            why = f"PriorityClass {default.metadata.name} is already marked as default. Only one default can exist"
            raise refuse(admission, why)


def _keep(spec: Document, old: Document) -> None:
    for key in ("priority", "preemptionPolicy"):
        if spec.get(key) is None and old.get(key) is not None:
            spec[key] = old[key]


class RuntimeClass(Plugin):
    """A pod's runtime class must exist; it says what the pod costs beyond its containers and where it may run."""

    name = "RuntimeClass"
    handles = ("pods",)

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        pod = admission.document
        if admission.operation != "CREATE" or pod is None or not is_plain(admission):
            return
        spec = section(pod, "spec")
        found = self._find(admission, spec)
        if found is None:
            return
        if found.overhead is not None:
            if spec.get("overhead") and not _same_amounts(spec["overhead"], found.overhead.podFixed):
                raise refuse(admission, _MISMATCH)
            spec["overhead"] = dict(found.overhead.podFixed)
        if found.scheduling is not None:
            self._place(admission, spec, found.scheduling)

    def _find(self, admission: Admission, spec: Document) -> node_v1.RuntimeClass | None:
        name = text(spec, "runtimeClassName")
        if not name:
            return None
        found = self._view.get(node_v1.RuntimeClass, name)
        if found is None:
            raise refuse(admission, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _place(self, admission: Admission, spec: Document, scheduling: node_v1.Scheduling) -> None:
        if scheduling.nodeSelector:
            selector = section(spec, "nodeSelector")
            for key, value in scheduling.nodeSelector.items():
                if selector.setdefault(key, value) != value:
                    raise refuse(
                        admission,
                        f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                        f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                    )
        present = items(spec, "tolerations") if scheduling.tolerations else []
        for toleration in scheduling.tolerations:
            document = codec.document(toleration)
            if document not in present:
                present.append(document)

    def validate(self, admission: Admission) -> None:
        pod = admission.document
        if admission.operation != "CREATE" or pod is None or not is_plain(admission):
            return
        spec = section(pod, "spec")
        found = self._find(admission, spec)
        overhead = spec.get("overhead") or {}
        if found is not None and found.overhead is not None:
            if not _same_amounts(overhead, found.overhead.podFixed):
                raise refuse(admission, _MISMATCH)
        elif overhead:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise refuse(admission, why)


_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


def _same_amounts(given: Any, wanted: Any) -> bool:
    if not isinstance(given, dict) or given.keys() != wanted.keys():
        return False
    try:
        return all(quantity.nano(str(given[key])) == quantity.nano(wanted[key]) for key in wanted)
    except ValueError:
        return False


class TaintNodesByCondition(Plugin):
    """A new node gets pods only when its conditions say that it is ready."""

    name = "TaintNodesByCondition"
    handles = ("nodes",)

    def admit(self, admission: Admission) -> None:
        node = admission.document
        if admission.operation != "CREATE" or node is None or not is_plain(admission):
            return
        spec = section(node, "spec")
        if not any(t.get("key") == NOT_READY and t.get("effect") == "NoSchedule" for t in each(spec, "taints")):
            items(spec, "taints").append({"key": NOT_READY, "effect": "NoSchedule"})

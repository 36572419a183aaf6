"""How far a Deployment, DaemonSet or StatefulSet has come: pure, from the object to a sentence."""

from __future__ import annotations

from typing import Any, NamedTuple

Document = dict[str, Any]


class Progress(NamedTuple):
    """`failed` when nothing more is to be expected."""

    message: str
    done: bool
    failed: bool = False


def status(document: Document) -> Progress:
    """Raises KeyError for kinds that do not roll out."""
    return _KINDS[document["kind"]](document)


def _seen(document: Document) -> bool:
    observed = (document.get("status") or {}).get("observedGeneration") or 0
    return int(observed) >= int(document["metadata"].get("generation") or 0)


def _deployment(document: Document) -> Progress:
    name, spec, status_ = document["metadata"]["name"], document["spec"], document.get("status") or {}
    if not _seen(document):
        return Progress("Waiting for deployment spec update to be observed...", done=False)
    for condition in status_.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Progress(f'error: deployment "{name}" exceeded its progress deadline', done=False, failed=True)
    wanted = spec.get("replicas", 1)
    updated, total, available = (status_.get(f) or 0 for f in ("updatedReplicas", "replicas", "availableReplicas"))
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return Progress(f"{waiting}{updated} out of {wanted} new replicas have been updated...", done=False)
    if total > updated:
        return Progress(f"{waiting}{total - updated} old replicas are pending termination...", done=False)
    if available < updated:
        return Progress(f"{waiting}{available} of {updated} updated replicas are available...", done=False)
    return Progress(f'deployment "{name}" successfully rolled out', done=True)


def _daemonset(document: Document) -> Progress:
    name, spec, status_ = document["metadata"]["name"], document["spec"], document.get("status") or {}
    if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        return Progress("error: rollout status is only available for RollingUpdate strategy type", False, failed=True)
    if not _seen(document):
        return Progress("Waiting for daemon set spec update to be observed...", done=False)
    wanted, updated, available = (
        status_.get(field) or 0 for field in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    )
    waiting = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return Progress(f"{waiting}{updated} out of {wanted} new pods have been updated...", done=False)
    if available < wanted:
        return Progress(f"{waiting}{available} of {wanted} updated pods are available...", done=False)
    return Progress(f'daemon set "{name}" successfully rolled out', done=True)


def _statefulset(document: Document) -> Progress:
    spec, status_ = document["spec"], document.get("status") or {}
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return Progress("error: rollout status is only available for RollingUpdate strategy type", False, failed=True)
    if not status_.get("observedGeneration") or not _seen(document):
        return Progress("Waiting for statefulset spec update to be observed...", done=False)
    wanted = spec.get("replicas", 1)
    ready, updated = status_.get("readyReplicas") or 0, status_.get("updatedReplicas") or 0
    if ready < wanted:
        return Progress(f"Waiting for {wanted - ready} pods to be ready...", done=False)
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if partition:
        if updated < wanted - partition:
            return Progress(
                f"Waiting for partitioned roll out to finish: {updated} out of {wanted - partition} new pods have "
                "been updated...",
                done=False,
            )
        return Progress(f"partitioned roll out complete: {updated} new pods have been updated...", done=True)
    revision = status_.get("updateRevision")
    if revision != status_.get("currentRevision"):
        return Progress(
            f"waiting for statefulset rolling update to complete {updated} pods at revision {revision}...", done=False
        )
    current = status_.get("currentReplicas") or 0
    return Progress(
        f"statefulset rolling update complete {current} pods at revision {status_.get('currentRevision')}...", done=True
    )


_KINDS = {"Deployment": _deployment, "DaemonSet": _daemonset, "StatefulSet": _statefulset}
KINDS = tuple(_KINDS)

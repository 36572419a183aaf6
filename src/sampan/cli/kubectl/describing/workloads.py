"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from sampan.api import duration
from sampan.cli.kubectl.describing import common, pod_template
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]


def deployment(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"CreationTimestamp:\t{common.moment(meta.get('creationTimestamp'))}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, f"Selector:\t{common.selector(spec.get('selector'))}")
    updated, total, available, unavailable = (
        status.get(f) or 0 for f in ("updatedReplicas", "replicas", "availableReplicas", "unavailableReplicas")
    )
    write(
        0,
        f"Replicas:\t{spec.get('replicas', 1)} desired | {updated} updated | {total} total | {available} available | "
        f"{unavailable} unavailable",
    )
    strategy = spec.get("strategy") or {}
    write(0, f"StrategyType:\t{strategy.get('type', '')}")
    write(0, f"MinReadySeconds:\t{spec.get('minReadySeconds', 0)}")
    rolling = strategy.get("rollingUpdate")
    if rolling:
        write(
            0,
            f"RollingUpdateStrategy:\t{rolling.get('maxUnavailable')} max unavailable, "
            f"{rolling.get('maxSurge')} max surge",
        )
    pod_template.describe(write, spec.get("template"))
    common.conditions(write, status.get("conditions") or ())
    _replicasets(write, document, found["replicasets"])
    common.events(write, found["events"])


def _replicasets(write: Writer, document: Document, listed: list[Document]) -> None:
    revision = (document["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision")
    mine = [
        each
        for each in listed
        if any(o["uid"] == document["metadata"]["uid"] for o in each["metadata"].get("ownerReferences") or ())
    ]
    new = [
        e for e in mine if (e["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision") == revision
    ]
    old = [each for each in mine if each not in new and each["spec"].get("replicas")]
    write(0, f"OldReplicaSets:\t{_replica_text(old)}")
    write(0, f"NewReplicaSet:\t{_replica_text(new)}")


def _replica_text(listed: list[Document]) -> str:
    shown = []
    for each in listed:
        made, wanted = (each.get("status") or {}).get("replicas", 0), each["spec"].get("replicas", 1)
        shown.append(f"{each['metadata']['name']} ({made}/{wanted} replicas created)")
    return ", ".join(shown) or common.NONE


def _pod_states(pods: list[Document]) -> str:
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    running, waiting, succeeded, failed = (phases.count(p) for p in ("Running", "Pending", "Succeeded", "Failed"))
    return f"{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"


def replicaset(write: Writer, document: Document, found: Document) -> None:
    spec, status = document["spec"], document.get("status") or {}
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"Selector:\t{common.selector(spec.get('selector'))}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    if common.controller(document):
        write(0, f"Controlled By:\t{common.controller(document)}")
    write(0, f"Replicas:\t{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    write(0, f"Pods Status:\t{_pod_states(found['pods'])}")
    pod_template.describe(write, spec.get("template"))
    common.conditions(write, status.get("conditions") or ())
    common.events(write, found["events"])


def statefulset(write: Writer, document: Document, found: Document) -> None:
    meta, spec = document["metadata"], document["spec"]
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"CreationTimestamp:\t{common.moment(meta.get('creationTimestamp'))}")
    write(0, f"Selector:\t{common.selector(spec.get('selector'))}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(
        0, f"Replicas:\t{spec.get('replicas', 1)} desired | {(document.get('status') or {}).get('replicas', 0)} total"
    )
    strategy = spec.get("updateStrategy") or {}
    write(0, f"Update Strategy:\t{strategy.get('type', '')}")
    if strategy.get("rollingUpdate"):
        write(1, f"Partition:\t{strategy['rollingUpdate'].get('partition', 0)}")
    write(0, f"Pods Status:\t{_pod_states(found['pods'])}")
    pod_template.describe(write, spec.get("template"))
    claims = spec.get("volumeClaimTemplates") or ()
    if not claims:
        write(0, f"Volume Claims:\t{common.NONE}")
    else:
        write(0, "Volume Claims:")
        for claim in claims:
            wanted = claim.get("spec") or {}
            write(1, f"Name:\t{claim['metadata']['name']}")
            write(1, f"StorageClass:\t{wanted.get('storageClassName') or ''}")
            for title in ("labels", "annotations"):
                values = claim["metadata"].get(title)
                write(1, f"{title.capitalize()}:\t{common.label_text(values)}")
            requests = (wanted.get("resources") or {}).get("requests") or {}
            write(1, f"Capacity:\t{requests.get('storage', common.NONE)}")
            write(1, f"Access Modes:\t[{' '.join(wanted.get('accessModes') or ())}]")
    common.events(write, found["events"])


def daemonset(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"Selector:\t{common.selector(spec.get('selector'))}")
    node_selector = spec["template"]["spec"].get("nodeSelector")
    write(0, f"Node-Selector:\t{common.label_text(node_selector)}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    for title, field in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        write(0, f"{title}: {status.get(field) or 0}")
    write(0, f"Pods Status:\t{_pod_states(found['pods'])}")
    pod_template.describe(write, spec.get("template"))
    common.events(write, found["events"])


def job(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"Selector:\t{common.selector(spec.get('selector'))}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    if common.controller(document):
        write(0, f"Controlled By:\t{common.controller(document)}")
    write(0, f"Parallelism:\t{spec.get('parallelism', '<unset>')}")
    write(0, f"Completions:\t{spec.get('completions', '<unset>')}")
    if spec.get("completionMode"):
        write(0, f"Completion Mode:\t{spec['completionMode']}")
    if spec.get("suspend") is not None:
        write(0, f"Suspend:\t{str(spec['suspend']).lower()}")
    if spec.get("backoffLimit") is not None:
        write(0, f"Backoff Limit:\t{spec['backoffLimit']}")
    if spec.get("ttlSecondsAfterFinished") is not None:
        write(0, f"TTL Seconds After Finished:\t{spec['ttlSecondsAfterFinished']}")
    if status.get("startTime"):
        write(0, f"Start Time:\t{common.moment(status['startTime'])}")
    if status.get("completionTime"):
        write(0, f"Completed At:\t{common.moment(status['completionTime'])}")
        if status.get("startTime"):
            took = duration.unix(status["completionTime"]) - duration.unix(status["startTime"])
            write(0, f"Duration:\t{duration.human(took)}")
    if spec.get("activeDeadlineSeconds"):
        write(0, f"Active Deadline Seconds:\t{spec['activeDeadlineSeconds']}s")
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    write(
        0,
        f"Pods Statuses:\t{status.get('active', 0)} Active{ready} / {status.get('succeeded', 0)} Succeeded / "
        f"{status.get('failed', 0)} Failed",
    )
    if spec.get("completionMode") == "Indexed":
        write(0, f"Completed Indexes:\t{status.get('completedIndexes') or common.NONE}")
    pod_template.describe(write, spec.get("template"))
    common.events(write, found["events"])


def cronjob(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, f"Schedule:\t{spec['schedule']}")
    write(0, f"Concurrency Policy:\t{spec.get('concurrencyPolicy', '')}")
    write(0, f"Suspend:\t{spec.get('suspend', False)}")
    for title, field in (
        ("Successful Job History Limit", "successfulJobsHistoryLimit"),
        ("Failed Job History Limit", "failedJobsHistoryLimit"),
    ):
        write(0, f"{title}:\t{spec.get(field, '<unset>')}")
    deadline = spec.get("startingDeadlineSeconds")
    write(0, f"Starting Deadline Seconds:\t{f'{deadline}s' if deadline is not None else '<unset>'}")
    inner = spec["jobTemplate"].get("spec") or {}
    write(0, f"Selector:\t{common.selector(inner.get('selector'))}")
    write(0, f"Parallelism:\t{inner.get('parallelism', '<unset>')}")
    write(0, f"Completions:\t{inner.get('completions', '<unset>')}")
    pod_template.describe(write, inner.get("template"))
    write(0, f"Last Schedule Time:\t{common.moment(status.get('lastScheduleTime'))}")
    active = ", ".join(each["name"] for each in status.get("active") or ())
    write(0, f"Active Jobs:\t{active or common.NONE}")
    common.events(write, found["events"])

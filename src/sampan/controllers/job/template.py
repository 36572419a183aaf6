"""The pods of a Job: its template, the tracking finalizer, and with completion indexes name, host and variable."""

from __future__ import annotations

from msgspec.structs import replace

from sampan.api.kinds import batch
from sampan.api.types import batch_v1, core_v1, meta_v1
from sampan.controllers import owners
from sampan.controllers.job import indexes

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer with which a pod waits until it has been counted."""

VARIABLE = "JOB_COMPLETION_INDEX"


def make(job: batch_v1.Job, index: int | None = None, *, failures: int = 0, ignored: int = 0) -> core_v1.Pod:
    template = job.spec.template
    metadata = template.metadata or meta_v1.ObjectMeta()
    name = job.metadata.name or ""
    pod = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{name[:57]}-",
            namespace=job.metadata.namespace,
            labels=metadata.labels,
            annotations=metadata.annotations,
            finalizers=tuple(dict.fromkeys((*metadata.finalizers, TRACKING))),
            ownerReferences=(owners.reference(job, batch.JOB),),
        ),
        spec=template.spec or core_v1.PodSpec(),
    )
    return pod if index is None else _indexed(job, pod, index, failures, ignored)


def _indexed(job: batch_v1.Job, pod: core_v1.Pod, index: int, failures: int, ignored: int) -> core_v1.Pod:
    name = job.metadata.name or ""
    annotations = {**pod.metadata.annotations, indexes.INDEX: str(index)}
    if indexes.limit_per_index(job) is not None:
        annotations[indexes.FAILURES] = str(failures)
        if ignored:
            annotations[indexes.IGNORED_FAILURES] = str(ignored)
    variable = core_v1.EnvVar(
        name=VARIABLE,
        valueFrom=core_v1.EnvVarSource(
            fieldRef=core_v1.ObjectFieldSelector(apiVersion="v1", fieldPath=f"metadata.labels['{indexes.INDEX}']")
        ),
    )
    return replace(
        pod,
        metadata=replace(
            pod.metadata,
            generateName=f"{name[: 62 - len(str(index)) - 5]}-{index}-",
            labels={**pod.metadata.labels, indexes.INDEX: str(index)},
            annotations=annotations,
        ),
        spec=replace(
            pod.spec,
            hostname=pod.spec.hostname or f"{name}-{index}",
            containers=tuple(_with_variable(each, variable) for each in pod.spec.containers),
            initContainers=tuple(_with_variable(each, variable) for each in pod.spec.initContainers),
        ),
    )


def _with_variable(container: core_v1.Container, variable: core_v1.EnvVar) -> core_v1.Container:
    if any(each.name == VARIABLE for each in container.env):
        return container
    return replace(container, env=(*container.env, variable))

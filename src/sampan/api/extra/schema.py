"""OpenAPI of sampan.dev/v1: what `kubectl explain` tells of its kinds. Made from the Structs; the words are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.api import shapes
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.sampan_v1 import App
from sampan.api.shapes import Node

Schema = dict[str, Any]

WORDS = {
    "": "App is an application: where it comes from, how it runs, where it is published.",
    "spec": "What is wanted.",
    "spec.source": "Where the app comes from: a folder or a git repository and the image built from it, or an image.",
    "spec.source.path": "The folder, as seen from where `sampan deploy` is typed.",
    "spec.source.git": "The repository.",
    "spec.source.git.url": "Its address.",
    "spec.source.git.ref": "A branch, a tag or a commit.",
    "spec.source.image": "The image that runs.",
    "spec.type": "stateless (Deployment), stateful (StatefulSet), daemon (DaemonSet), batch (Job) or cron (CronJob).",
    "spec.replicas": "How many pods; 1 unless given. Not together with scale.",
    "spec.scale": "Let the load decide how many pods.",
    "spec.scale.min": "At least so many pods; 1 unless given.",
    "spec.scale.max": "At most so many pods.",
    "spec.scale.cpu": "The share of the requested CPU that pods use on average, such as 70%.",
    "spec.scale.memory": "The share of the requested memory that pods use on average, such as 70%.",
    "spec.port": "Where the app listens; it is told in the environment variable PORT.",
    "spec.protocol": "TCP or UDP; TCP unless given.",
    "spec.health": "The path that answers 2xx when the app can serve. Without it a connection is proof enough.",
    "spec.command": "What runs instead of the image's entrypoint.",
    "spec.args": "What runs instead of the image's command.",
    "spec.env": "Environment variables.",
    "spec.secrets": "Environment variables whose values are made up once and kept in the Secret NAME-secret.",
    "spec.volumes": "Directories that outlive pods.",
    "spec.volumes.path": "Where the directory is in the container.",
    "spec.volumes.size": "How much room; 1Gi unless given.",
    "spec.volumes.name": "Made from the path unless given.",
    "spec.volumes.class": "The StorageClass; the cluster's default unless given.",
    "spec.host": "The host name at which HTTP is published.",
    "spec.needs": "Other apps of the namespace, told in the environment as NAME_HOST and NAME_PORT.",
    "spec.needs.name": "The word that the environment variables begin with.",
    "spec.needs.app": "The app's name.",
    "spec.schedule": "When a cron app runs, in the five fields of cron.",
    "spec.instrument": "python: OpenTelemetry's packages trace the app, which stays as it is. none: they do not.",
    "spec.timeZone": "The time zone of the schedule; UTC unless given.",
    "spec.resources": "What a pod requests, and its limits.",
    "status": "What is; written by the cluster.",
    "status.conditions": "Six steps: ImageBuilt, PodsReady, VolumesBound, Exposed, Published, Monitored.",
    "status.observedGeneration": "The generation that the conditions are about.",
    "status.release": "The release that the spec is.",
    "status.image": "The image that runs.",
    "status.ready": "Pods that can serve, of those wanted.",
    "status.url": "Where the app answers.",
}
RUN_WORDS = {
    "": "PipelineRun is one commit on its way through the pipeline of an app.",
    "spec": "What runs; fixed once made, except for abort.",
    "spec.app": "The app whose pipeline runs; it is made by the first run that deploys it.",
    "spec.source": "The commit.",
    "spec.source.url": "A repository elsewhere; without it the cluster's own one of the app.",
    "spec.source.ref": "refs/heads/BRANCH or refs/tags/TAG.",
    "spec.source.commit": "The commit's full name, 40 hexadecimal digits; may be left open by hand: the newest one.",
    "spec.trigger": "Why it runs.",
    "spec.trigger.kind": "push, webhook or manual.",
    "spec.trigger.by": "Who it was.",
    "spec.trigger.message": "The commit's subject, or another reason.",
    "spec.parameters": "Values of the Jenkinsfile's parameters.",
    "spec.abort": "true asks for an end.",
    "status": "What is; written by the cluster.",
    "status.phase": "Pending, Running, Succeeded, Unstable, Failed or Aborted.",
    "status.number": "Counts the runs of the app.",
    "status.node": "Where it runs, and where its log and its artifacts are.",
    "status.commit": "The commit that runs.",
    "status.stages": "The stages that there are so far, in the order of the pipeline.",
    "status.stages.name": "As in the Jenkinsfile.",
    "status.stages.phase": "Pending, Running, Succeeded, Unstable, Failed, Aborted or Skipped.",
    "status.stages.startedAt": "When it began.",
    "status.stages.finishedAt": "When it ended.",
    "status.stages.message": "Why it ended so.",
    "status.stages.pod": "Where its steps ran.",
    "status.image": "The image that was built.",
    "status.release": "The release that was deployed.",
    "status.message": "Why it ended so.",
    "status.startedAt": "When it began.",
    "status.finishedAt": "When it ended.",
}
_SCALARS: dict[str, Schema] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "time": {"type": "string", "format": "date-time"},
    "quantity": {"x-kubernetes-int-or-string": True},
    "intstr.IntOrString": {"x-kubernetes-int-or-string": True},
}


def schemas() -> dict[tuple[str, str, str], Schema]:
    """The schemas of the group's kinds, without what every object has."""
    made = {"App": _Writer(WORDS).struct(App, ""), "PipelineRun": _Writer(RUN_WORDS).struct(PipelineRun, "")}
    for schema in made.values():
        for name in ("apiVersion", "kind", "metadata"):
            schema["properties"].pop(name)
    return {("sampan.dev", "v1", name): schema for name, schema in made.items()}


class _Writer:
    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words

    def struct(self, type: type[msgspec.Struct], path: str) -> Schema:
        below = f"{path}." if path else ""
        properties = {name: self._schema(node, below + name) for name, node in shapes.fields(type).items()}
        return self._described({"type": "object", "properties": properties}, path)

    def _schema(self, node: Node, path: str) -> Schema:
        if node.form == "list" and node.inner is not None:
            items = {key: value for key, value in self._schema(node.inner, path).items() if key != "description"}
            return self._described({"type": "array", "items": items}, path)
        if node.form == "map" and node.inner is not None:
            inner = self._schema(node.inner, f"{path}.*")
            return self._described({"type": "object", "additionalProperties": inner}, path)
        if node.type is not None:
            return self.struct(node.type, path)
        return self._described(dict(_SCALARS.get(node.form, {})), path)

    def _described(self, schema: Schema, path: str) -> Schema:
        return {**({"description": self._words[path]} if path in self._words else {}), **schema}

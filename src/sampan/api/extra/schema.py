"""OpenAPI of sampan.dev/v1: what `kubectl explain app` tells. Made from the Structs; the words are here."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.api import shapes
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
_SCALARS: dict[str, Schema] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "time": {"type": "string", "format": "date-time"},
    "quantity": {"x-kubernetes-int-or-string": True},
    "intstr.IntOrString": {"x-kubernetes-int-or-string": True},
}


def app() -> Schema:
    """The schema of an App, without what every object has."""
    made = _struct(App, "")
    for name in ("apiVersion", "kind", "metadata"):
        made["properties"].pop(name)
    return made


def _struct(type: type[msgspec.Struct], path: str) -> Schema:
    below = f"{path}." if path else ""
    properties = {name: _schema(node, below + name) for name, node in shapes.fields(type).items()}
    return _described({"type": "object", "properties": properties}, path)


def _schema(node: Node, path: str) -> Schema:
    if node.form == "list" and node.inner is not None:
        items = {key: value for key, value in _schema(node.inner, path).items() if key != "description"}
        return _described({"type": "array", "items": items}, path)
    if node.form == "map" and node.inner is not None:
        return _described({"type": "object", "additionalProperties": _schema(node.inner, f"{path}.*")}, path)
    if node.type is not None:
        return _struct(node.type, path)
    return _described(dict(_SCALARS.get(node.form, {})), path)


def _described(schema: Schema, path: str) -> Schema:
    return {**({"description": WORDS[path]} if path in WORDS else {}), **schema}

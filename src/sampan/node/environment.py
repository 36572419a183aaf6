"""A container's environment: services, envFrom, env, in the order in which later ones win. Pure.

Values of ConfigMaps and Secrets come from a Lookup; `references` says which objects it must hold before.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from sampan.api.types import core_v1
from sampan.node import downward, paths
from sampan.node.contracts import (
    AnyContainer,
    Configs,
    CreateContainerConfigError,
    NodeFacts,
    Places,
    ServicesView,
)
from sampan.node.downward import Facts
from sampan.node.expansion import expand

ENVIRONMENT_FILE = 64 * 1024
"""Bytes that are read of a file of variables."""

PUBLIC_NAMESPACE, PUBLIC_SERVICE = "default", "kubernetes"
"""The service that every pod is told of, whatever it says about service links."""


@dataclass(frozen=True, slots=True)
class PodEnvironment:
    """contracts.Environment: fetches what is referred to, then asks `environment`.

    `ready` returns when the services are known: a container that starts without them never learns of them.
    """

    places: Places
    ready: Callable[[], Awaitable[object]]

    async def __call__(
        self,
        pod: core_v1.Pod,
        container: AnyContainer,
        node: NodeFacts,
        services: ServicesView,
        ips: tuple[str, ...],
        configs: Configs,
    ) -> tuple[tuple[str, str], ...]:
        await self.ready()
        namespace = pod.metadata.namespace or ""
        fetched = _Fetched(namespace, self.places.volumes(pod.metadata.uid or ""), {}, {})
        for kind, name, _ in references(container):
            if kind == "ConfigMap":
                fetched.configmaps[name] = await configs.config_map(namespace, name)
            else:
                fetched.secrets[name] = await configs.secret(namespace, name)
        known = [service for each in {namespace, PUBLIC_NAMESPACE} for service in services.services(each)]
        facts = Facts(node.ips, ips, downward.amounts(node.allocatable))
        return tuple(environment(pod, container, fetched, known, facts).items())


class Reference(NamedTuple):
    """An object of the pod's namespace; `optional` ones may be missing."""

    kind: Literal["ConfigMap", "Secret"]
    name: str
    optional: bool = False


class Lookup(Protocol):
    """Objects of one pod's namespace; None for those that do not exist. Answers at once."""

    def configmap(self, name: str) -> core_v1.ConfigMap | None: ...

    def secret(self, name: str) -> core_v1.Secret | None: ...

    def file_variable(self, reference: core_v1.FileKeySelector) -> str | None:
        """The value that a file of a volume gives to a key; None when the file or the key is missing."""
        ...


@dataclass(frozen=True, slots=True)
class _Fetched:
    namespace: str
    volumes: Path
    configmaps: dict[str, core_v1.ConfigMap | None]
    secrets: dict[str, core_v1.Secret | None]

    def configmap(self, name: str) -> core_v1.ConfigMap | None:
        return self.configmaps.get(name)

    def secret(self, name: str) -> core_v1.Secret | None:
        return self.secrets.get(name)

    def file_variable(self, reference: core_v1.FileKeySelector) -> str | None:
        text = paths.read_beneath(str(self.volumes / reference.volumeName), reference.path, ENVIRONMENT_FILE)
        return parse_file(text).get(reference.key) if text is not None else None


def references(container: AnyContainer) -> list[Reference]:
    """The objects that the container's environment needs, each once; required where any use requires it."""
    found: dict[tuple[str, str], Reference] = {}
    for reference in _references(container):
        known = found.get(reference[:2])
        if known is None or known.optional:
            found[reference[:2]] = reference
    return list(found.values())


def _references(container: AnyContainer) -> Iterable[Reference]:
    for source in container.envFrom:
        if source.configMapRef is not None:
            yield Reference("ConfigMap", source.configMapRef.name or "", bool(source.configMapRef.optional))
        if source.secretRef is not None:
            yield Reference("Secret", source.secretRef.name or "", bool(source.secretRef.optional))
    for variable in container.env:
        if variable.value or variable.valueFrom is None:
            continue
        if (key := variable.valueFrom.configMapKeyRef) is not None:
            yield Reference("ConfigMap", key.name or "", bool(key.optional))
        if (secret := variable.valueFrom.secretKeyRef) is not None:
            yield Reference("Secret", secret.name or "", bool(secret.optional))


def environment(
    pod: core_v1.Pod,
    container: AnyContainer,
    lookup: Lookup,
    services: Iterable[core_v1.Service],
    facts: Facts,
) -> dict[str, str]:
    """Names and values. `services` are those of all namespaces or at least of the pod's and `default`.

    Raises CreateContainerConfigError for what is missing and not optional.
    """
    linked = service_variables(services, pod.metadata.namespace or "", pod.spec.enableServiceLinks is not False)
    own: dict[str, str] = {}
    for source in container.envFrom:
        own.update(_from(pod, source, lookup))
    for variable in container.env:
        if variable.value or variable.valueFrom is None:
            own[variable.name] = expand(variable.value or "", own, linked)
            continue
        value = _value_from(pod, container, variable.valueFrom, lookup, facts)
        if value is not None:
            own[variable.name] = value
    return {**{name: value for name, value in linked.items() if name not in own}, **own}


def _from(pod: core_v1.Pod, source: core_v1.EnvFromSource, lookup: Lookup) -> dict[str, str]:
    prefix = source.prefix or ""
    values: Mapping[str, str] = {}
    if source.configMapRef is not None:
        name = source.configMapRef.name or ""
        configmap = lookup.configmap(name)
        if configmap is None and not source.configMapRef.optional:
            raise CreateContainerConfigError(f'configmap "{name}" not found')
        values = configmap.data if configmap is not None else {}
    elif source.secretRef is not None:
        name = source.secretRef.name or ""
        secret = lookup.secret(name)
        if secret is None and not source.secretRef.optional:
            raise CreateContainerConfigError(f'secret "{name}" not found')
        values = {key: secret_text(value) for key, value in secret.data.items()} if secret is not None else {}
    return {prefix + key: value for key, value in values.items()}


def _value_from(
    pod: core_v1.Pod, container: AnyContainer, source: core_v1.EnvVarSource, lookup: Lookup, facts: Facts
) -> str | None:
    """None when an optional source is missing: the variable is then left out."""
    namespace = pod.metadata.namespace
    try:
        if source.fieldRef is not None:
            return downward.field_value(pod, source.fieldRef.fieldPath, facts)
        if source.resourceFieldRef is not None:
            return downward.resource_value(pod, source.resourceFieldRef, container.name, facts)
    except downward.UnknownField as error:
        raise CreateContainerConfigError(str(error)) from error
    if (key := source.configMapKeyRef) is not None:
        configmap = lookup.configmap(key.name or "")
        if configmap is not None and key.key in configmap.data:
            return configmap.data[key.key]
        if key.optional:
            return None
        if configmap is None:
            raise CreateContainerConfigError(f'configmap "{key.name}" not found')
        raise CreateContainerConfigError(f"couldn't find key {key.key} in ConfigMap {namespace}/{key.name}")
    if (secret_key := source.secretKeyRef) is not None:
        secret = lookup.secret(secret_key.name or "")
        if secret is not None and secret_key.key in secret.data:
            return secret_text(secret.data[secret_key.key])
        if secret_key.optional:
            return None
        if secret is None:
            raise CreateContainerConfigError(f'secret "{secret_key.name}" not found')
        raise CreateContainerConfigError(f"couldn't find key {secret_key.key} in Secret {namespace}/{secret_key.name}")
    if (file_key := source.fileKeyRef) is not None:
        value = lookup.file_variable(file_key)
        if value is None and not file_key.optional:
            raise CreateContainerConfigError(
                f"environment variable key {file_key.key} not found in file {file_key.path}"
            )
        return value
    return ""


def parse_file(text: str) -> dict[str, str]:
    """Lines of `NAME=value` or `NAME='value'`; empty lines and comments are skipped, the last of a name holds."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name and not name.startswith("#"):
            quoted = len(value) >= 2 and value[0] == value[-1] == "'"
            found[name.strip()] = value[1:-1] if quoted else value.strip()
    return found


def secret_text(encoded: str) -> str:
    """Bytes that are no UTF-8 pass through as they are, for the environment is bytes."""
    return base64.b64decode(encoded).decode("utf-8", "surrogateescape")


def service_variables(services: Iterable[core_v1.Service], namespace: str, links: bool) -> dict[str, str]:
    """Variables of the services that a pod of `namespace` may know, each with its older docker link names."""
    known: dict[str, core_v1.Service] = {}
    for service in services:
        if service.spec.clusterIP in (None, "", "None") or not service.spec.ports:
            continue
        name, home = service.metadata.name or "", service.metadata.namespace or ""
        if home == namespace and links:
            known[name] = service
        elif (home, name) == (PUBLIC_NAMESPACE, PUBLIC_SERVICE):
            known.setdefault(name, service)
    found: dict[str, str] = {}
    for _, service in sorted(known.items()):
        found.update(_of_service(service))
    return found


def _of_service(service: core_v1.Service) -> dict[str, str]:
    prefix = _name(service.metadata.name or "")
    ip = service.spec.clusterIP or ""
    host = f"[{ip}]" if ":" in ip else ip
    found = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(service.spec.ports[0].port)}
    for port in service.spec.ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{_name(port.name)}"] = str(port.port)
    for at, port in enumerate(service.spec.ports):
        protocol = port.protocol or "TCP"
        link, url = f"{prefix}_PORT_{port.port}_{protocol}", f"{protocol.lower()}://{host}:{port.port}"
        if at == 0:
            found[f"{prefix}_PORT"] = url
        found[link] = url
        found[f"{link}_PROTO"] = protocol.lower()
        found[f"{link}_PORT"] = str(port.port)
        found[f"{link}_ADDR"] = ip
    return found


def _name(text: str) -> str:
    return text.upper().replace("-", "_")

"""configMap, secret, downwardAPI and projected volumes: files made of objects, refreshed when these change.

The first three are projected volumes of one source, so one piece of code serves all four.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from sampan.api.types import core_v1
from sampan.client.client import FAILURES
from sampan.node import downward
from sampan.node.configs import ConfigKey
from sampan.node.contracts import HostVolume
from sampan.node.volumes import atomic, ownership
from sampan.node.volumes.types import Setup, VolumeFailure, Work
from sampan.runtime import tasks

DEFAULT_MODE = 0o644
_PRIVATE = 0o600

Projected = core_v1.ProjectedVolumeSource


def as_projected(volume: core_v1.Volume) -> Projected | None:
    """Any of the four as a projected source; None for other types."""
    if volume.projected is not None:
        return volume.projected
    if (config := volume.configMap) is not None:
        source = core_v1.ConfigMapProjection(items=config.items, name=config.name, optional=config.optional)
        projection = core_v1.VolumeProjection(configMap=source)
        return Projected(defaultMode=config.defaultMode, defaultUser=config.defaultUser, sources=(projection,))
    if (secret := volume.secret) is not None:
        held = core_v1.SecretProjection(items=secret.items, name=secret.secretName, optional=secret.optional)
        projection = core_v1.VolumeProjection(secret=held)
        return Projected(defaultMode=secret.defaultMode, defaultUser=secret.defaultUser, sources=(projection,))
    if (own := volume.downwardAPI) is not None:
        projection = core_v1.VolumeProjection(downwardAPI=core_v1.DownwardAPIProjection(items=own.items))
        return Projected(defaultMode=own.defaultMode, defaultUser=own.defaultUser, sources=(projection,))
    return None


def references(pod: core_v1.Pod) -> set[ConfigKey]:
    """The ConfigMaps and Secrets that the pod's volumes are made of."""
    namespace = pod.metadata.namespace or ""
    found: set[ConfigKey] = set()
    for volume in pod.spec.volumes:
        projected = as_projected(volume)
        for source in projected.sources if projected is not None else ():
            if source.configMap is not None:
                found.add(ConfigKey("ConfigMap", namespace, source.configMap.name or ""))
            if source.secret is not None:
                found.add(ConfigKey("Secret", namespace, source.secret.name or ""))
    return found


async def prepare(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    projected = as_projected(volume)
    assert projected is not None
    payload: dict[str, atomic.File] = {}
    renew = 0.0
    sources = [_files(setup, pod, projected, source) for source in projected.sources]
    for outcome in await tasks.all_of(f"volume {volume.name}", sources):
        if isinstance(outcome, Exception):
            raise outcome
        files, until = outcome
        payload.update(files)
        renew = min(renew, until) if renew and until else renew or until
    gid = ownership.group(pod)
    # What may hold secrets lives in memory; a plain ConfigMap is no secret and may be large.
    directory = str((setup.disk if volume.configMap is not None else setup.memory) / volume.name)
    return Work(HostVolume(directory, readonly=True), _writer(directory, payload, gid), renew)


def _writer(directory: str, payload: atomic.Payload, gid: int) -> Callable[[], None]:
    owned = {path: _given(file, gid) for path, file in payload.items()}
    return lambda: _write(directory, owned, gid)


def _write(directory: str, payload: atomic.Payload, gid: int) -> None:
    atomic.write(directory, payload, gid=gid)


def _given(file: atomic.File, gid: int) -> atomic.File:
    mode = file.mode if gid < 0 else file.mode | ownership.READ_ONLY
    return atomic.File(file.content, mode, file.uid, gid)


async def _files(
    setup: Setup, pod: core_v1.Pod, projected: Projected, source: core_v1.VolumeProjection
) -> tuple[Mapping[str, atomic.File], float]:
    namespace = pod.metadata.namespace or ""
    if (config := source.configMap) is not None:
        found = await setup.configs.config_map(namespace, config.name or "")
        return configmap_files(config, found, projected), 0.0
    if (held := source.secret) is not None:
        secret = await setup.configs.secret(namespace, held.name or "")
        return secret_files(held, secret, projected), 0.0
    if source.downwardAPI is not None:
        return downward_files(setup, pod, source.downwardAPI.items, projected), 0.0
    if source.serviceAccountToken is not None:
        return await _token_file(setup, pod, source.serviceAccountToken, projected)
    raise VolumeFailure("this node projects configMap, secret, downwardAPI and serviceAccountToken sources only")


def configmap_files(
    source: core_v1.ConfigMapProjection, object: core_v1.ConfigMap | None, defaults: Projected
) -> dict[str, atomic.File]:
    """Raises VolumeFailure when what is not optional is missing."""
    if object is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'configmap "{source.name}" not found')
    contents = {key: value.encode("utf-8", "surrogateescape") for key, value in object.data.items()}
    contents |= {key: base64.b64decode(value) for key, value in object.binaryData.items()}
    what = "configmap references non-existent config key"
    return _chosen(contents, source.items, bool(source.optional), defaults, what)


def secret_files(
    source: core_v1.SecretProjection, object: core_v1.Secret | None, defaults: Projected
) -> dict[str, atomic.File]:
    if object is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'secret "{source.name}" not found')
    contents = {key: base64.b64decode(value) for key, value in object.data.items()}
    what = "references non-existent secret key"
    return _chosen(contents, source.items, bool(source.optional), defaults, what)


def _chosen(
    contents: Mapping[str, bytes], items: Iterable[core_v1.KeyToPath], optional: bool, defaults: Projected, what: str
) -> dict[str, atomic.File]:
    """All keys under their own names, or the items that are asked for."""
    items = tuple(items)
    if not items:
        return {key: _file(content, None, None, defaults) for key, content in contents.items()}
    files = {}
    for item in items:
        if item.key in contents:
            files[item.path] = _file(contents[item.key], item.mode, item.user, defaults)
        elif not optional:
            raise VolumeFailure(f"{what}: {item.key}")
    return files


def _file(content: bytes, mode: int | None, user: int | None, defaults: Projected) -> atomic.File:
    if mode is None:
        mode = DEFAULT_MODE if defaults.defaultMode is None else defaults.defaultMode
    owner = user if user is not None else defaults.defaultUser
    return atomic.File(content, mode, -1 if owner is None else owner)


def downward_files(
    setup: Setup, pod: core_v1.Pod, items: Iterable[core_v1.DownwardAPIVolumeFile], defaults: Projected
) -> dict[str, atomic.File]:
    """Raises VolumeFailure for a field or container that there is not."""
    own_ips = tuple(ip.ip for ip in pod.status.podIPs if ip.ip)
    facts = downward.Facts(setup.node.ips, own_ips, downward.amounts(setup.node.allocatable))
    files = {}
    for item in items:
        try:
            if item.fieldRef is not None:
                text = downward.field_value(pod, item.fieldRef.fieldPath, facts)
            elif item.resourceFieldRef is not None:
                text = downward.resource_value(pod, item.resourceFieldRef, "", facts)
            else:
                continue
        except downward.UnknownField as error:
            raise VolumeFailure(str(error)) from error
        files[item.path] = _file(text.encode("utf-8", "surrogateescape"), item.mode, item.user, defaults)
    return files


async def _token_file(
    setup: Setup, pod: core_v1.Pod, source: core_v1.ServiceAccountTokenProjection, defaults: Projected
) -> tuple[dict[str, atomic.File], float]:
    """A token belongs to the user that all containers share, or to the pod's group, and to nobody else."""
    try:
        token = await setup.tokens.get(pod, source)
    except FAILURES as error:
        raise VolumeFailure(f"failed to fetch token: {error}") from error
    user, gid = ownership.common_user(pod), ownership.group(pod)
    file = _file(token.text.encode(), None, source.user, defaults)
    if user >= 0 or gid >= 0:
        file = atomic.File(file.content, _PRIVATE, file.uid if file.uid >= 0 else user)
    return {source.path: file}, token.renew

"""What an App may say. The words are for people who meet Kubernetes for the first time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from sampan.api import names, quantity
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from sampan.api.extra.sampan_v1 import App, AppScale, AppSource, AppSpec, AppVolume
from sampan.api.validation import cron, resources
from sampan.api.validation.checks import Errors, amount, named, not_negative

TYPES = ("batch", "cron", "daemon", "stateful", "stateless")
PROTOCOLS = ("TCP", "UDP")
INSTRUMENTS = ("none", "python")
URL_LENGTH = 2048
NAME_LENGTH = 40
"""Names of the objects that an app expands to are longer: pods, releases, claims."""

_SHARE = re.compile(r"[1-9][0-9]{0,2}%?\Z")


def validate_app(app: App) -> list[FieldError]:
    errors: Errors = []
    spec, name = app.spec, app.metadata.name or ""
    if name:
        # The app's Service has its name, and so pods find it by DNS.
        named(errors, name, "metadata.name", names.dns1035_label)
    if len(name) > NAME_LENGTH:
        text = f"must be no more than {NAME_LENGTH} characters, names of its pods are longer"
        errors.append(invalid("metadata.name", name, text))
    _source(errors, spec.source)
    if spec.type not in TYPES:
        errors.append(not_supported("spec.type", spec.type, TYPES))
    _size(errors, spec)
    _exposure(errors, spec)
    _environment(errors, spec)
    _volumes(errors, spec)
    _needs(errors, spec, name)
    _schedule(errors, spec)
    if spec.instrument is not None and spec.instrument not in INSTRUMENTS:
        errors.append(not_supported("spec.instrument", spec.instrument, INSTRUMENTS))
    if spec.resources is not None:
        resources.requirements(errors, spec.resources, "spec.resources")
    return errors


def validate_app_update(new: App, old: App) -> list[FieldError]:
    """Types other than stateful have no state of their own, so they may change into each other."""
    errors: Errors = []
    if new.spec.type != old.spec.type and "stateful" in (new.spec.type, old.spec.type):
        text = f"may not change from {old.spec.type}: its volumes belong to it; delete the app first (volumes stay)"
        errors.append(invalid("spec.type", new.spec.type, text))
    elif new.spec.type == "stateful" and not _only_larger(new.spec.volumes, old.spec.volumes):
        text = "volumes of a stateful app may become larger and no more; delete the app and deploy it anew"
        errors.append(forbidden("spec.volumes", f"{text} (its volumes stay)"))
    return errors


def _only_larger(new: Sequence[AppVolume], old: Sequence[AppVolume]) -> bool:
    """Whether these are the same volumes, each at least as large as it was."""
    if [replace(each, size=None) for each in new] != [replace(each, size=None) for each in old]:
        return False
    try:
        sizes = [
            (quantity.value(a.size or "1Gi"), quantity.value(b.size or "1Gi")) for a, b in zip(new, old, strict=True)
        ]
    except ValueError:
        return True  # the field's own check says what is wrong with it
    return all(wanted >= there for wanted, there in sizes)


def _source(errors: Errors, source: AppSource) -> None:
    path = "spec.source"
    if source.path is None and source.git is None and source.image is None:
        errors.append(required(path, "say where the app comes from: path (a folder), git (url, ref) or image (a name)"))
    if source.path is not None and source.git is not None:
        errors.append(forbidden(f"{path}.git", "may not be given together with path"))
    if source.path == "":
        errors.append(invalid(f"{path}.path", "", "must name a folder; . is the one that `sampan deploy` runs in"))
    if source.git is not None and not source.git.url:
        errors.append(required(f"{path}.git.url", "the repository's address, such as https://example.com/web.git"))
    elif source.git is not None:
        repository_url(errors, f"{path}.git.url", source.git.url)
    if source.image is not None and (not source.image or source.image.strip() != source.image or " " in source.image):
        errors.append(invalid(f"{path}.image", source.image, "must be an image's name without spaces, such as web:1"))


def repository_url(errors: Errors, path: str, url: str) -> None:
    """No keys in it: who may read the object is not always who may read Secrets."""
    if not url.isprintable() or " " in url or len(url) > URL_LENGTH:
        errors.append(invalid(path, url[:100], f"must be printable, without spaces, of {URL_LENGTH} letters at most"))
        return
    try:
        parts = urlsplit(url) if "://" in url else None
        named = parts is not None and parts.username is not None and parts.scheme in ("http", "https")
        secret = parts is not None and parts.password is not None
    except ValueError as error:
        errors.append(invalid(path, "", f"must be an address: {error}"))
        return
    if secret or named:
        hidden = f"{url.partition('://')[0]}://****@{url.partition('://')[2].rpartition('@')[2]}"
        text = "must hold no user, password or token: put them into Secret APP-git (username, password)"
        errors.append(invalid(path, hidden, text))


def _size(errors: Errors, spec: AppSpec) -> None:
    not_negative(errors, spec.replicas, "spec.replicas")
    replicated = spec.type in ("stateless", "stateful")
    if spec.replicas is not None and spec.scale is not None:
        errors.append(forbidden("spec.replicas", "may not be given together with scale, which sets it"))
    if spec.replicas is not None and not replicated and spec.type in TYPES:
        why = "a daemon runs once on every node" if spec.type == "daemon" else f"a {spec.type} app runs and ends"
        errors.append(forbidden("spec.replicas", why))
    if spec.scale is not None:
        if not replicated:
            errors.append(forbidden("spec.scale", "only stateless and stateful apps can be scaled"))
        _scale(errors, spec.scale)


def _scale(errors: Errors, scale: AppScale) -> None:
    low = 1 if scale.min is None else scale.min
    if low < 1:
        errors.append(invalid("spec.scale.min", low, "must be at least 1"))
    if scale.max < 1:
        errors.append(required("spec.scale.max", "the largest number of pods, at least 1"))
    elif scale.max < low:
        errors.append(invalid("spec.scale.max", scale.max, f"must not be less than min, {low}"))
    for name, value in (("cpu", scale.cpu), ("memory", scale.memory)):
        if value is not None and not _SHARE.match(str(value)):
            text = "must be the share of the request that pods use on average, such as 70%"
            errors.append(invalid(f"spec.scale.{name}", value, text))


def _exposure(errors: Errors, spec: AppSpec) -> None:
    if spec.port is not None:
        errors += [invalid("spec.port", spec.port, text) for text in names.port_number(spec.port)]
        if spec.type in ("batch", "cron"):
            errors.append(forbidden("spec.port", f"a {spec.type} app runs to its end and serves nobody"))
    if spec.protocol is not None and spec.protocol not in PROTOCOLS:
        errors.append(not_supported("spec.protocol", spec.protocol, PROTOCOLS))
    if spec.host is not None:
        named(errors, spec.host, "spec.host", names.wildcard_subdomain if "*" in spec.host else names.dns_subdomain)
        if spec.port is None:
            errors.append(required("spec.port", "to be published at a host the app must listen on a port"))
        elif spec.protocol == "UDP":
            errors.append(forbidden("spec.host", "only HTTP is published at a host, which needs TCP"))
    if spec.health is not None:
        if not spec.health.startswith("/"):
            errors.append(invalid("spec.health", spec.health, "must be a path, such as /healthz"))
        if spec.port is None:
            errors.append(required("spec.port", "the health path is asked for at the app's port"))


def _environment(errors: Errors, spec: AppSpec) -> None:
    for name in spec.env:
        errors += [invalid("spec.env", name, text) for text in names.env_name(name)]
    seen: set[str] = set()
    for at, name in enumerate(spec.secrets):
        path = f"spec.secrets[{at}]"
        errors += [invalid(path, name, text) for text in names.env_name(name)]
        if name in seen:
            errors.append(duplicate(path, name))
        if name in spec.env:
            errors.append(invalid(path, name, "must not be in env as well: its value is made up by the cluster"))
        seen.add(name)


def _volumes(errors: Errors, spec: AppSpec) -> None:
    paths: set[str] = set()
    found: set[str] = set()
    for at, volume in enumerate(spec.volumes):
        path = f"spec.volumes[{at}]"
        if not volume.path.startswith("/") or ":" in volume.path or volume.path == "/":
            text = "must be the absolute path of a directory in the container, such as /data"
            errors.append(invalid(f"{path}.path", volume.path, text))
        if volume.path in paths:
            errors.append(duplicate(f"{path}.path", volume.path))
        name = volume.name or ""
        named(errors, name, f"{path}.name")
        if name in found:
            errors.append(duplicate(f"{path}.name", name))
        if volume.size is not None and (amount(volume.size) or 0) <= 0:
            errors.append(invalid(f"{path}.size", volume.size, "must be more than 0, such as 1Gi"))
        paths.add(volume.path)
        found.add(name)


def _needs(errors: Errors, spec: AppSpec, own: str) -> None:
    seen: set[str] = set()
    for at, need in enumerate(spec.needs):
        path = f"spec.needs[{at}]"
        if not need.name:
            text = "the word that the environment variables begin with: db gives DB_HOST, DB_PORT"
            errors.append(required(f"{path}.name", text))
        else:
            named(errors, need.name, f"{path}.name")
        if need.name in seen:
            errors.append(duplicate(f"{path}.name", need.name))
        if not need.app:
            errors.append(required(f"{path}.app", "the name of the app in this namespace that is needed"))
        else:
            named(errors, need.app, f"{path}.app", names.dns1035_label)
        if need.app and need.app == own:
            errors.append(invalid(f"{path}.app", need.app, "an app cannot need itself"))
        seen.add(need.name)


def _schedule(errors: Errors, spec: AppSpec) -> None:
    if spec.type == "cron":
        if not spec.schedule:
            text = 'when the app runs: five fields of cron such as "0 3 * * *" (at 3:00), or @hourly, @daily'
            errors.append(required("spec.schedule", text))
        elif problem := cron.problem(spec.schedule):
            errors.append(invalid("spec.schedule", spec.schedule, problem))
        return
    for name, value in _only_cron(spec):
        if value is not None:
            errors.append(forbidden(f"spec.{name}", f"only apps of type cron have one; this one is {spec.type}"))


def _only_cron(spec: AppSpec) -> Sequence[tuple[str, str | None]]:
    return (("schedule", spec.schedule), ("timeZone", spec.timeZone))

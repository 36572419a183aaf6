"""Rules of ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import binascii

import msgspec

from sampan.api import names
from sampan.api.errors import FieldError, forbidden, invalid, required, too_long
from sampan.api.types import core_v1
from sampan.api.validation.checks import Errors
from sampan.api.validation.meta import IMMUTABLE

LIMIT = 1024 * 1024
"""Bytes of all values together."""
_NOT_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"


def validate_config_map(obj: core_v1.ConfigMap) -> list[FieldError]:
    errors: Errors = []
    size = 0
    for key, text in obj.data.items():
        _key(errors, key, f"data[{key}]")
        if key in obj.binaryData:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    for key, text in obj.binaryData.items():
        _key(errors, key, f"binaryData[{key}]")
        size += _decoded_size(text)
    if size > LIMIT:
        errors.append(too_long("", LIMIT))
    return errors


def _key(errors: Errors, key: str, path: str) -> None:
    if problems := names.config_key(key):
        errors += [invalid(path, key, text) for text in problems]


def _decoded_size(text: str) -> int:
    """How many bytes a base64 text stands for."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def validate_config_map_update(new: core_v1.ConfigMap, old: core_v1.ConfigMap) -> list[FieldError]:
    return _immutable(new, old, ("data", "binaryData"))


def validate_secret_update(new: core_v1.Secret, old: core_v1.Secret) -> list[FieldError]:
    errors: Errors = []
    if new.type != old.type:
        errors.append(invalid("type", new.type or "", IMMUTABLE))
    return errors + _immutable(new, old, ("data",))


def _immutable(
    new: core_v1.ConfigMap | core_v1.Secret, old: core_v1.ConfigMap | core_v1.Secret, members: tuple[str, ...]
) -> list[FieldError]:
    if not old.immutable:
        return []
    errors = [] if new.immutable else [forbidden("immutable", _NOT_WHEN_IMMUTABLE)]
    errors += [
        forbidden(member, _NOT_WHEN_IMMUTABLE) for member in members if getattr(new, member) != getattr(old, member)
    ]
    return errors


def validate_secret(obj: core_v1.Secret) -> list[FieldError]:
    errors: Errors = []
    size = 0
    for key, text in obj.data.items():
        _key(errors, key, f"data[{key}]")
        size += _decoded_size(text)
    if size > LIMIT:
        errors.append(too_long("data", LIMIT))
    check = _TYPES.get(obj.type or "")
    if check is not None:
        check(errors, obj)
    return errors


def _service_account_token(errors: Errors, obj: core_v1.Secret) -> None:
    key = "kubernetes.io/service-account.name"
    if not obj.metadata.annotations.get(key):
        errors.append(required(f"metadata.annotations[{key}]"))


def _docker_config(errors: Errors, obj: core_v1.Secret) -> None:
    key = ".dockercfg" if obj.type == "kubernetes.io/dockercfg" else ".dockerconfigjson"
    text = obj.data.get(key)
    if text is None:
        errors.append(required(f"data[{key}]"))
        return
    try:
        msgspec.json.decode(base64.b64decode(text), type=dict[str, object])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        errors.append(invalid(f"data[{key}]", "<secret contents redacted>", str(error)))


def _basic_auth(errors: Errors, obj: core_v1.Secret) -> None:
    if "username" not in obj.data and "password" not in obj.data:
        errors.append(required("data[username]"))
        errors.append(required("data[password]"))


def _ssh_auth(errors: Errors, obj: core_v1.Secret) -> None:
    if not obj.data.get("ssh-privatekey"):
        errors.append(required("data[ssh-privatekey]"))


def _tls(errors: Errors, obj: core_v1.Secret) -> None:
    errors += [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in obj.data]


_TYPES = {
    "kubernetes.io/service-account-token": _service_account_token,
    "kubernetes.io/dockercfg": _docker_config,
    "kubernetes.io/dockerconfigjson": _docker_config,
    "kubernetes.io/basic-auth": _basic_auth,
    "kubernetes.io/ssh-auth": _ssh_auth,
    "kubernetes.io/tls": _tls,
}

"""Tokens of service accounts: issuing them and judging whether what they name still exists.

Claims, texts and the minute of leeway follow upstream's service-account validator.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from sampan.api.types import core_v1, meta_v1
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.contracts import View
from sampan.apiserver.tokens.jwt import TokenError, sign
from sampan.apiserver.tokens.keys import Signer

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
LEEWAY = 60.0
SECRET_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 -- the type's name
NAME_ANNOTATION = "kubernetes.io/service-account.name"
UID_ANNOTATION = "kubernetes.io/service-account.uid"


class Reference(NamedTuple):
    """An object that a token is bound to."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token says: its account, the objects it lives and dies with, its audiences and times (Unix)."""

    namespace: str
    account: Reference
    audiences: tuple[str, ...]
    expires: float = float("inf")
    not_before: float = 0.0
    id: str = ""
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None
    legacy: bool = False
    user: User = field(default_factory=lambda: users.NOBODY)


def issue(
    signer: Signer,
    bound: Bound,
    *,
    issuer: str = ISSUER,
    clock: Callable[[], float] = time.time,
) -> str:
    """A signed token that says `bound`; times are cut to whole seconds."""
    private: dict[str, Any] = {"namespace": bound.namespace}
    for key, reference in (("node", bound.node), ("pod", bound.pod), ("secret", bound.secret)):
        if reference is not None:
            private[key] = {"name": reference.name, "uid": reference.uid}
    private["serviceaccount"] = {"name": bound.account.name, "uid": bound.account.uid}
    now = int(clock())
    claims = {
        "aud": list(bound.audiences),
        "exp": int(bound.expires),
        "iat": now,
        "iss": issuer,
        "jti": bound.id or str(uuid.uuid4()),
        "kubernetes.io": private,
        "nbf": now,
        "sub": users.service_account(bound.namespace, bound.account.name),
    }
    return sign(signer, claims)


def issue_legacy(signer: Signer, namespace: str, account: Reference, secret: str) -> str:
    """The endless token of a `kubernetes.io/service-account-token` Secret."""
    prefix = "kubernetes.io/serviceaccount"
    claims = {
        "iss": LEGACY_ISSUER,
        f"{prefix}/namespace": namespace,
        f"{prefix}/secret.name": secret,
        f"{prefix}/service-account.name": account.name,
        f"{prefix}/service-account.uid": account.uid,
        "sub": users.service_account(namespace, account.name),
    }
    return sign(signer, claims)


class _Ref(msgspec.Struct, frozen=True):
    name: str
    uid: str = ""


class _Private(msgspec.Struct, frozen=True):
    namespace: str
    serviceaccount: _Ref
    pod: _Ref | None = None
    secret: _Ref | None = None
    node: _Ref | None = None


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    aud: str | tuple[str, ...] = ()
    exp: float | None = None
    nbf: float | None = None
    jti: str = ""
    private: _Private | None = msgspec.field(default=None, name="kubernetes.io")


class _Legacy(msgspec.Struct, frozen=True):
    namespace: str = msgspec.field(name="kubernetes.io/serviceaccount/namespace")
    secret: str = msgspec.field(name="kubernetes.io/serviceaccount/secret.name")
    account: str = msgspec.field(name="kubernetes.io/serviceaccount/service-account.name")
    uid: str = msgspec.field(name="kubernetes.io/serviceaccount/service-account.uid")


def read(claims: Mapping[str, Any], default_audiences: tuple[str, ...]) -> Bound:
    """What verified claims say. Raises TokenError when they are not a service account's."""
    try:
        public = msgspec.convert(claims, _Claims)
        if claims.get("iss") == LEGACY_ISSUER:
            return _read_legacy(public, msgspec.convert(claims, _Legacy), default_audiences)
    except msgspec.ValidationError as error:
        raise TokenError(f"service account token claims could not be validated: {error}") from None
    private = public.private
    if private is None or public.exp is None:
        raise TokenError("service account token claims could not be validated")
    if public.sub != users.service_account(private.namespace, private.serviceaccount.name):
        raise TokenError("sub claim is invalid")
    bound = Bound(
        private.namespace,
        Reference(private.serviceaccount.name, private.serviceaccount.uid),
        (public.aud,) if isinstance(public.aud, str) else public.aud,
        public.exp,
        public.nbf or 0.0,
        public.jti,
        _reference(private.pod),
        _reference(private.secret),
        _reference(private.node),
    )
    return _with_user(bound)


def _read_legacy(public: _Claims, legacy: _Legacy, audiences: tuple[str, ...]) -> Bound:
    if public.sub != users.service_account(legacy.namespace, legacy.account):
        raise TokenError("sub claim is invalid")
    account, secret = Reference(legacy.account, legacy.uid), Reference(legacy.secret, "")
    return _with_user(Bound(legacy.namespace, account, audiences, secret=secret, legacy=True))


def _reference(ref: _Ref | None) -> Reference | None:
    return None if ref is None else Reference(ref.name, ref.uid)


def _with_user(bound: Bound) -> Bound:
    """The user is made once: later requests with the same token share it."""
    extra: dict[str, tuple[str, ...]] = {}
    if bound.id:
        extra[users.CREDENTIAL_ID] = (f"JTI={bound.id}",)
    for reference, name_key, uid_key in (
        (bound.node, users.NODE_NAME, users.NODE_UID),
        (bound.pod, users.POD_NAME, users.POD_UID),
    ):
        if reference is not None:
            extra[name_key] = (reference.name,)
            if reference.uid:
                extra[uid_key] = (reference.uid,)
    user = User(
        users.service_account(bound.namespace, bound.account.name),
        bound.account.uid,
        users.service_account_groups(bound.namespace),
        extra,
    )
    return replace(bound, user=users.authenticated(user))


def check(bound: Bound, view: View, now: float) -> None:
    """Raises TokenError for a token out of its time, or whose account or bound object is gone or another one now."""
    if now > bound.expires + LEEWAY:
        raise TokenError("service account token has expired")
    if now < bound.not_before - LEEWAY:
        raise TokenError("service account token is not valid yet")
    account = view.get(core_v1.ServiceAccount, bound.account.name, bound.namespace)
    if account is None:
        raise TokenError(f'serviceaccount "{bound.account.name}" not found')
    if account.metadata.uid != bound.account.uid:
        raise TokenError(f"service account UID ({account.metadata.uid}) does not match claim ({bound.account.uid})")
    if _deleted(account.metadata, now):
        raise TokenError(f"service account {bound.namespace}/{bound.account.name} has been deleted")
    if bound.secret is not None:
        _exists(view.get(core_v1.Secret, bound.secret.name, bound.namespace), bound.secret, "secret", bound, now)
    if bound.pod is not None:
        _exists(view.get(core_v1.Pod, bound.pod.name, bound.namespace), bound.pod, "pod", bound, now)
    elif bound.node is not None:
        # A pod's token names its node for information only; the pod is what it is bound to.
        _exists(view.get(core_v1.Node, bound.node.name), bound.node, "node", bound, now)


def _exists(
    found: core_v1.Secret | core_v1.Pod | core_v1.Node | None, reference: Reference, word: str, bound: Bound, now: float
) -> None:
    if found is None or _deleted(found.metadata, now):
        raise TokenError("service account token has been invalidated")
    if not bound.legacy and found.metadata.uid != reference.uid:
        raise TokenError(
            f"{word} UID ({found.metadata.uid}) does not match service account {word} ref claim ({reference.uid})"
        )


def same_secret(bound: Bound, token: str, view: View) -> None:
    """A legacy token must be the one its Secret holds. Raises TokenError."""
    if not bound.legacy or bound.secret is None:
        return
    secret = view.get(core_v1.Secret, bound.secret.name, bound.namespace)
    if secret is None or secret.type != SECRET_TYPE or not _holds(secret, token):
        raise TokenError("service account token has been invalidated")


def _holds(secret: core_v1.Secret, token: str) -> bool:
    return hmac.compare_digest(secret.data.get("token", ""), base64.b64encode(token.encode()).decode())


def _deleted(metadata: meta_v1.ObjectMeta, now: float) -> bool:
    """Being deleted for longer than the leeway."""
    return metadata.deletionTimestamp is not None and unix(metadata.deletionTimestamp) < now - LEEWAY


def unix(time: str) -> float:
    """The Unix time of the API's `2026-01-02T03:04:05Z`."""
    return datetime.datetime.fromisoformat(time).timestamp()


def rfc3339(moment: float) -> str:
    return datetime.datetime.fromtimestamp(int(moment), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def common(token: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The audiences that a token has and that somebody accepts."""
    return tuple(audience for audience in wanted if audience in token)

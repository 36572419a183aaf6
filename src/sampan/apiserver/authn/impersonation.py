"""Acting as somebody else: the Impersonate- headers, each part of them authorized by the verb impersonate."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from sampan.api.errors import internal
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.messages import forbidden
from sampan.apiserver.contracts import Attributes, Authorizer

USER = "impersonate-user"
GROUP = "impersonate-group"
UID = "impersonate-uid"
EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


def asked(headers: Mapping[str, str]) -> bool:
    """Whether a request wants to act as somebody else: one look for all the requests that do not."""
    return any(name.startswith("impersonate-") for name in headers)


def impersonate(user: User, headers: Mapping[str, str], authorize: Authorizer, path: str = "") -> User:
    """The user that a request acts as. Raises Forbidden, or InternalError for headers without a user as upstream does.

    Repeated headers arrive joined by commas, which names of groups therefore cannot hold.
    """
    name = headers.get(USER, "")
    groups = _values(headers.get(GROUP, ""))
    uid = headers.get(UID, "")
    extra = {
        unquote(key[len(EXTRA) :].lower()): _values(value) for key, value in headers.items() if key.startswith(EXTRA)
    }
    if not name and not (groups or uid or extra):
        return user
    if not name:
        wanted = [*groups, *([uid] if uid else []), *extra]
        raise internal(f"requested {wanted} without impersonating a user")
    account = users.split_service_account(name)
    if account is not None:
        checks = [("", "serviceaccounts", "", *account)]
    else:
        checks = [("", "users", "", "", name)]
    checks += [("", "groups", "", "", group) for group in groups]
    if uid:
        checks.append((_AUTHENTICATION, "uids", "", "", uid))
    checks += [(_AUTHENTICATION, "userextras", key, "", value) for key, values in extra.items() for value in values]
    for group, resource, subresource, namespace, target in checks:
        attributes = Attributes(user, "impersonate", path, True, group, "v1", resource, subresource, namespace, target)
        decision = authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
    return _become(name, uid, groups, extra, account)


def _become(
    name: str, uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]], account: tuple[str, str] | None
) -> User:
    """Upstream's additions: an account's groups when none were named, and the group of everyone known."""
    if account is not None and not groups:
        groups = users.service_account_groups(account[0])
    known = users.AUTHENTICATED in groups or users.UNAUTHENTICATED in groups
    if name == users.ANONYMOUS:
        groups = groups if users.UNAUTHENTICATED in groups else (*groups, users.UNAUTHENTICATED)
    elif not known:
        groups = (*groups, users.AUTHENTICATED)
    return User(name, uid, groups, extra)


def _values(header: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in header.split(",") if value.strip())

"""Tokens for people who sign in to the console: made by the API server for a ServiceAccount, and short-lived.

The administrator's token is that of an account of the console's own, bound to cluster-admin: certificates, which
`sampan up` gives to the administrator, are no use to a page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sampan.api.errors import StatusError

NAMESPACE = "kube-system"
ACCOUNT = "sampan-console"
ROLE = "cluster-admin"
SHORTEST = 600
"""Seconds: TokenRequest refuses less."""

Document = dict[str, Any]
Create = Callable[[str, Document], Awaitable[Document]]
"""POSTs a document to a path and returns the answer; raises StatusError."""


async def ensure_account(create: Create) -> None:
    """The administrator's account and its binding, unless they exist. Raises StatusError: Forbidden for others."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
        "automountServiceAccountToken": False,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    for path, document in (
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding),
    ):
        try:
            await create(path, document)
        except StatusError as error:
            if error.status.reason != "AlreadyExists":
                raise


async def make_token(create: Create, namespace: str, account: str, seconds: int) -> tuple[str, str]:
    """(token, when it ends in RFC 3339). Raises StatusError: NotFound when there is no such account."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": max(seconds, SHORTEST)},
    }
    answer = await create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)
    status = answer.get("status") or {}
    return str(status["token"]), str(status["expirationTimestamp"])

"""The words of a refusal, exactly upstream's."""

from __future__ import annotations

from sampan.api.errors import StatusError, forbidden_error, show
from sampan.apiserver.contracts import Attributes

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def message(attributes: Attributes) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    user = show(attributes.user.name)
    if not attributes.is_resource:
        return f"User {user} cannot {attributes.verb} path {show(attributes.path)}"
    resource = attributes.resource
    if attributes.subresource:
        resource += f"/{attributes.subresource}"
    where = f"in the namespace {show(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return (
        f"User {user} cannot {attributes.verb} resource {show(resource)} in API group {show(attributes.group)} {where}"
    )


def forbidden(attributes: Attributes, reason: str = "") -> StatusError:
    """403 for what an authorizer did not allow; `reason` is the authorizer's own, if it has one."""
    text = message(attributes).translate(_HTML)
    why = f"{text}: {reason}" if reason else text
    if not attributes.is_resource:
        return forbidden_error("", "", "", why)
    return forbidden_error(attributes.resource, attributes.group, attributes.name, why)

"""Who a container runs as and what it may do: the pod's and the container's security contexts in one. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from sampan.api.types import core_v1
from sampan.host.containers import Image, SecurityConfig
from sampan.node.contracts import AnyContainer, CreateContainerConfigError


@dataclass(frozen=True, slots=True)
class Security:
    """`directory` holds Localhost profiles; `default` is what a pod without any profile gets."""

    directory: str
    default: Literal["RuntimeDefault", "Unconfined"] = "RuntimeDefault"

    def __call__(self, pod: core_v1.Pod, container: AnyContainer, image: Image) -> SecurityConfig:
        """contracts.Security."""
        return security_config(pod, container, image.user, self)


def security_config(pod: core_v1.Pod, container: AnyContainer, image_user: str, settings: Security) -> SecurityConfig:
    """`image_user` is the image's `User` ("", "1000", "nginx", "1000:1000").

    Raises CreateContainerConfigError when the container asks not to run as root and would.
    """
    own = container.securityContext or core_v1.SecurityContext()
    whole = pod.spec.securityContext or core_v1.PodSecurityContext()
    user = own.runAsUser if own.runAsUser is not None else whole.runAsUser
    group = own.runAsGroup if own.runAsGroup is not None else whole.runAsGroup
    _check_not_root(pod, container, own, whole, user, image_user)
    capabilities = own.capabilities or core_v1.Capabilities()
    privileged = bool(own.privileged)
    return SecurityConfig(
        user=user,
        group=group,
        username="" if user is not None else image_user,
        supplemental_groups=supplemental_groups(pod),
        supplemental_groups_strict=whole.supplementalGroupsPolicy == "Strict",
        capabilities_add=tuple(_bare(name) for name in capabilities.add),
        capabilities_drop=tuple(_bare(name) for name in capabilities.drop),
        privileged=privileged,
        readonly_rootfs=bool(own.readOnlyRootFilesystem),
        no_new_privileges=not privileged and own.allowPrivilegeEscalation is False,
        seccomp=_seccomp(own, whole, privileged, settings),
        masked_paths=not privileged and own.procMount != "Unmasked",
    )


def supplemental_groups(pod: core_v1.Pod) -> tuple[int, ...]:
    """The pod's own, then fsGroup, which every container needs to reach its volumes."""
    context = pod.spec.securityContext
    if context is None:
        return ()
    groups = (*context.supplementalGroups, *(() if context.fsGroup is None else (context.fsGroup,)))
    return tuple(dict.fromkeys(groups))


def _check_not_root(
    pod: core_v1.Pod,
    container: AnyContainer,
    own: core_v1.SecurityContext,
    whole: core_v1.PodSecurityContext,
    user: int | None,
    image_user: str,
) -> None:
    wanted = own.runAsNonRoot if own.runAsNonRoot is not None else whole.runAsNonRoot
    if not wanted:
        return
    where = f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
    if user is not None:
        if user == 0:
            raise CreateContainerConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image_user.partition(":")[0]
    if name and not name.isdigit():
        raise CreateContainerConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )
    if not name or int(name) == 0:
        raise CreateContainerConfigError(f"container has runAsNonRoot and image will run as root {where}")


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def _seccomp(
    own: core_v1.SecurityContext, whole: core_v1.PodSecurityContext, privileged: bool, settings: Security
) -> str:
    """The container's profile goes before the pod's; a privileged container has none."""
    if privileged:
        return "Unconfined"
    profile = own.seccompProfile or whole.seccompProfile
    if profile is None:
        return settings.default
    if profile.type != "Localhost":
        return profile.type
    path = os.path.normpath(f"{settings.directory}/{profile.localhostProfile or ''}")
    if not path.startswith(os.path.normpath(settings.directory) + "/"):
        raise CreateContainerConfigError(
            f"localhostProfile must be a path below {settings.directory}: {profile.localhostProfile}"
        )
    return path

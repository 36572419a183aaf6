"""Linux capabilities of a container: the default set, what the pod adds and drops, and what we can give at all.

See capabilities(7). A capability that this machine withheld from us cannot be given on, and the OCI runtime
would refuse the whole container, so the set is clamped to our own bounding set.
"""

from __future__ import annotations

from collections.abc import Collection

from sampan.host.containers import RuntimeFailure, SecurityConfig

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

DEFAULT = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})  # fmt: skip


def effective(security: SecurityConfig, available: Collection[str]) -> tuple[str, ...]:
    """The container's capabilities with the CAP_ prefix, in the kernel's order.

    Drops come before adds, as upstream: `drop: [ALL], add: [CHOWN]` leaves CHOWN, `add: [ALL], drop: [CHOWN]` all
    but CHOWN. Raises RuntimeFailure for a name that does not exist.
    """
    add = {_name(capability) for capability in security.capabilities_add}
    drop = {_name(capability) for capability in security.capabilities_drop}
    if security.privileged:
        chosen = set(NAMES)
    else:
        chosen = set() if "ALL" in drop else set(NAMES) if "ALL" in add else set(DEFAULT)
        chosen = (chosen | (add - {"ALL"})) - (drop - {"ALL"})
    return tuple(f"CAP_{name}" for name in NAMES if name in chosen and name in available)


def _name(capability: str) -> str:
    name = capability.upper().removeprefix("CAP_")
    if name != "ALL" and name not in NAMES:
        raise RuntimeFailure("CreateContainerError", f"unknown capability {capability!r}")
    return name


def bounding(status: str) -> frozenset[str]:
    """The names in `CapBnd` of the text of /proc/self/status."""
    line = next((line for line in status.splitlines() if line.startswith("CapBnd:")), "CapBnd: 0")
    mask = int(line.split()[1], 16)
    return frozenset(name for bit, name in enumerate(NAMES) if mask >> bit & 1)

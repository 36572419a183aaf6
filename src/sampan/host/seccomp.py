"""Seccomp profiles: RuntimeDefault from `seccomp_default.txt`, Unconfined, or a file of the node's."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from typing import Any

from sampan.host.containers import RuntimeFailure

Document = dict[str, Any]

# Not X32: nobody has programs for it, and without it the filter compiles 5 ms faster in each container.
_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
_ENOSYS = 38
_AF_VSOCK = 40
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag of clone(2) but CLONE_NEWTIME, which clone cannot carry
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


def profile(name: str, privileged: bool, capabilities: Collection[str], architecture: str) -> Document | None:
    """The `linux.seccomp` of the OCI specification; None for no confinement (also for privileged containers).

    Raises RuntimeFailure CreateContainerError for a profile file that cannot be used.
    """
    if privileged or name in ("Unconfined", ""):
        return None
    if name == "RuntimeDefault":
        return default(frozenset(capabilities), architecture)
    return _local(name)


def _local(path: str) -> Document:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise RuntimeFailure("CreateContainerError", f"cannot load seccomp profile {path!r}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("defaultAction"), str):
        raise RuntimeFailure("CreateContainerError", f"cannot load seccomp profile {path!r}: no defaultAction")
    return document


@functools.lru_cache(maxsize=64)
def default(capabilities: frozenset[str], architecture: str) -> Document:
    """The default profile for a container with these capabilities (with the CAP_ prefix). Do not change it."""
    sections = _sections()
    names = set(sections[""]) | set(sections.get(architecture, ()))
    for capability in capabilities:
        names |= set(sections.get(capability, ()))
    rules: list[Document] = [_allow(sorted(names))]
    rules += [_allow(["personality"], _compare(0, value, "SCMP_CMP_EQ")) for value in _PERSONALITIES]
    rules += [_allow(["socket"], _compare(0, _AF_VSOCK, "SCMP_CMP_NE"))]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_allow(["clone"], _compare(0, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ", 0)))
        # clone3 passes its flags in memory, which a filter cannot see: ENOSYS makes libc fall back to clone
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": list(_ARCHITECTURES.get(architecture, ())),
        "syscalls": rules,
    }


def _allow(names: list[str], *conditions: Document) -> Document:
    rule: Document = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if conditions:
        rule["args"] = list(conditions)
    return rule


def _compare(index: int, value: int, operator: str, second: int = 0) -> Document:
    return {"index": index, "value": value, "valueTwo": second, "op": operator}


@functools.cache
def _sections() -> dict[str, tuple[str, ...]]:
    import importlib.resources  # late: it costs a command's start 10 ms

    text = importlib.resources.files("sampan.host").joinpath("seccomp_default.txt").read_text(encoding="ascii")
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        if line.startswith("["):
            current = line.strip("[]")
            found[current] = []
        elif not line.startswith("#"):
            found[current] += line.split()
    return {name: tuple(words) for name, words in found.items()}

"""The init process of a shared PID namespace: a program of some hundred bytes that reaps and waits.

It ignores SIGCHLD, so that the kernel reaps what is reparented to it, and sleeps until SIGKILL. It is written
out as an ELF file from the machine instructions below, which saves a compiler, a package and a megabyte of memory
in each such pod. See elf(5), rt_sigaction(2), pause(2), ppoll(2).
"""

from __future__ import annotations

import os
import platform
import struct

_BASE = 0x400000
_HEADERS = 64 + 56

# rt_sigaction(SIGCHLD, {SIG_IGN}, 0, 8); then pause() for ever. The action (32 bytes) follows the code.
_X86_64 = bytes.fromhex(
    "b80d000000"  # mov eax, 13          rt_sigaction
    "bf11000000"  # mov edi, 17          SIGCHLD
    "488d3517000000"  # lea rsi, [rip+0x17]  the action below
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "b822000000"  # mov eax, 34          pause
    "0f05"  # syscall
    "ebf7"  # jmp to the mov of pause
    "90909090"  # up to the action
)
_AARCH64 = struct.pack(
    "<12I",
    0xD2800220,  # mov x0, #17           SIGCHLD
    0x10000161,  # adr x1, #44           the action below
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD28010C8,  # mov x8, #134          rt_sigaction
    0xD4000001,  # svc #0
    0xD2800000,  # mov x0, #0            loop: ppoll(0, 0, 0, 0)
    0xD2800001,  # mov x1, #0
    0xD2800002,  # mov x2, #0
    0xD2800928,  # mov x8, #73           ppoll
    0xD4000001,  # svc #0
    0x17FFFFFB,  # b loop
)
_SIG_IGN = struct.pack("<4Q", 1, 0, 0, 0)
_PROGRAMS = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}


def program(architecture: str) -> bytes:
    """The ELF file. Raises ValueError for another machine than x86_64 and aarch64."""
    if architecture not in _PROGRAMS:
        raise ValueError(f"shareProcessNamespace is not supported on {architecture}")
    machine, code = _PROGRAMS[architecture]
    body = code + _SIG_IGN
    entry = _BASE + _HEADERS
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = _HEADERS + len(body)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + body


def write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(program(platform.machine()))
    os.chmod(path, 0o555)  # noqa: S103  everybody's program

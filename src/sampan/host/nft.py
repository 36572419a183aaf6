"""`nft -f -`: one transaction a call, all of it or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import Any


class NftFailure(OSError):
    """nft refused; the message is what it said, with the offending line."""


async def run(*arguments: str, script: str = "") -> str:
    """nft's output. Raises NftFailure."""
    # A file in memory instead of a pipe: nobody has to feed it, whenever nft gives up.
    source = os.memfd_create("nft-script", os.MFD_CLOEXEC)
    try:
        os.write(source, script.encode())
        os.lseek(source, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            "nft", *arguments, stdin=source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise NftFailure(f"nft: {error.strerror}") from error
    finally:
        os.close(source)
    try:
        out, problems = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise NftFailure(f"nft {' '.join(arguments)}: {problems.decode(errors='replace').strip()[:2000]}")
    return out.decode()


async def apply(script: str) -> None:
    await run("-f", "-", script=script)


async def objects(*arguments: str, handles: bool = False) -> list[dict[str, Any]]:
    """What `nft -j list ...` says, without its header."""
    options = ("-j", "-a") if handles else ("-j",)
    listed = json.loads(await run(*options, "list", *arguments) or '{"nftables": []}')
    return [item for item in listed["nftables"] if "metainfo" not in item]


async def tables() -> set[str]:
    """Names of the tables of family ip."""
    return {item["table"]["name"] for item in await objects("tables", "ip")}


async def delete_table(name: str) -> None:
    """Idempotent: declaring a table before deleting it makes the deletion sure to find one."""
    await apply(f"table ip {name} {{}}\ndelete table ip {name}\n")

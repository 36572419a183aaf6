"""Addresses of one node's pods: a file per lease, so that a restart knows who has what.

The directory lies in the run directory, which a reboot empties, as it does the pods.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import msgspec


class HostPort(msgspec.Struct, frozen=True):
    """One port of the host that leads to the pod. `address` is empty for all of the host's."""

    protocol: str
    address: str
    port: int
    pod_port: int


class Lease(msgspec.Struct, frozen=True):
    owner: str
    address: str
    ports: tuple[HostPort, ...] = ()


class Exhausted(OSError):
    """Every address of the range is taken."""


def source(cidr: str) -> str:
    """Where translated connections of a node with these pods come from: the range's own address, which no pod gets."""
    return str(ipaddress.ip_network(cidr)[0])


_DECODER = msgspec.json.Decoder(Lease)


class Ipam:
    """Leases of `cidr`. Addresses are reused as late as possible.

    The node has two: as the gateway, and as the source of connections of its own that were translated. With one,
    a client of the host that asks a service and then its pod directly would meet the leftovers of the other way.
    """

    def __init__(self, directory: Path, cidr: str) -> None:
        self.network = ipaddress.ip_network(cidr)
        self.gateway = str(self.network[1])
        self.source = source(cidr)
        self._directory = directory
        self.leases: dict[str, Lease] = {}
        self._taken: set[int] = set()
        self._cursor = 1

    def load(self) -> None:
        """Read what an earlier process gave out. A file that was cut short never became a lease."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._directory.iterdir():
            try:
                lease = _DECODER.decode(path.read_bytes())
            except msgspec.DecodeError:
                path.unlink()
                continue
            self.leases[lease.owner] = lease
            offset = self._offset(lease.address)
            self._taken.add(offset)
            self._cursor = max(self._cursor, offset)

    def _offset(self, address: str) -> int:
        return int(ipaddress.ip_address(address)) - int(self.network.network_address)

    def take(self, owner: str, ports: tuple[HostPort, ...] = ()) -> Lease:
        """The owner's lease, a new one if it has none. Raises Exhausted."""
        if owner in self.leases:
            return self.leases[owner]
        last = self.network.num_addresses - 2
        for step in range(1, last):
            offset = 2 + (self._cursor - 1 + step - 1) % (last - 1)
            if offset not in self._taken:
                break
        else:
            raise Exhausted(f"no free address in {self.network}: all {last - 1} are taken")
        lease = Lease(owner, str(self.network[offset]), ports)
        path = self._path(owner)
        path.with_suffix(".new").write_bytes(msgspec.json.encode(lease))
        os.replace(path.with_suffix(".new"), path)
        self._cursor = offset
        self._taken.add(offset)
        self.leases[owner] = lease
        return lease

    def release(self, owner: str) -> Lease | None:
        """Idempotent; returns what was released."""
        lease = self.leases.pop(owner, None)
        if lease is not None:
            self._taken.discard(self._offset(lease.address))
            self._path(owner).unlink(missing_ok=True)
        return lease

    def clear(self) -> None:
        for owner in list(self.leases):
            self.release(owner)
        if self._directory.is_dir():
            self._directory.rmdir()

    def _path(self, owner: str) -> Path:
        if not owner.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{owner!r} is no sandbox ID")
        return self._directory / owner

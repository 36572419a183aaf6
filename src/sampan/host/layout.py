"""Where an instance keeps its things on disk and in /run. Only names, no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """`data` survives a reboot, `run` need not. Sandboxes and containers are named by their ID."""

    instance: str
    data: str
    run: str

    @property
    def sandbox_records(self) -> str:
        return f"{self.data}/sandboxes"

    @property
    def container_data(self) -> str:
        return f"{self.data}/containers"

    @property
    def sandbox_runs(self) -> str:
        return f"{self.run}/sandboxes"

    @property
    def container_runs(self) -> str:
        return f"{self.run}/containers"

    @property
    def exits(self) -> str:
        """Where monitors write a container's exit code, in a file named by its ID."""
        return f"{self.run}/exits"

    @property
    def netns(self) -> str:
        return f"{self.run}/netns"

    @property
    def oci(self) -> str:
        """The OCI runtime's own state directory."""
        return f"{self.run}/oci"

    def sandbox_record(self, id: str) -> str:
        return f"{self.sandbox_records}/{id}.json"

    def sandbox_run(self, id: str) -> str:
        return f"{self.sandbox_runs}/{id}"

    def netns_file(self, id: str) -> str:
        return f"{self.netns}/{id}"

    def container_record(self, id: str) -> str:
        return f"{self.container_data}/{id}/record.json"

    def upper(self, id: str) -> str:
        return f"{self.container_data}/{id}/upper"

    def work(self, id: str) -> str:
        return f"{self.container_data}/{id}/work"

    def bundle(self, id: str) -> str:
        return f"{self.container_runs}/{id}"

    def rootfs(self, id: str) -> str:
        return f"{self.container_runs}/{id}/rootfs"

    def cgroup(self, pod: str, id: str = "") -> str:
        """A pod's cgroup, or a container's in it."""
        return "/".join(part for part in (self.instance, pod.strip("/"), id) if part)

    def everything(self) -> tuple[str, ...]:
        return (
            self.sandbox_records,
            self.container_data,
            self.sandbox_runs,
            self.container_runs,
            self.exits,
            self.netns,
            self.oci,
        )

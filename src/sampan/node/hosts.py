"""A pod's /etc/hosts and its names. The file's shape is the one that tools and tests of Kubernetes look for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api.types import core_v1

HEADER = "# Kubernetes-managed hosts file."
HOST_HEADER = "# Kubernetes-managed hosts file (host network)."
ALIASES_HEADER = "# Entries added by HostAliases."

LONGEST = 63
"""Bytes of a host name that the kernel takes."""

_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost", "ip6-localhost", "ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def host_names(pod: core_v1.Pod, cluster_domain: str) -> tuple[str, str]:
    """(host name, domain); the domain is "" without a subdomain, the name at most 63 bytes."""
    if pod.spec.hostnameOverride:
        return pod.spec.hostnameOverride, ""
    name = (pod.spec.hostname or pod.metadata.name or "")[:LONGEST].rstrip("-.")
    if not pod.spec.subdomain:
        return name, ""
    return name, f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


@dataclass(frozen=True, slots=True)
class HostsFile:
    """contracts.Parts.hosts_file. A pod on the host's network gets the host's own file and its aliases."""

    cluster_domain: str
    host_file: Path = Path("/etc/hosts")

    def __call__(self, pod: core_v1.Pod, ips: tuple[str, ...]) -> str:
        return content(pod, ips, self.cluster_domain, self._read)

    def _read(self) -> str:
        try:
            return self.host_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""


def content(pod: core_v1.Pod, ips: Sequence[str], cluster_domain: str, host_file: Callable[[], str]) -> str:
    """The file's text; `host_file` gives the host's own."""
    if pod.spec.hostNetwork:
        return f"{HOST_HEADER}\n{host_file()}{_aliases(pod)}"
    name, domain = host_names(pod, cluster_domain)
    names = (f"{name}.{domain}", name) if domain else (name,)
    lines = [*_LOCAL, *((ip, *names) for ip in ips)]
    return "\n".join([HEADER, *("\t".join(line) for line in lines)]) + "\n" + _aliases(pod)


def _aliases(pod: core_v1.Pod) -> str:
    if not pod.spec.hostAliases:
        return ""
    lines = ["", ALIASES_HEADER, *("\t".join((alias.ip, *alias.hostnames)) for alias in pod.spec.hostAliases)]
    return "\n".join(lines) + "\n"

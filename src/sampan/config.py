"""What a cluster is called, where it keeps things and which addresses it uses. Plain values, no I/O."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from sampan import addresses

DATA_ROOT = Path("/var/lib/sampan")
RUN_ROOT = Path("/run/sampan")
VERSION = "v1.37.0"


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster on one machine. `name` names its kernel objects too, so it is short (12 characters)."""

    name: str = "sampan"
    data_root: Path = DATA_ROOT
    run_root: Path = RUN_ROOT
    api_port: int = 6443
    node_port: int = 10250
    registry_port: int = 5000
    git_port: int = 8418
    """Where the cluster's repositories take pushes, and webhooks are delivered; 0 for not at all."""
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    node_name: str = ""
    node_ip: str = ""
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    max_pods: int = 110
    oci_runtime: str = "auto"
    http_port: int = 80
    """Where Ingresses are served; 0 for not at all, and so for HTTPS."""
    https_port: int = 443
    load_balancer_range: str = ""
    """Addresses for services of type LoadBalancer, a CIDR or FIRST-LAST; "" gives them the node's own."""

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").isalnum() or not 1 <= len(self.name) <= 12 or self.name.lower() != self.name:
            raise ValueError(f"cluster name {self.name!r}: use 1 to 12 lower-case letters, digits and dashes")
        pods, services = ipaddress.ip_network(self.pod_cidr), ipaddress.ip_network(self.service_cidr)
        if pods.overlaps(services):
            raise ValueError(f"pod range {pods} overlaps service range {services}")
        if pods.prefixlen > 23:
            raise ValueError(f"pod range {pods} is too small: each node takes a /24")
        if services.prefixlen > 24:
            raise ValueError(f"service range {services} is too small: give it a /24 or more")
        for port in (self.http_port, self.https_port):
            if not 0 <= port <= 65535:
                raise ValueError(f"port {port} of the ingress: use 1 to 65535, or 0 for none")
        if not 0 <= self.git_port <= 65535:
            raise ValueError(f"port {self.git_port} of the git server: use 1 to 65535, or 0 for none")
        if self.http_port and self.http_port == self.https_port:
            raise ValueError(f"HTTP and HTTPS cannot both use port {self.http_port}: choose another --https-port")
        if self.load_balancer_range:
            addresses.parse(self.load_balancer_range)

    @property
    def data_dir(self) -> Path:
        return self.data_root / self.name

    @property
    def run_dir(self) -> Path:
        return self.run_root / self.name

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def log_dir(self) -> Path:
        """Logs of our own processes."""
        return self.data_dir / "log"

    @property
    def service_ip(self) -> str:
        """The ClusterIP of the service `kubernetes`."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_ip(self) -> str:
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def advertise_ip(self) -> str:
        """Where pods find the API server: the first node's bridge, which stays when the uplink's address changes."""
        return str(ipaddress.ip_network(self.pod_cidr)[1])

    @property
    def node_pod_cidr(self) -> str:
        """The first node's share of the pod range, which the controllers give it as well: the first /24."""
        return str(next(ipaddress.ip_network(self.pod_cidr).subnets(new_prefix=24)))

    @property
    def api_url(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

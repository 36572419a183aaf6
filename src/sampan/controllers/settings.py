"""What a cluster tells its controllers. The names and defaults are kube-controller-manager's flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds; certificates and keys are PEM, "" when there is none."""

    root_ca: str = ""
    """What kube-root-ca.crt holds: the authority that signed the API server's certificate."""
    signing_certificate: str = ""
    signing_key: str = ""
    """The authority that signs kubelets' certificates; without it requests are approved but wait for a signer."""
    signing_duration: int = 365 * 24 * 3600
    cluster_cidr: str = "10.244.0.0/16"
    """Pod addresses; each node takes `node_cidr_mask`. "" leaves nodes without a range."""
    node_cidr_mask: int = 24
    node_monitor_grace_period: float = 40.0
    """A node that has not renewed its Lease for so long is not ready any more."""
    node_startup_grace_period: float = 60.0
    terminated_pod_gc_threshold: int = 12500
    volume_root: str = ""
    """Where on each node the volumes of the class `standard` lie; "" makes no such class and provisions nothing."""
    load_balancer_range: str = ""
    """Addresses for services of type LoadBalancer, a CIDR or FIRST-LAST; "" gives them those of nodes."""
    node_ports: tuple[int, ...] = ()
    """TCP ports of every node that Ingresses are served at: no service gets them at a node's address."""

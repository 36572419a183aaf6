"""`sampan doctor`: ports that somebody else has, by name."""

from __future__ import annotations

import os
import socket

from sampan.cli import doctor
from sampan.host import ports


def test_who_has_a_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        free = doctor.port_finding(port, "127.0.0.2", "node", "--node-port", "missing")
        assert free.state == "ok" and free.what == f"port {port} is free for the node"
        taken.listen()
        found = doctor.port_finding(port, "", "Ingresses over HTTP", "--http-port", "warn")
        assert found.state == "warn" and "--http-port" in found.mend
        assert found.what.startswith(f"port {port} (Ingresses over HTTP): ")
        assert f"(process {os.getpid()}) listens there" in found.what
    assert ports.listener(port) == ""

"""A cluster that publishes, and what a visitor does."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.machine import Machine, eventually


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str]


@dataclass
class Published:
    machine: Machine

    @property
    def balancers(self) -> str:
        return f"198.18.{self.machine.number}.0/30"

    def up(self) -> None:
        self.machine.up("--load-balancer-range", self.balancers)

    def deploy(self, name: str, replicas: int = 2) -> None:
        labels = {"app": name}
        container = {
            "name": "web",
            "image": "sampan.dev/hello:v1",
            "imagePullPolicy": "Never",
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "GREETING", "value": name}, {"name": "TOKEN", "value": "x"}],
            "readinessProbe": {"httpGet": {"path": "/cgi-bin/healthz", "port": "http"}, "periodSeconds": 1},
        }
        self.machine.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            },
        )

    def ready(self, name: str) -> bool:
        status = self.machine.get("deployment", name)["status"]
        return bool(status.get("readyReplicas", 0) == status.get("replicas"))

    def publish(self, name: str, *rules: tuple[str, str, str, str], **more: Any) -> None:
        """`rules` are (host, path, pathType, service); `annotations` without their prefix, `tls` as in the spec."""
        given = {f"nginx.ingress.kubernetes.io/{k}": v for k, v in more.get("annotations", {}).items()}
        made = [
            {"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend(service)}]}}
            for host, path, kind, service in rules
        ]
        self.machine.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": name, "annotations": given},
                "spec": {"rules": made, "tls": more.get("tls", [])},
            }
        )

    def withdraw(self, *names: str) -> None:
        self.machine.kubectl("delete", "ingress", *names)

    def opened(self, name: str) -> None:
        """Wait until an Ingress is served. Its address says so: workers of before and after share the first moments of
        a reload, so that one answer proves nothing about the next."""
        eventually(lambda: self.address(name), f"Ingress {name} has an address")

    def address(self, name: str) -> str:
        listed = self.machine.get("ingress", name)["status"]["loadBalancer"].get("ingress", [{}])
        return str(listed[0].get("ip", ""))

    def events(self, name: str) -> str:
        return "\n".join(
            item["message"]
            for item in self.machine.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
        )

    def ask(self, host: str, path: str = "/cgi-bin/hello", *, secure: bool = False, ca: str = "") -> Answer:
        """Ask 127.0.0.1 for a host; over HTTPS its certificate is verified against `ca` or the local authority."""
        if secure:
            trust = ssl.create_default_context(cafile=ca or str(self.machine.data_dir / "ingress-ca.crt"))
            plain = socket.create_connection(("127.0.0.1", self.machine.https_port), timeout=10)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, self.machine.https_port)
            connection.sock = trust.wrap_socket(plain, server_hostname=host)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.machine.http_port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            headers = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, response.read().decode(), headers)
        finally:
            connection.close()

    def says(self, host: str, path: str = "/cgi-bin/hello") -> str:
        """Which service answers, "" when none does."""
        try:
            answer = self.ask(host, path)
        except OSError:
            return ""
        return answer.body.partition(",")[0] if answer.status == 200 else ""

    def nginx(self) -> int:
        """The pid of nginx, 0 when there is none."""
        pid = int(self.status()["pid"])
        return pid if (Path("/proc") / str(pid) / "cmdline").exists() and pid else 0

    def status(self) -> dict[str, Any]:
        """What the node's process says of it."""
        return dict(json.loads((self.machine.run_dir / "ingress" / "status.json").read_text()))


def backend(service: str) -> dict[str, Any]:
    return {"service": {"name": service, "port": {"number": 80}}}

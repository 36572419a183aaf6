"""Credentials from a program that the kubeconfig names (client.authentication.k8s.io)."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from sampan.cli.context import CommandError

Document = dict[str, Any]


def ask(plugin: Document) -> Document:
    """What the program says, as entries of a kubeconfig user: a token, or a certificate and key."""
    version = plugin.get("apiVersion") or "client.authentication.k8s.io/v1"
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": os.isatty(0)}}
    environ = {**os.environ, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    environ.update({pair["name"]: pair["value"] for pair in plugin.get("env") or ()})
    command = [plugin["command"], *(plugin.get("args") or ())]
    try:
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
        status = json.loads(done.stdout)["status"]
    except FileNotFoundError as error:
        hint = plugin.get("installHint")
        raise CommandError(
            f"error: exec: executable {command[0]} not found" + (f"\n\n{hint}" if hint else "")
        ) from error
    except subprocess.CalledProcessError as error:
        raise CommandError(f"error: exec: executable {command[0]} failed with exit code {error.returncode}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"error: exec: executable {command[0]} gave no ExecCredential: {error}") from error
    user: Document = {}
    if status.get("token"):
        user["token"] = status["token"]
    if status.get("clientCertificateData"):
        user["client-certificate-data"] = _encoded(status["clientCertificateData"])
        user["client-key-data"] = _encoded(status.get("clientKeyData") or "")
    return user


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()

"""`sampan create KIND NAME`: the objects that flags describe. Each kind is one function and one line in KINDS."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sampan.cli.context import CommandError
from sampan.cli.kubectl import flags

Document = dict[str, Any]


class Maker(NamedTuple):
    configure: Callable[[argparse.ArgumentParser], None]
    make: Callable[[argparse.Namespace], Document]


def parse(prog: str, kind: str, words: list[str]) -> argparse.Namespace:
    at = words.index(kind)
    rest = [*words[:at], *words[at + 1 :]]
    maker = KINDS[kind]
    if isinstance(maker, dict):
        inner = next((word for word in rest if word in maker), "")
        if not inner:
            raise CommandError(f"error: must specify one of {', '.join(maker)}\nSee '{prog} {kind} --help' for usage.")
        rest.remove(inner)
        prog, maker = f"{prog} {kind} {inner}", maker[inner]
    else:
        prog = f"{prog} {kind}"
    parser = argparse.ArgumentParser(prog=prog)
    flags.set_up(parser, rest=True)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-create")
    parser.add_argument("--save-config", action="store_true")
    parser.add_argument("--validate", default="strict")
    maker.configure(parser)
    options = parser.parse_args(rest)
    options.make, options.filename = maker.make, []
    return options


def name(options: argparse.Namespace) -> str:
    if len(options.args) != 1:
        raise CommandError(
            f"error: exactly one NAME is required, got {len(options.args)}\n"
            f"See 'sampan {options.verb} -h' for help and examples"
        )
    return str(options.args[0])


def made(options: argparse.Namespace, version: str, kind: str, **more: Any) -> Document:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name(options)}, **more}


# --- workloads ---


def deployment_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--image", action="append", default=[], metavar="IMAGE", help="image to run; may be given again")
    add("-r", "--replicas", type=int, default=1, metavar="N")
    add("--port", type=int, default=0, metavar="PORT", help="port that the container serves")


def deployment(options: argparse.Namespace) -> Document:
    labels = {"app": name(options)}
    containers = [_container(image, options) for image in _images(options)]
    if options.port:
        containers[0]["ports"] = [{"containerPort": options.port}]
    spec = {
        "replicas": options.replicas,
        "selector": {"matchLabels": labels},
        "strategy": {},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    document = made(options, "apps/v1", "Deployment", spec=spec, status={})
    document["metadata"]["labels"] = labels
    return document


def _images(options: argparse.Namespace) -> list[str]:
    images = [image for value in options.image for image in value.split(",")]
    if not images:
        raise CommandError('error: required flag(s) "image" not set')
    return images


def _container(image: str, options: argparse.Namespace) -> Document:
    base = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0].replace("_", "-")
    container: Document = {"name": base, "image": image, "resources": {}}
    if options.rest:
        container["command"] = list(options.rest)
    return container


def job_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", action="append", default=[], metavar="IMAGE")
    parser.add_argument("--from", dest="from_", default="", metavar="cronjob/NAME", help=argparse.SUPPRESS)


def job(options: argparse.Namespace) -> Document:
    return made(options, "batch/v1", "Job", spec=_job_spec(options), status={})


def _job_spec(options: argparse.Namespace) -> Document:
    container = {**_container(_images(options)[0], options), "name": name(options)}
    return {
        "template": {
            "metadata": {},
            "spec": {"containers": [container], "restartPolicy": getattr(options, "restart", "Never")},
        }
    }


def cronjob_flags(parser: argparse.ArgumentParser) -> None:
    job_flags(parser)
    parser.add_argument("--schedule", required=True, metavar="CRON")
    parser.add_argument("--restart", default="OnFailure", metavar="Never|OnFailure")


def cronjob(options: argparse.Namespace) -> Document:
    template = {"metadata": {"name": name(options)}, "spec": _job_spec(options)}
    return made(options, "batch/v1", "CronJob", spec={"schedule": options.schedule, "jobTemplate": template}, status={})


# --- configuration ---


def data_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--from-literal", action="append", default=[], metavar="KEY=VALUE")
    add("--from-file", action="append", default=[], metavar="[KEY=]FILE", help="a file, or all files of a directory")
    add("--from-env-file", action="append", default=[], metavar="FILE", help="lines KEY=VALUE")


def configmap(options: argparse.Namespace) -> Document:
    texts: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, data in _data(options).items():
        try:
            texts[key] = data.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(data).decode()
    parts = {"data": texts, "binaryData": binary}
    return made(options, "v1", "ConfigMap", **{part: values for part, values in parts.items() if values})


def _data(options: argparse.Namespace) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def put(key: str, data: bytes) -> None:
        if key in found:
            raise CommandError(f"error: cannot add key {key}, another key by that name already exists in Data")
        found[key] = data

    for text in options.from_literal:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandError(f"error: invalid literal source {text}, expected key=value")
        put(key, value.encode())
    for text in options.from_file:
        key, equals, path = text.partition("=") if "=" in text else ("", "", text)
        for file in _files(Path(path)):
            put(key or file.name, _read(file))
    for path in options.from_env_file:
        for line in _read(Path(path)).decode().splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, value = line.partition("=")
                put(key.strip(), value.encode())
    return found


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"error: error reading {path}: {error.strerror}") from error


def secret_flags(parser: argparse.ArgumentParser) -> None:
    data_flags(parser)
    parser.add_argument("--type", default="", metavar="TYPE")


def secret(options: argparse.Namespace) -> Document:
    data = {key: base64.b64encode(value).decode() for key, value in _data(options).items()}
    more = {"type": options.type} if options.type else {}
    return made(options, "v1", "Secret", **({"data": data} if data else {}), **more)


def tls_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cert", required=True, metavar="FILE")
    parser.add_argument("--key", required=True, metavar="FILE")


def tls(options: argparse.Namespace) -> Document:
    data = {"tls.crt": options.cert, "tls.key": options.key}
    encoded = {key: base64.b64encode(_read(Path(path))).decode() for key, path in data.items()}
    return made(options, "v1", "Secret", data=encoded, type="kubernetes.io/tls")


def registry_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--docker-server", default="https://index.docker.io/v1/", metavar="URL")
    add("--docker-username", default="", metavar="NAME")
    add("--docker-password", default="", metavar="PASSWORD")
    add("--docker-email", default="", metavar="ADDRESS")


def registry(options: argparse.Namespace) -> Document:
    import json

    auth = base64.b64encode(f"{options.docker_username}:{options.docker_password}".encode()).decode()
    entry = {"username": options.docker_username, "password": options.docker_password}
    entry |= {"email": options.docker_email} if options.docker_email else {}
    text = json.dumps({"auths": {options.docker_server: {**entry, "auth": auth}}}, separators=(",", ":"))
    data = {".dockerconfigjson": base64.b64encode(text.encode()).decode()}
    return made(options, "v1", "Secret", data=data, type="kubernetes.io/dockerconfigjson")


def nothing(parser: argparse.ArgumentParser) -> None:
    """No flags of its own."""


# --- services ---


def service_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--tcp", action="append", default=[], metavar="PORT[:TARGET]")
    add("--clusterip", default="", metavar="IP", help="None for a headless service")
    add("--node-port", type=int, default=0, metavar="PORT")
    add("--external-name", default="", metavar="NAME")


def service(type_: str) -> Callable[[argparse.Namespace], Document]:
    def make(options: argparse.Namespace) -> Document:
        labels = {"app": name(options)}
        spec: Document = {"type": type_, "selector": labels}
        ports = [_service_port(text, options) for value in options.tcp for text in value.split(",")]
        if type_ == "ExternalName":
            spec["externalName"] = options.external_name
        elif not ports and options.clusterip != "None":
            raise CommandError("error: at least one tcp port specifier must be provided")
        if ports:
            spec["ports"] = ports
        if options.clusterip:
            spec["clusterIP"] = options.clusterip
        document = made(options, "v1", "Service", spec=spec, status={"loadBalancer": {}})
        document["metadata"]["labels"] = labels
        return document

    return make


def _service_port(text: str, options: argparse.Namespace) -> Document:
    port, _, target = text.partition(":")
    try:
        number = int(port)
    except ValueError:
        raise CommandError(f"error: invalid port number {port!r} in --tcp") from None
    goal: int | str = (int(target) if target.isdigit() else target) if target else number
    made_port: Document = {"name": text.replace(":", "-"), "port": number, "protocol": "TCP", "targetPort": goal}
    return made_port | ({"nodePort": options.node_port} if options.node_port else {})


# --- cluster ---


def namespace(options: argparse.Namespace) -> Document:
    return made(options, "v1", "Namespace", spec={}, status={})


def serviceaccount(options: argparse.Namespace) -> Document:
    return made(options, "v1", "ServiceAccount")


def quota_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hard", default="", metavar="RESOURCE=AMOUNT,...")
    parser.add_argument("--scopes", default="", metavar="SCOPE,...")


def quota(options: argparse.Namespace) -> Document:
    spec: Document = {}
    if options.hard:
        spec["hard"] = dict(pair.split("=", 1) for pair in options.hard.split(","))
    if options.scopes:
        spec["scopes"] = options.scopes.split(",")
    return made(options, "v1", "ResourceQuota", spec=spec, status={})


def priorityclass_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--value", type=int, default=0, metavar="N")
    add("--global-default", action="store_true")
    add("--description", default="", metavar="TEXT")
    add("--preemption-policy", default="PreemptLowerPriority", metavar="POLICY")


def priorityclass(options: argparse.Namespace) -> Document:
    more: Document = {"description": options.description} if options.description else {}
    more |= {"globalDefault": True} if options.global_default else {}
    return made(
        options,
        "scheduling.k8s.io/v1",
        "PriorityClass",
        value=options.value,
        preemptionPolicy=options.preemption_policy,
        **more,
    )


def budget_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--selector", default="", metavar="SELECTOR")
    parser.add_argument("--min-available", default="", metavar="N|PERCENT")
    parser.add_argument("--max-unavailable", default="", metavar="N|PERCENT")


def budget(options: argparse.Namespace) -> Document:
    spec: Document = {"selector": {"matchLabels": dict(pair.split("=", 1) for pair in options.selector.split(","))}}
    for flag, field in (("min_available", "minAvailable"), ("max_unavailable", "maxUnavailable")):
        value = getattr(options, flag)
        if value:
            spec[field] = int(value) if value.isdigit() else value
    zeros = dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0)
    return made(options, "policy/v1", "PodDisruptionBudget", spec=spec, status=zeros)


_SERVICES: dict[str, Maker] = {
    "clusterip": Maker(service_flags, service("ClusterIP")),
    "nodeport": Maker(service_flags, service("NodePort")),
    "loadbalancer": Maker(service_flags, service("LoadBalancer")),
    "externalname": Maker(service_flags, service("ExternalName")),
}
_SECRETS: dict[str, Maker] = {
    "generic": Maker(secret_flags, secret),
    "tls": Maker(tls_flags, tls),
    "docker-registry": Maker(registry_flags, registry),
}


def _kinds() -> dict[str, Maker | dict[str, Maker]]:
    from sampan.cli.kubectl.verbs import create_rbac as rbac

    return {
        "deployment": Maker(deployment_flags, deployment),
        "deploy": Maker(deployment_flags, deployment),
        "job": Maker(job_flags, job),
        "cronjob": Maker(cronjob_flags, cronjob),
        "cj": Maker(cronjob_flags, cronjob),
        "configmap": Maker(data_flags, configmap),
        "cm": Maker(data_flags, configmap),
        "secret": _SECRETS,
        "service": _SERVICES,
        "svc": _SERVICES,
        "namespace": Maker(nothing, namespace),
        "ns": Maker(nothing, namespace),
        "serviceaccount": Maker(nothing, serviceaccount),
        "sa": Maker(nothing, serviceaccount),
        "quota": Maker(quota_flags, quota),
        "resourcequota": Maker(quota_flags, quota),
        "priorityclass": Maker(priorityclass_flags, priorityclass),
        "pc": Maker(priorityclass_flags, priorityclass),
        "poddisruptionbudget": Maker(budget_flags, budget),
        "pdb": Maker(budget_flags, budget),
        "role": Maker(rbac.role_flags, rbac.role),
        "clusterrole": Maker(rbac.clusterrole_flags, rbac.clusterrole),
        "rolebinding": Maker(rbac.binding_flags, rbac.rolebinding),
        "clusterrolebinding": Maker(rbac.binding_flags, rbac.clusterrolebinding),
        "ingress": Maker(rbac.ingress_flags, rbac.ingress),
    }


KINDS = _kinds()

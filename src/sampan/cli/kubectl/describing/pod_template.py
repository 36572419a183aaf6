"""Containers and volumes, of pods and of the templates of workloads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sampan.cli.kubectl.describing import common, volumes
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]


def text(template: Document) -> str:
    """As `rollout history` shows it: with tabs."""
    write = Writer()
    describe(write, template)
    return write.plain() + "\n"


def describe(write: Writer, template: Document | None) -> None:
    write(0, "Pod Template:")
    if template is None:
        write(1, "<unset>")
        return
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    _labels(write, "Labels", meta.get("labels"))
    if meta.get("annotations"):
        _labels(write, "Annotations", meta["annotations"], ": ")
    if spec.get("serviceAccountName"):
        write(1, f"Service Account:\t{spec['serviceAccountName']}")
    if spec.get("initContainers"):
        containers(write, "Init Containers", spec["initContainers"], [], "  ")
    containers(write, "Containers", spec.get("containers") or [], [], "  ")
    volumes.describe(write, spec.get("volumes") or [], 1)
    if spec.get("topologySpreadConstraints"):
        write(1, "Topology Spread Constraints:\t" + _spread(spec["topologySpreadConstraints"]))
    if spec.get("priorityClassName"):
        write(1, f"Priority Class Name:\t{spec['priorityClassName']}")
    node_selectors(write, spec.get("nodeSelector"), 1)
    tolerations(write, spec.get("tolerations"), 1)


def _labels(write: Writer, title: str, values: Document | None, between: str = "=") -> None:
    if not values:
        write(1, f"{title}:\t{common.NONE}")
        return
    for at, (key, value) in enumerate(sorted(values.items())):
        write(0, f"{f'  {title}:' if not at else ''}\t{key}{between}{value}")


def _spread(constraints: Sequence[Document]) -> str:
    return ",".join(
        f"{c['topologyKey']}:{c['whenUnsatisfiable']} when max skew {c['maxSkew']} is exceeded" for c in constraints
    )


def node_selectors(write: Writer, values: Document | None, level: int) -> None:
    if not values:
        write(level, f"Node-Selectors:\t{common.NONE}")
        return
    for at, (key, value) in enumerate(sorted(values.items())):
        write(level, f"{'Node-Selectors:' if not at else ''}\t{key}={value}")


def tolerations(write: Writer, values: Sequence[Document] | None, level: int) -> None:
    if not values:
        write(level, f"Tolerations:\t{common.NONE}")
        return
    shown = sorted(values, key=lambda t: t.get("key") or "")
    for at, each in enumerate(shown):
        write(level, f"{'Tolerations:' if not at else ''}\t{_toleration(each)}")


def _toleration(each: Document) -> str:
    made = str(each.get("key") or "")
    if each.get("value"):
        made += f"={each['value']}"
    if each.get("effect"):
        made += f":{each['effect']}"
    if each.get("operator") == "Exists" and not each.get("value"):
        made += " op=Exists" if made else "op=Exists"
    if each.get("tolerationSeconds") is not None:
        made += f" for {each['tolerationSeconds']}s"
    return made


# --- containers ---


def containers(
    write: Writer,
    title: str,
    listed: Sequence[Document],
    statuses: Sequence[Document],
    space: str,
    pod: Document | None = None,
) -> None:
    """`space` is "" for pods and two blanks for templates; a `pod` gives values to what refers to its fields."""
    by_name = {status["name"]: status for status in statuses}
    if not listed:
        write(0, f"{space}{title}: {common.NONE}")
        return
    write(0, f"{space}{title}:")
    for container in listed:
        _container(write, container, by_name.get(container["name"]), space, pod)


def _container(write: Writer, container: Document, status: Document | None, space: str, pod: Document | None) -> None:
    write(1, f"{' ' if space else ''}{container['name']}:")
    if status is not None:
        write(2, f"Container ID:\t{status.get('containerID', '')}")
    write(2, f"Image:\t{container.get('image', '')}")
    if status is not None:
        write(2, f"Image ID:\t{status.get('imageID', '')}")
    _ports(write, container.get("ports") or [])
    _lists(write, container)
    if status is not None:
        _state(write, "State", status.get("state") or {})
        if status.get("lastState", {}).get("terminated"):
            _state(write, "Last State", status["lastState"])
        write(2, f"Ready:\t{status.get('ready', False)}")
        write(2, f"Restart Count:\t{status.get('restartCount', 0)}")
    for part in ("limits", "requests"):
        amounts = (container.get("resources") or {}).get(part) or {}
        if amounts:
            write(2, f"{part.capitalize()}:")
            for name, amount in sorted(amounts.items()):
                write(3, f"{name}:\t{amount}")
    for kind in ("liveness", "readiness", "startup"):
        if container.get(f"{kind}Probe"):
            write(2, f"{kind.capitalize()}:\t{_probe(container[f'{kind}Probe'])}")
    _environment(write, container, pod)
    _mounts(write, container)


def _ports(line: Any, ports: Sequence[Document]) -> None:
    shown = ", ".join(
        f"{p['containerPort']}/{p.get('protocol', 'TCP')}" + (f" ({p['name']})" if p.get("name") else "") for p in ports
    )
    hosts = ", ".join(
        f"{p.get('hostPort', 0)}/{p.get('protocol', 'TCP')}" + (f" ({p['name']})" if p.get("name") else "")
        for p in ports
    )
    line(2, f"Port{'s' if len(ports) > 1 else ''}:\t{shown or common.NONE}")
    line(2, f"Host Port{'s' if len(ports) > 1 else ''}:\t{hosts or common.NONE}")


def _lists(line: Any, container: Document) -> None:
    for title, field in (("Command", "command"), ("Args", "args")):
        if container.get(field):
            line(2, f"{title}:")
            for part in container[field]:
                for each in part.split("\n"):
                    line(3, each)


def _state(line: Any, title: str, state: Document) -> None:
    if "running" in state:
        line(2, f"{title}:\tRunning")
        line(3, f"Started:\t{common.moment((state['running'] or {}).get('startedAt'))}")
    elif "waiting" in state:
        line(2, f"{title}:\tWaiting")
        if (state["waiting"] or {}).get("reason"):
            line(3, f"Reason:\t{state['waiting']['reason']}")
    elif "terminated" in state:
        ended = state["terminated"]
        line(2, f"{title}:\tTerminated")
        if ended.get("reason"):
            line(3, f"Reason:\t{ended['reason']}")
        if ended.get("message"):
            line(3, f"Message:\t{ended['message']}")
        line(3, f"Exit Code:\t{ended.get('exitCode', 0)}")
        if ended.get("signal"):
            line(3, f"Signal:\t{ended['signal']}")
        line(3, f"Started:\t{common.moment(ended.get('startedAt'))}")
        line(3, f"Finished:\t{common.moment(ended.get('finishedAt'))}")
    else:
        line(2, f"{title}:\tWaiting")


def _probe(probe: Document) -> str:
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if "exec" in probe:
        return f"exec [{' '.join(probe['exec'].get('command') or ())}] {times}"
    if "httpGet" in probe:
        get = probe["httpGet"]
        url = f"{get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get['port']}{get.get('path', '')}"
        return f"http-get {url} {times}"
    if "tcpSocket" in probe:
        return f"tcp-socket {probe['tcpSocket'].get('host', '')}:{probe['tcpSocket']['port']} {times}"
    if "grpc" in probe:
        return f"grpc <pod>:{probe['grpc']['port']} {probe['grpc'].get('service') or ''} {times}"
    return f"unknown {times}"


def _environment(line: Any, container: Document, pod: Document | None) -> None:
    sources = container.get("envFrom") or ()
    if sources:
        line(2, "Environment Variables from:")
        for source in sources:
            kind, reference = (
                ("ConfigMap", source.get("configMapRef"))
                if source.get("configMapRef")
                else (
                    "Secret",
                    source.get("secretRef") or {},
                )
            )
            prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
            optional = str(bool(reference.get("optional"))).lower()
            line(3, f"{reference.get('name', '')}\t{kind}{prefix}\tOptional: {optional}")
    variables = container.get("env") or ()
    if not variables:
        line(2, f"Environment:\t{common.NONE}")
        return
    line(2, "Environment:")
    for variable in variables:
        line(3, _variable(variable, pod))


def _variable(variable: Document, pod: Document | None) -> str:
    source, name = variable.get("valueFrom"), variable["name"]
    if not source:
        first, *others = str(variable.get("value") or "").split("\n")
        return "\n".join([f"{name}:\t{first}", *(f"\t{other}" for other in others)])
    if "fieldRef" in source:
        reference = source["fieldRef"]
        value = _field(pod, reference["fieldPath"]) if pod is not None else ""
        return f"{name}:\t{value} ({reference.get('apiVersion', 'v1')}:{reference['fieldPath']})"
    if "resourceFieldRef" in source:
        reference = source["resourceFieldRef"]
        container = f"{reference['containerName']}:" if reference.get("containerName") else ""
        return f"{name}:\t{container}{reference['resource']}"
    for field, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if field in source:
            reference = source[field]
            optional = str(bool(reference.get("optional"))).lower()
            return (
                f"{name}:\t<set to the key '{reference['key']}' of {kind} '{reference.get('name', '')}'>"
                f"\tOptional: {optional}"
            )
    return f"{name}:\t"


_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]\Z")


def _field(pod: Document, path: str) -> str:
    """The pod's own value of a field that a variable refers to."""
    subscript = _SUBSCRIPT.match(path)
    if subscript is not None:
        return str((pod["metadata"].get(subscript[1]) or {}).get(subscript[2], ""))
    value: Any = pod
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _mounts(line: Any, container: Document) -> None:
    mounts = container.get("volumeMounts") or ()
    if not mounts:
        line(2, f"Mounts:\t{common.NONE}")
    else:
        line(2, "Mounts:")
        for mount in sorted(mounts, key=lambda m: m["mountPath"]):
            how = ["ro" if mount.get("readOnly") else "rw"]
            if mount.get("subPath"):
                how.append(f'path="{mount["subPath"]}"')
            line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(how)})")
    devices = container.get("volumeDevices") or ()
    if devices:
        line(2, "Devices:")
        for device in devices:
            line(3, f"{device['devicePath']} from {device['name']}")

"""Pods."""

from __future__ import annotations

from typing import Any

from sampan.cli.kubectl.describing import common, pod_template, volumes
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]


def describe(write: Writer, pod: Document, found: Document) -> None:
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    if spec.get("priority") is not None:
        write(0, f"Priority:\t{spec['priority']}")
        if spec.get("priorityClassName"):
            write(0, f"Priority Class Name:\t{spec['priorityClassName']}")
    if spec.get("runtimeClassName"):
        write(0, f"Runtime Class Name:\t{spec['runtimeClassName']}")
    if spec.get("serviceAccountName"):
        write(0, f"Service Account:\t{spec['serviceAccountName']}")
    node = spec.get("nodeName")
    write(0, f"Node:\t{node}/{status.get('hostIP', '')}" if node else f"Node:\t{common.NONE}")
    if status.get("startTime"):
        write(0, f"Start Time:\t{common.moment(status['startTime'])}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    _phase(write, pod)
    if (spec.get("securityContext") or {}).get("seccompProfile"):
        profile = spec["securityContext"]["seccompProfile"]
        write(0, f"SeccompProfile:\t{profile['type']}")
        if profile.get("localhostProfile"):
            write(0, f"LocalhostProfile:\t{profile['localhostProfile']}")
    write(0, f"IP:\t{status.get('podIP', '')}")
    _addresses(write, status)
    if common.controller(pod):
        write(0, f"Controlled By:\t{common.controller(pod)}")
    if status.get("nominatedNodeName"):
        write(0, f"NominatedNodeName:\t{status['nominatedNodeName']}")
    if spec.get("initContainers"):
        pod_template.containers(
            write, "Init Containers", spec["initContainers"], status.get("initContainerStatuses") or [], "", pod
        )
    pod_template.containers(write, "Containers", spec["containers"], status.get("containerStatuses") or [], "", pod)
    if spec.get("ephemeralContainers"):
        pod_template.containers(
            write,
            "Ephemeral Containers",
            spec["ephemeralContainers"],
            status.get("ephemeralContainerStatuses") or [],
            "",
            pod,
        )
    _conditions(write, pod)
    volumes.describe(write, spec.get("volumes") or [], 0)
    write(0, f"QoS Class:\t{status.get('qosClass') or 'BestEffort'}")
    pod_template.node_selectors(write, spec.get("nodeSelector"), 0)
    pod_template.tolerations(write, spec.get("tolerations"), 0)
    if spec.get("topologySpreadConstraints"):
        _spread(write, spec["topologySpreadConstraints"])
    common.events(write, found["events"])


def _phase(write: Writer, pod: Document) -> None:
    meta, status = pod["metadata"], pod.get("status") or {}
    if meta.get("deletionTimestamp") and status.get("phase") not in ("Failed", "Succeeded"):
        write(0, f"Status:\tTerminating (lasts {common.age(meta['deletionTimestamp'])})")
        write(0, f"Termination Grace Period:\t{meta.get('deletionGracePeriodSeconds', 0)}s")
    else:
        write(0, f"Status:\t{status.get('phase', '')}")
    if status.get("reason"):
        write(0, f"Reason:\t{status['reason']}")
    if status.get("message"):
        write(0, f"Message:\t{status['message']}")


def _addresses(write: Writer, status: Document) -> None:
    addresses = status.get("podIPs") or ()
    if not addresses:
        write(0, f"IPs:\t{common.NONE}")
        return
    write(0, "IPs:")
    for each in addresses:
        write(1, f"IP:\t{each.get('ip', '')}")


def _conditions(write: Writer, pod: Document) -> None:
    gates = (pod["spec"].get("readinessGates")) or ()
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if gates:
        write(0, "Readiness Gates:")
        write(1, "Type\tStatus")
        states = {each["type"]: each["status"] for each in conditions}
        for gate in gates:
            write(1, f"{gate['conditionType']} \t{states.get(gate['conditionType'], common.NONE)} ")
    if conditions:
        write(0, "Conditions:")
        write(1, "Type\tStatus")
        for each in conditions:
            write(1, f"{each['type']} \t{each['status']} ")


def _spread(write: Writer, constraints: list[Document]) -> None:
    for at, each in enumerate(constraints):
        title = "Topology Spread Constraints:" if not at else ""
        text = f"{each['topologyKey']}:{each['whenUnsatisfiable']} when max skew {each['maxSkew']} is exceeded"
        if each.get("labelSelector"):
            text += f" for selector {common.selector(each['labelSelector'])}"
        write(0, f"{title}\t{text}")

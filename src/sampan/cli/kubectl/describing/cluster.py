"""Nodes and namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.api import quantity
from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

ROLE = "node-role.kubernetes.io/"


def node(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    labels = meta.get("labels") or {}
    write(0, f"Name:\t{meta['name']}")
    roles = sorted(key.removeprefix(ROLE) for key in labels if key.startswith(ROLE) and len(key) > len(ROLE))
    write(0, f"Roles:\t{','.join(roles) or common.NONE}")
    common.pairs(write, "Labels", labels)
    common.notes(write, meta.get("annotations"))
    write(0, f"CreationTimestamp:\t{common.moment(meta.get('creationTimestamp'))}")
    _taints(write, spec.get("taints") or [])
    write(0, f"Unschedulable:\t{str(bool(spec.get('unschedulable'))).lower()}")
    _lease(write, found["lease"])
    _conditions(write, status.get("conditions") or [])
    write(0, "Addresses:")
    for address in status.get("addresses") or ():
        write(1, f"{address['type']}:\t{address['address']}")
    for title in ("capacity", "allocatable"):
        write(0, f"{title.capitalize()}:")
        for name, amount in sorted((status.get(title) or {}).items()):
            write(1, f"{name}:\t{amount}")
    _system(write, status.get("nodeInfo") or {})
    if spec.get("podCIDR"):
        write(0, f"PodCIDR:\t{spec['podCIDR']}")
        write(0, f"PodCIDRs:\t{','.join(spec.get('podCIDRs') or ())}")
    if spec.get("providerID"):
        write(0, f"ProviderID:\t{spec['providerID']}")
    _pods(write, document, found["pods"])
    common.events(write, found["events"])


def _taints(write: Writer, taints: list[Document]) -> None:
    shown = [t["key"] + (f"={t['value']}" if t.get("value") else "") + f":{t['effect']}" for t in taints] or [
        common.NONE
    ]
    for at, text in enumerate(shown):
        write(0, f"{'Taints:' if not at else ''}\t{text}")


def _lease(write: Writer, lease: Document | None) -> None:
    write(0, "Lease:")
    spec = (lease or {}).get("spec") or {}
    write(1, f"HolderIdentity:\t{spec.get('holderIdentity', '<unset>')}")
    write(1, f"AcquireTime:\t{common.moment(spec.get('acquireTime'))}")
    write(1, f"RenewTime:\t{common.moment(spec.get('renewTime'))}")


def _conditions(write: Writer, conditions: list[Document]) -> None:
    if not conditions:
        return
    write(0, "Conditions:")
    write(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
    write(1, "----\t------\t-----------------\t------------------\t------\t-------")
    for each in conditions:
        times = f"{common.moment(each.get('lastHeartbeatTime'))} \t{common.moment(each.get('lastTransitionTime'))}"
        write(1, f"{each['type']} \t{each['status']} \t{times} \t{each.get('reason', '')} \t{each.get('message', '')}")


def _system(write: Writer, info: Document) -> None:
    write(0, "System Info:")
    for title, field in (
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ):
        write(1, f"{title}:\t{info.get(field, '')}")


def _pods(write: Writer, document: Document, pods: list[Document]) -> None:
    """The pods that have not ended, and what all of them ask of the node."""
    allocatable = (document.get("status") or {}).get("allocatable") or {}
    live = [p for p in pods if (p.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    write(0, f"Non-terminated Pods:\t({len(live)} in total)")
    write(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    write(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
    totals: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for pod in live:
        asked = {part: _asked(pod, part) for part in totals}
        for part, amounts in asked.items():
            for name, amount in amounts.items():
                totals[part][name] = quantity.add(totals[part].get(name, "0"), amount)
        meta = pod["metadata"]
        cells = [
            _share(asked[part].get(name, "0"), allocatable.get(name), name)
            for name in ("cpu", "memory")
            for part in ("requests", "limits")
        ]
        write(1, "\t".join([meta["namespace"], meta["name"], "", *cells, common.age(meta.get("creationTimestamp"))]))
    write(0, "Allocated resources:")
    write(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    write(1, "Resource\tRequests\tLimits")
    write(1, "--------\t--------\t------")
    standard = ("cpu", "memory", "ephemeral-storage")
    others = sorted(name for name in allocatable if name not in (*standard, "pods"))
    for name in (*standard, *others):
        if name in standard or name.startswith("hugepages-"):
            cells = [_share(totals[part].get(name, "0"), allocatable.get(name), name) for part in totals]
        else:
            cells = [totals[part].get(name, "0") for part in totals]
        write(1, "\t".join([name, *cells]))


def _asked(pod: Document, part: str) -> dict[str, str]:
    """The sum of the containers, or the largest init container; sidecars count as containers."""
    spec = pod["spec"]
    total: dict[str, str] = {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*spec.get("containers", ()), *sidecars):
        for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = quantity.add(total.get(name, "0"), amount)
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
            if quantity.nano(amount) > quantity.nano(total.get(name, "0")):
                total[name] = amount
    if part == "requests" or total:
        for name, amount in (spec.get("overhead") or {}).items():
            total[name] = quantity.add(total.get(name, "0"), amount)
    return total


def _share(amount: str, of: str | None, name: str) -> str:
    whole = quantity.nano(of or "0")
    percent = quantity.nano(amount) * 100 // whole if whole else 0
    return f"{quantity.canonical(amount)} ({percent}%)"


def namespace(write: Writer, document: Document, found: Document) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, f"Status:\t{(document.get('status') or {}).get('phase', '')}")
    write(0)
    if not found["quotas"]:
        write(0, "No resource quota.")
    else:
        write(0, "Resource Quotas")
        for quota in found["quotas"]:
            write(1, f"Name:\t{quota['metadata']['name']}")
            _quota(write, quota, 1)
    write(0)
    if not found["limits"]:
        write(0, "No LimitRange resource.")
    else:
        write(0, "Resource Limits")
        write(1, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio")
        write(1, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------")
        for each in found["limits"]:
            _limits(write, each, 1)


def _quota(write: Writer, document: Document, level: int) -> None:
    status = document.get("status") or {}
    write(level, "Resource\tUsed\tHard")
    write(level, "--------\t---\t---" if level else "--------\t----\t----")
    for name, hard in sorted((status.get("hard") or {}).items()):
        write(level, f"{name}\t{(status.get('used') or {}).get(name, '0')}\t{hard}")


def quota(write: Writer, document: Document, found: Document) -> None:
    write(0, f"Name:\t{document['metadata']['name']}")
    write(0, f"Namespace:\t{document['metadata']['namespace']}")
    scopes = document["spec"].get("scopes") or ()
    if scopes:
        write(0, f"Scopes:\t{', '.join(sorted(scopes))}")
    _quota(write, document, 0)


def _limits(write: Writer, document: Document, level: int) -> None:
    for limit in document["spec"].get("limits") or ():
        parts: tuple[Mapping[str, str], ...] = tuple(
            limit.get(field) or {} for field in ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
        )
        for name in sorted({key for part in parts for key in part}):
            write(level, "\t".join([limit["type"], name, *(part.get(name, "-") for part in parts)]))


def limitrange(write: Writer, document: Document, found: Document) -> None:
    write(0, f"Name:\t{document['metadata']['name']}")
    write(0, f"Namespace:\t{document['metadata']['namespace']}")
    write(0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio")
    write(0, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------")
    _limits(write, document, 0)


def priorityclass(write: Writer, document: Document, found: Document) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Value:\t{document.get('value', 0)}")
    write(0, f"GlobalDefault:\t{str(bool(document.get('globalDefault'))).lower()}")
    write(0, f"PreemptionPolicy:\t{document.get('preemptionPolicy', '')}")
    write(0, f"Description:\t{document.get('description', '')}")
    annotations_ = ",".join(f"{key}={value}" for key, value in sorted((meta.get("annotations") or {}).items()))
    write(0, f"Annotations:\t{annotations_ or common.NONE}")
    common.events(write, found["events"])

"""Rules of pods and pod templates."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1
from sampan.api.validation import affinity, container, meta, resources, security, volume
from sampan.api.validation.checks import IP, Errors, choice, is_ip, named

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MAX_INT32 = 2**31 - 1
MIRROR = "kubernetes.io/config.mirror"


def validate_pod(pod: core_v1.Pod) -> list[FieldError]:
    errors: Errors = []
    if MIRROR in pod.metadata.annotations and not pod.spec.nodeName:
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"metadata.annotations[{MIRROR}]", pod.metadata.annotations[MIRROR], text))
    spec(errors, pod.spec, "spec")
    _only_pods(errors, pod.spec)
    return errors


def validate_pod_template(template: core_v1.PodTemplate) -> list[FieldError]:
    errors: Errors = []
    if template.template is not None:
        template_spec(errors, template.template, "template")
    return errors


def template_spec(errors: Errors, template: core_v1.PodTemplateSpec, path: str) -> None:
    """The template of a workload."""
    meta.labels(errors, template.metadata.labels, f"{path}.labels")
    meta.annotation_map(errors, template.metadata.annotations, f"{path}.annotations")
    spec(errors, template.spec, f"{path}.spec")
    if template.spec.ephemeralContainers:
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", text))


def _only_pods(errors: Errors, wanted: core_v1.PodSpec) -> None:
    """Rules that templates escape, so that those stored long ago stay valid."""
    for member in ("containers", "initContainers"):
        for at, c in enumerate(getattr(wanted, member)):
            if c.image and c.image != c.image.strip():
                errors.append(invalid(f"spec.{member}[{at}].image", c.image, container.WHITESPACE))
    if wanted.nodeName and wanted.schedulingGates:
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))


def spec(errors: Errors, wanted: core_v1.PodSpec, path: str) -> None:
    volumes = volume.volumes(errors, wanted.volumes, f"{path}.volumes") if wanted.volumes else {}
    pod = container.Pod(errors, wanted, volumes)
    container.containers(pod, wanted.containers, f"{path}.containers")
    if wanted.initContainers:
        container.init_containers(pod, wanted.initContainers, f"{path}.initContainers")
    if wanted.ephemeralContainers:
        container.ephemeral_containers(pod, wanted.ephemeralContainers, f"{path}.ephemeralContainers")
    if wanted.restartPolicy not in RESTART_POLICIES:
        choice(errors, wanted.restartPolicy, RESTART_POLICIES, f"{path}.restartPolicy", needed=True)
    if wanted.dnsPolicy not in DNS_POLICIES:
        choice(errors, wanted.dnsPolicy, DNS_POLICIES, f"{path}.dnsPolicy", needed=True)
    _placement(errors, wanted, path)
    security.pod(errors, wanted, path)
    for at, secret in enumerate(wanted.imagePullSecrets):
        if not secret.name:
            errors.append(required(f"{path}.imagePullSecrets[{at}].name"))
    if wanted.dnsConfig is not None or wanted.dnsPolicy == "None":
        _dns(errors, wanted, f"{path}.dnsConfig")
    _identity(errors, wanted, path)
    _rest(errors, wanted, path)


def _placement(errors: Errors, wanted: core_v1.PodSpec, path: str) -> None:
    if wanted.nodeSelector:
        meta.labels(errors, wanted.nodeSelector, f"{path}.nodeSelector")
    if wanted.affinity is not None:
        affinity.affinity(errors, wanted.affinity, f"{path}.affinity")
    if wanted.tolerations:
        affinity.tolerations(errors, wanted.tolerations, f"{path}.tolerations")
    if wanted.topologySpreadConstraints:
        affinity.topology_spread(errors, wanted.topologySpreadConstraints, f"{path}.topologySpreadConstraints")
    seen: set[str] = set()
    for at, gate in enumerate(wanted.schedulingGates):
        named(errors, gate.name, f"{path}.schedulingGates[{at}]", names.qualified_name)
        if gate.name in seen:
            errors.append(duplicate(f"{path}.schedulingGates[{at}]", gate.name))
        seen.add(gate.name)
    for at, ready in enumerate(wanted.readinessGates):
        where = f"{path}.readinessGates[{at}].conditionType"
        named(errors, ready.conditionType, where, names.qualified_name)


def _identity(errors: Errors, wanted: core_v1.PodSpec, path: str) -> None:
    for member in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        text = getattr(wanted, member)
        if text and (problems := names.dns_subdomain(text)):
            errors += [invalid(f"{path}.{member}", text, problem) for problem in problems]
    for member in ("hostname", "subdomain"):
        text = getattr(wanted, member)
        if text and (problems := names.dns_label(text)):
            errors += [invalid(f"{path}.{member}", text, problem) for problem in problems]
    for at, alias in enumerate(wanted.hostAliases):
        if not is_ip(alias.ip):
            errors.append(invalid(f"{path}.hostAliases[{at}].ip", alias.ip, IP))
        for hostname in alias.hostnames:
            named(errors, hostname, f"{path}.hostAliases[{at}].hostnames", names.dns_subdomain)


def _rest(errors: Errors, wanted: core_v1.PodSpec, path: str) -> None:
    deadline = wanted.activeDeadlineSeconds
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        text = f"must be between 1 and {MAX_INT32}, inclusive"
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, text))
    choice(errors, wanted.preemptionPolicy, ("Never", "PreemptLowerPriority"), f"{path}.preemptionPolicy")
    if wanted.overhead:
        resources.amounts(errors, wanted.overhead, f"{path}.overhead")
    if wanted.os is not None:
        choice(errors, wanted.os.name, ("linux", "windows"), f"{path}.os.name", needed=True)
    seen: set[str] = set()
    for at, claim in enumerate(wanted.resourceClaims):
        below = f"{path}.resourceClaims[{at}]"
        if not claim.name:
            errors.append(required(f"{below}.name"))
        elif claim.name in seen:
            errors.append(duplicate(f"{below}.name", claim.name))
        seen.add(claim.name)
        if (claim.resourceClaimName is None) is (claim.resourceClaimTemplateName is None):
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(below, claim, text))


def _dns(errors: Errors, wanted: core_v1.PodSpec, path: str) -> None:
    config = wanted.dnsConfig
    if config is None:
        errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
        return
    if wanted.dnsPolicy == "None" and not config.nameservers:
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(required(f"{path}.nameservers", text))
    if len(config.nameservers) > 3:
        text = "must not have more than 3 nameservers"
        errors.append(invalid(f"{path}.nameservers", config.nameservers, text))
    for at, address in enumerate(config.nameservers):
        if not is_ip(address):
            errors.append(invalid(f"{path}.nameservers[{at}]", address, IP))
    if len(config.searches) > 32:
        errors.append(invalid(f"{path}.searches", config.searches, "must not have more than 32 search paths"))
    if len(" ".join(config.searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", config.searches, text))
    for at, search in enumerate(config.searches):
        bare = search.removesuffix(".")
        if bare:
            named(errors, bare.replace("_", "-"), f"{path}.searches[{at}]", names.dns_subdomain)
    for at, option in enumerate(config.options):
        if not option.name:
            errors.append(required(f"{path}.options[{at}]", "must not be empty"))


def binding(obj: core_v1.Binding) -> list[FieldError]:
    """Complaints about a Binding, the body of pods/binding."""
    errors: Errors = []
    if obj.target.kind not in (None, "", "Node"):
        errors.append(not_supported("target.kind", obj.target.kind, ("Node", "<empty>")))
    if not obj.target.name:
        errors.append(required("target.name"))
    return errors


def ephemeral_containers_update(new: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
    """Complaints about pods/ephemeralcontainers: existing ones stay as they are."""
    errors: Errors = []
    path = "spec.ephemeralContainers"
    volumes = {v.name: v for v in new.spec.volumes}
    pod = container.Pod(errors, new.spec, volumes)
    pod.seen.update(c.name for c in (*new.spec.containers, *new.spec.initContainers))
    container.ephemeral_containers(pod, new.spec.ephemeralContainers, path)
    now = {c.name: c for c in new.spec.ephemeralContainers}
    _kept(errors, old.spec.ephemeralContainers, now, path)
    return errors


def _kept(
    errors: Errors,
    before: Sequence[core_v1.EphemeralContainer],
    now: dict[str, core_v1.EphemeralContainer],
    path: str,
) -> None:
    for at, old in enumerate(before):
        new = now.get(old.name)
        if new is None:
            text = f"existing ephemeral containers {_quoted(old.name)} may not be removed\n"
            errors.append(forbidden(path, text))
        elif new != old:
            text = f"existing ephemeral containers {_quoted(old.name)} may not be changed\n"
            errors.append(forbidden(f"{path}[{at}]", text))


def _quoted(text: str) -> str:
    return f'"{text}"'

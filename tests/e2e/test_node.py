"""What the node does over a pod's life: probes, restarts, hooks, updates of volumes, limits, deletion."""

from __future__ import annotations

import json
import time

import pytest

from tests.covers import covers
from tests.e2e.machine import Machine, eventually
from tests.e2e.manifests import pod

pytestmark = [pytest.mark.e2e]
WAITS = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"


def status(machine: Machine, namespace: str, name: str) -> dict[str, object]:
    statuses: list[dict[str, object]] = machine.get("-n", namespace, "pod", name)["status"].get("containerStatuses")
    return statuses[0] if statuses else {"restartCount": 0, "ready": False, "state": {}}


def reasons(machine: Machine, namespace: str, name: str) -> dict[str, str]:
    events = machine.get("-n", namespace, "events", "--field-selector", f"involvedObject.name={name}")["items"]
    return {event["reason"]: event["message"] for event in events}


@covers(
    '[sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe [Conformance] [NodeConformance]'
)
def test_a_failing_liveness_probe_restarts(machine: Machine, namespace: str) -> None:
    script = f"echo ok > /tmp/health; (sleep 2; rm /tmp/health) & {WAITS}"
    probe = {"exec": {"command": ["cat", "/tmp/health"]}, "periodSeconds": 1, "failureThreshold": 1}
    machine.apply(
        pod("sick", command=["/bin/sh", "-c", script], container={"livenessProbe": probe}), namespace=namespace
    )
    eventually(lambda: status(machine, namespace, "sick")["restartCount"], "a restart")
    told = reasons(machine, namespace, "sick")
    assert told["Unhealthy"].startswith("Liveness probe failed: cat: can't open '/tmp/health'")
    assert told["Killing"] == "Container c failed liveness probe, will be restarted"


@covers(
    "[sig-node] Probing container with readiness probe that fails should never be ready and never restart [Conformance] [NodeConformance]"
)
def test_a_failing_readiness_probe_keeps_it_out(machine: Machine, namespace: str) -> None:
    probe = {"httpGet": {"path": "/absent", "port": 8080}, "periodSeconds": 1}
    machine.apply(pod("unready", container={"readinessProbe": probe}), namespace=namespace)
    eventually(lambda: "Unhealthy" in reasons(machine, namespace, "unready"), "the probe's failure")
    assert (
        reasons(machine, namespace, "unready")["Unhealthy"]
        == "Readiness probe failed: HTTP probe failed with statuscode: 404"
    )
    now = status(machine, namespace, "unready")
    assert (now["ready"], now["restartCount"]) == (False, 0)


def test_a_crashing_container_backs_off(machine: Machine, namespace: str) -> None:
    machine.apply(pod("crasher", command=["/bin/sh", "-c", "echo out of luck; exit 1"]), namespace=namespace)

    def waits() -> object:
        state = status(machine, namespace, "crasher")["state"]
        return state.get("waiting") if state.get("waiting", {}).get("reason") == "CrashLoopBackOff" else None  # type: ignore[attr-defined]

    waiting = eventually(waits, "CrashLoopBackOff")
    uid = machine.get("-n", namespace, "pod", "crasher")["metadata"]["uid"]
    assert waiting["message"] == f"back-off 10s restarting failed container=c pod=crasher_{namespace}({uid})"
    assert "CrashLoopBackOff" in machine.kubectl("-n", namespace, "get", "pod", "crasher").stdout
    started = time.monotonic()
    machine.kubectl("-n", namespace, "delete", "pod", "crasher", "--timeout=30s")
    assert time.monotonic() - started < 30


def test_an_image_that_does_not_exist_is_said_so(machine: Machine, namespace: str) -> None:
    machine.apply(pod("absent", container={"image": "sampan.dev/absent:v9"}), namespace=namespace)
    state = eventually(lambda: status(machine, namespace, "absent")["state"].get("waiting"), "a reason")  # type: ignore[attr-defined]
    assert state["reason"] == "ErrImageNeverPull"
    assert "sampan.dev/absent:v9" in state["message"]


def test_a_missing_config_map_is_said_so_and_mended(machine: Machine, namespace: str) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    machine.apply(pod("waits", command=["/bin/sh", "-c", WAITS], container={"env": env}), namespace=namespace)
    state = eventually(
        lambda: status(machine, namespace, "waits")["state"].get("waiting", {}).get("message"), "a reason"
    )  # type: ignore[attr-defined]
    assert state == 'configmap "late" not found'
    machine.kubectl("-n", namespace, "create", "configmap", "late", "--from-literal=x=1")
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/waits", "--timeout=60s")


@covers("[sig-storage] ConfigMap updates should be reflected in volume [Conformance] [NodeConformance]")
@covers("[sig-storage] Downward API volume should update labels on modification [Conformance] [NodeConformance]")
def test_volumes_follow_their_sources(machine: Machine, namespace: str) -> None:
    machine.kubectl("-n", namespace, "create", "configmap", "live", "--from-literal=x=before")
    volumes = [
        {"name": "v", "configMap": {"name": "live"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "d", "mountPath": "/d"}]
    reader = pod("reader", command=["/bin/sh", "-c", WAITS], container={"volumeMounts": mounts}, volumes=volumes)
    machine.apply(reader, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/reader", "--timeout=60s")

    def read(path: str) -> str:
        return machine.kubectl("-n", namespace, "exec", "reader", "--", "cat", path).stdout

    assert read("/v/x") == "before"
    machine.kubectl("-n", namespace, "patch", "configmap", "live", "-p", '{"data": {"x": "after"}}')
    eventually(lambda: read("/v/x") == "after", "the new content")
    machine.kubectl("-n", namespace, "label", "pod", "reader", "extra=yes")
    eventually(lambda: 'extra="yes"' in read("/d/labels"), "the new label")


@covers("[sig-node] PreStop should call prestop when killing a pod [Conformance]")
def test_the_pre_stop_hook_runs_before_the_end(machine: Machine, namespace: str) -> None:
    # nc ends the connection when its input ends, and so does the other nc when the connection does: perhaps before
    # it has sent a word. A pipe that is open both ways has no end.
    listen = "mknod /tmp/open p; nc -l -p 8080 <>/tmp/open; echo called; "
    machine.apply(pod("listener", command=["/bin/sh", "-c", listen + WAITS]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/listener", "--timeout=60s")
    address = machine.get("-n", namespace, "pod", "listener")["status"]["podIP"]
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook | nc -w 2 {address} 8080"]}}}
    leaver = pod(
        "leaver", command=["/bin/sh", "-c", WAITS], container={"lifecycle": hook}, terminationGracePeriodSeconds=20
    )
    machine.apply(leaver, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/leaver", "--timeout=60s")
    machine.kubectl("-n", namespace, "delete", "pod", "leaver", "--timeout=30s")
    eventually(
        lambda: machine.kubectl("-n", namespace, "logs", "listener").stdout == "hook\ncalled\n", "the hook's call"
    )


@covers("[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]")
def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(machine: Machine, namespace: str) -> None:
    stubborn = pod(
        "stubborn",
        command=["/bin/sh", "-c", "trap '' TERM; while true; do sleep 1; done"],
        terminationGracePeriodSeconds=2,
    )
    machine.apply(stubborn, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/stubborn", "--timeout=60s")
    machine.kubectl("-n", namespace, "delete", "pod", "stubborn", "--wait=false")
    going = machine.get("-n", namespace, "pod", "stubborn")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 2
    machine.kubectl("-n", namespace, "wait", "--for=delete", "pod/stubborn", "--timeout=30s")


@covers(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu [Conformance]"
)
def test_limits_reach_the_cgroup(machine: Machine, namespace: str) -> None:
    amounts = {"cpu": "100m", "memory": "32Mi"}
    limited = pod(
        "limited", command=["/bin/sh", "-c", WAITS], container={"resources": {"requests": amounts, "limits": amounts}}
    )
    machine.apply(limited, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/limited", "--timeout=60s")
    assert machine.get("-n", namespace, "pod", "limited")["status"]["qosClass"] == "Guaranteed"
    read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    told = machine.kubectl("-n", namespace, "exec", "limited", "--", "sh", "-c", read).stdout
    assert int(told) == 32 << 20


@covers(
    "[sig-node] Ephemeral Containers will start an ephemeral container in an existing pod [Conformance] [NodeConformance]"
)
def test_an_ephemeral_container_joins_a_running_pod(machine: Machine, namespace: str) -> None:
    machine.apply(pod("host", command=["/bin/sh", "-c", WAITS]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/host", "--timeout=60s")
    ephemeral = {
        "name": "debug",
        "image": "sampan.dev/hello:v1",
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", "echo looked around"],
    }
    body = json.dumps({"spec": {"ephemeralContainers": [ephemeral]}})
    machine.kubectl("-n", namespace, "patch", "pod", "host", "--subresource=ephemeralcontainers", "-p", body)
    eventually(
        lambda: (
            machine.kubectl("-n", namespace, "logs", "host", "-c", "debug", check=False).stdout == "looked around\n"
        ),
        "the ephemeral container's log",
    )


@covers("[sig-storage] ConfigMap optional updates should be reflected in volume [Conformance] [NodeConformance]")
@covers("[sig-storage] Secrets optional updates should be reflected in volume [Conformance] [NodeConformance]")
@covers(
    "[sig-storage] Projected configMap optional updates should be reflected in volume [Conformance] [NodeConformance]"
)
@covers("[sig-storage] Projected secret optional updates should be reflected in volume [Conformance] [NodeConformance]")
@covers("[sig-storage] Projected configMap updates should be reflected in volume [Conformance] [NodeConformance]")
@covers("[sig-storage] Downward API volume should update annotations on modification [Conformance] [NodeConformance]")
@covers("[sig-storage] Projected downwardAPI should update annotations on modification [Conformance] [NodeConformance]")
@covers("[sig-storage] Projected downwardAPI should update labels on modification [Conformance] [NodeConformance]")
def test_volumes_follow_what_comes_changes_and_goes(machine: Machine, namespace: str) -> None:
    def source(kind: str, name: str) -> list[dict[str, object]]:
        key = "name" if kind == "configMap" else "secretName"
        plain = {"name": f"{kind}-{name}".lower(), kind: {key: name, "optional": True}}
        projected = {"projected": {"sources": [{kind: {"name": name, "optional": True}}]}}
        return [plain, {"name": f"projected-{kind}-{name}".lower(), **projected}]

    items = [{"path": part, "fieldRef": {"fieldPath": f"metadata.{part}"}} for part in ("labels", "annotations")]
    volumes: list[dict[str, object]] = [
        {"name": "downward", "downwardAPI": {"items": items}},
        {"name": "projected-downward", "projected": {"sources": [{"downwardAPI": {"items": items}}]}},
    ]
    for kind in ("configMap", "secret"):
        for name in ("leaves", "changes", "comes"):
            volumes += source(kind, name)
    for name in ("leaves", "changes"):
        machine.kubectl("-n", namespace, "create", "configmap", name, "--from-literal=x=before")
        machine.kubectl("-n", namespace, "create", "secret", "generic", name, "--from-literal=x=before")
    mounts = [{"name": each["name"], "mountPath": f"/v/{each['name']}"} for each in volumes]
    reader = pod("reader", command=["/bin/sh", "-c", WAITS], container={"volumeMounts": mounts}, volumes=volumes)
    machine.apply(reader, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/reader", "--timeout=60s")

    def read(script: str) -> str:
        return machine.kubectl("-n", namespace, "exec", "reader", "--", "sh", "-c", script).stdout

    assert read("cat /v/*-leaves/x /v/*-changes/x; ls -d /v/*-comes/x 2>/dev/null; true") == "before" * 8
    for kind, data in (("configmap", '{"data": {"x": "after"}}'), ("secret", '{"stringData": {"x": "after"}}')):
        machine.kubectl("-n", namespace, "delete", kind, "leaves")
        machine.kubectl("-n", namespace, "patch", kind, "changes", "-p", data)
    machine.kubectl("-n", namespace, "create", "configmap", "comes", "--from-literal=x=new")
    machine.kubectl("-n", namespace, "create", "secret", "generic", "comes", "--from-literal=x=new")
    machine.kubectl("-n", namespace, "label", "pod", "reader", "extra=label")
    machine.kubectl("-n", namespace, "annotate", "pod", "reader", "extra=note")
    seen = "cat /v/*-changes/x /v/*-comes/x; ls -d /v/*-leaves/x 2>/dev/null; true"
    eventually(lambda: read(seen) == "after" * 4 + "new" * 4, "what came, changed and went")
    grep = """grep -h '^extra=' /v/*downward/labels /v/*downward/annotations; true"""
    eventually(lambda: read(grep) == 'extra="label"\n' * 2 + 'extra="note"\n' * 2, "labels and annotations")


@covers(
    "[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace [Conformance] [NodeConformance]"
)
def test_a_secret_is_that_of_the_pod_s_namespace(machine: Machine, namespace: str) -> None:
    machine.kubectl("create", "namespace", f"{namespace}-other")
    for space, value in ((namespace, "ours"), (f"{namespace}-other", "theirs")):
        machine.kubectl("-n", space, "create", "secret", "generic", "namesake", f"--from-literal=x={value}")
    reader = pod(
        "reader",
        command=["cat", "/v/x"],
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "secret": {"secretName": "namesake"}}],
        restartPolicy="Never",
    )
    machine.apply(reader, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=60s")
    assert machine.kubectl("-n", namespace, "logs", "reader").stdout == "ours"
    machine.kubectl("delete", "namespace", f"{namespace}-other", "--timeout=60s")


@covers(
    "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container [Conformance] [Slow]"
)
@covers(
    "[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks [Conformance]"
)
@covers(
    "[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path [Conformance]"
)
def test_sub_paths_that_cannot_be_are_said_so(machine: Machine, namespace: str) -> None:
    annotation = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['path']"}}}
    mounts = [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)"}, {"name": "v", "mountPath": "/all"}]
    for name, path in (("ticks", ".."), ("absolute", "/tmp"), ("mended", "/tmp")):
        made = pod(
            name,
            command=["/bin/sh", "-c", WAITS],
            container={"env": [annotation], "volumeMounts": mounts, "securityContext": {"runAsUser": 0}},
            volumes=[{"name": "v", "emptyDir": {}}],
        )
        made["metadata"]["annotations"] = {"path": path}
        machine.apply(made, namespace=namespace)

    def waits(name: str) -> str:
        state = status(machine, namespace, name)["state"]
        return str(state.get("waiting", {}).get("reason"))  # type: ignore[attr-defined]

    for name in ("ticks", "absolute", "mended"):
        eventually(lambda name=name: waits(name) == "CreateContainerConfigError", "a reason")
    machine.kubectl("-n", namespace, "annotate", "--overwrite", "pod", "mended", "path=good")
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/mended", "--timeout=60s")
    machine.kubectl("-n", namespace, "exec", "mended", "--", "sh", "-c", "touch /v/f && test -f /all/good/f")
    machine.kubectl("-n", namespace, "annotate", "--overwrite", "pod", "mended", "path=later")
    assert status(machine, namespace, "mended")["ready"]
    machine.kubectl("-n", namespace, "delete", "pod", "mended", "--timeout=30s")


@covers("[sig-node] Sysctls [LinuxOnly] should reject invalid sysctls [Conformance] [NodeConformance]")
def test_sysctls_that_are_no_names_are_refused(machine: Machine, namespace: str) -> None:
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    context = {"sysctls": [{"name": name, "value": "100000000"} for name in names]}
    made = json.dumps(pod("sysctls", securityContext=context))
    refused = machine.kubectl("-n", namespace, "create", "-f", "-", given=made, check=False)
    assert refused.returncode
    for at, name in enumerate(names):
        wrong = f'spec.securityContext.sysctls[{at}].name: Invalid value: "{name}"'
        assert (wrong in refused.stderr) is (name in ("foo-", "bar..")), refused.stderr


@covers(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete [Conformance] [NodeConformance]"
)
@covers(
    "[sig-node] Containers should use the image defaults if command and args are blank [Conformance] [NodeConformance]"
)
def test_a_pod_that_always_fails_goes_and_an_image_has_its_own_command(machine: Machine, namespace: str) -> None:
    machine.apply(pod("fails", command=["/bin/false"]), pod("defaults"), namespace=namespace)
    eventually(lambda: status(machine, namespace, "fails")["restartCount"], "a restart")
    machine.kubectl("-n", namespace, "delete", "pod", "fails", "--timeout=30s")
    assert "NotFound" in machine.kubectl("-n", namespace, "get", "pod", "fails", check=False).stderr
    eventually(
        lambda: machine.kubectl("-n", namespace, "logs", "defaults", check=False).stdout.startswith(
            "listening on 8080"
        ),
        "the words of the image's own command",
    )


@covers(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly [Conformance] [NodeConformance]"
)
@covers(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly [Conformance] [NodeConformance]"
)
@covers(
    "[sig-node] Probing container should be restarted with a /healthz http liveness probe [Conformance] [NodeConformance]"
)
def test_http_hooks_are_called_and_http_probes_restart(machine: Machine, namespace: str) -> None:
    # A hook whose answer is 404 has failed: what it asks for is there.
    serve = "mkdir /tmp/w; echo > /tmp/w/postStart; echo > /tmp/w/preStop; httpd -f -vv -p 8080 -h /tmp/w 2>&1 & "
    machine.apply(pod("listener", command=["/bin/sh", "-c", serve + WAITS]), namespace=namespace)
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"mkdir /tmp/w; echo > /tmp/w/healthz; httpd -p 8080 -h /tmp/w; {WAITS}"
    probes = {"livenessProbe": probe, "startupProbe": {**probe, "failureThreshold": 30}}
    sick = pod("sick", command=["/bin/sh", "-c", script], container=probes)
    machine.apply(sick, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/listener", "--timeout=60s")
    address = machine.get("-n", namespace, "pod", "listener")["status"]["podIP"]
    hooks = {
        hook: {"httpGet": {"host": address, "port": 8080, "path": f"/{hook}"}} for hook in ("postStart", "preStop")
    }
    leaver = pod("leaver", command=["/bin/sh", "-c", WAITS], container={"lifecycle": hooks})
    machine.apply(leaver, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/leaver", "--timeout=60s")

    def called() -> str:
        return machine.kubectl("-n", namespace, "logs", "listener").stdout

    eventually(lambda: "url:/postStart" in called(), "the call of the hook after the start")
    assert "url:/preStop" not in called(), called()
    machine.kubectl("-n", namespace, "delete", "pod", "leaver", "--timeout=30s")
    eventually(lambda: "url:/preStop" in called(), "the call of the hook before the end")
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/sick", "--timeout=60s")
    assert status(machine, namespace, "sick")["restartCount"] == 0
    machine.kubectl("-n", namespace, "exec", "sick", "--", "rm", "/tmp/w/healthz")
    eventually(lambda: status(machine, namespace, "sick")["restartCount"], "a restart")
    assert reasons(machine, namespace, "sick")["Killing"] == "Container c failed liveness probe, will be restarted"


@covers(
    "[sig-node] Probing container should *not* be restarted with a /healthz http liveness probe [Conformance] [NodeConformance]"
)
@covers(
    '[sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe [Conformance] [NodeConformance]'
)
def test_containers_whose_probes_are_answered_go_on(machine: Machine, namespace: str) -> None:
    # The asked count how often: many answers and no restart.
    serve = "mkdir /tmp/w; echo > /tmp/w/healthz; httpd -f -v -p 8080 -h /tmp/w 2>/tmp/asked & "
    often = {"periodSeconds": 1, "failureThreshold": 1}
    http = {"httpGet": {"path": "/healthz", "port": 8080}, **often}
    started = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 30}
    told = {"exec": {"command": ["sh", "-c", "cat /tmp/health && echo response:200 >> /tmp/asked"]}, **often}
    well = pod(
        "http", command=["/bin/sh", "-c", serve + WAITS], container={"livenessProbe": http, "startupProbe": started}
    )
    machine.apply(
        well,
        pod("exec", command=["/bin/sh", "-c", f"echo ok > /tmp/health; {WAITS}"], container={"livenessProbe": told}),
        namespace=namespace,
    )
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/http", "pod/exec", "--timeout=60s")
    for name in ("http", "exec"):
        count = ("-n", namespace, "exec", name, "--", "grep", "-c", "response:200", "/tmp/asked")
        eventually(lambda count=count: int(machine.kubectl(*count, check=False).stdout or 0) >= 4, "four answers")
        assert status(machine, namespace, name)["restartCount"] == 0


@covers("[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [Conformance] [NodeConformance]")
def test_the_kubelet_writes_hosts_unless_the_pod_or_its_network_has_its_own(machine: Machine, namespace: str) -> None:
    own = {"name": "own", "hostPath": {"path": "/etc/hosts", "type": "File"}}
    for name, host in (("inside", False), ("outside", True)):
        made = pod(name, command=["/bin/sh", "-c", WAITS], hostNetwork=host, volumes=[own])
        (first,) = made["spec"]["containers"]
        mounts = {"volumeMounts": [{"name": "own", "mountPath": "/etc/hosts"}]}
        made["spec"]["containers"] = [first, {**first, "name": "d"}, {**first, "name": "mounts", **mounts}]
        machine.apply(made, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/inside", "pod/outside", "--timeout=60s")

    def managed(name: str, container: str) -> bool:
        command = ("-n", namespace, "exec", name, "-c", container, "--", "cat", "/etc/hosts")
        return "# Kubernetes-managed hosts file." in machine.kubectl(*command).stdout

    assert [managed("inside", each) for each in ("c", "d", "mounts")] == [True, True, False]
    assert [managed("outside", each) for each in ("c", "d")] == [False, False]


@covers(
    "[sig-node] Ephemeral Containers should update the ephemeral containers in an existing pod [Conformance] [NodeConformance]"
)
def test_ephemeral_containers_are_added_one_after_the_other(machine: Machine, namespace: str) -> None:
    machine.apply(pod("host", command=["/bin/sh", "-c", WAITS]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/host", "--timeout=60s")
    made = {
        "image": "sampan.dev/hello:v1",
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", f"echo here; {WAITS}"],
    }
    update = ("-n", namespace, "replace", "--subresource=ephemeralcontainers", "-f", "-")

    def running() -> list[str]:
        found = machine.get("-n", namespace, "pod", "host")["status"].get("ephemeralContainerStatuses", ())
        return [each["name"] for each in found if "running" in each["state"]]

    patch = json.dumps({"spec": {"ephemeralContainers": [{"name": "first", **made}]}})
    machine.kubectl("-n", namespace, "patch", "pod", "host", "--subresource=ephemeralcontainers", "-p", patch)
    eventually(lambda: running() == ["first"], "the first runs")
    now = machine.get("-n", namespace, "pod", "host")
    now["spec"]["ephemeralContainers"].append({"name": "second", **made})
    now["metadata"].pop("resourceVersion")
    machine.kubectl(*update, given=json.dumps(now))
    eventually(lambda: running() == ["first", "second"], "both run")
    after = machine.get("-n", namespace, "pod", "host")["spec"]["ephemeralContainers"]
    assert [each["name"] for each in after] == ["first", "second"]

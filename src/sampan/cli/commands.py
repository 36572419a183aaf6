"""The commands in the order in which help lists them. A new command is one module and one line here."""

from __future__ import annotations

from typing import NamedTuple

CLUSTER = "Cluster"
APPS = "Applications"
OBJECTS = "Objects"
PODS = "Pods"
SERVER = "Nodes and server"
HIDDEN = ""
"""Commands that other programs call; help does not list them."""
GROUPS = (CLUSTER, APPS, OBJECTS, PODS, SERVER)
VERBS = "sampan.cli.kubectl.verbs"


class Command(NamedTuple):
    """`module` exports `configure(parser)` and `run(options, context) -> int` (the exit code), async or not."""

    name: str
    help: str
    group: str
    module: str
    aliases: tuple[str, ...] = ()


COMMANDS: tuple[Command, ...] = (
    Command("up", "start the cluster, or say that it runs", CLUSTER, "sampan.cli.up"),
    Command("down", "stop the cluster; --purge forgets its state too", CLUSTER, "sampan.cli.down"),
    Command("status", "what runs, since when, and what it costs", CLUSTER, "sampan.cli.status"),
    Command("trust", "let this machine believe the certificates of published hosts", CLUSTER, "sampan.cli.trust"),
    Command("doctor", "what this machine lacks, and the command that mends it", CLUSTER, "sampan.cli.doctor"),
    Command("console", "the web console's address, and a token to sign in with", CLUSTER, "sampan.cli.console"),
    Command("image", "load, list and remove images of the node", CLUSTER, "sampan.cli.image"),
    Command("deploy", "from a folder or an image to a published application", APPS, "sampan.cli.deploy"),
    Command("pipeline", "runs of an app's pipeline: stages, logs, artifacts", APPS, "sampan.cli.pipeline"),
    Command("why", "what is wrong with an app or a pod, and what to do next", APPS, "sampan.cli.why"),
    Command("releases", "what an app was, release by release", APPS, "sampan.cli.releases"),
    Command("rollback", "an app as it was in an older release", APPS, "sampan.cli.rollback"),
    Command("export", "the plain Kubernetes objects that an app stands for", APPS, "sampan.cli.export"),
    Command("remote", "`git push sampan main` deploys the current folder's repository", APPS, "sampan.cli.remote"),
    Command("webhook", "GitHub, GitLab or Gitea tell the cluster of pushes", APPS, "sampan.cli.webhook"),
    Command("trace", "the call chain of a request, and which service calls which", APPS, "sampan.cli.trace"),
    Command("instrument", "OpenTelemetry's packages for programs that are traced", APPS, "sampan.cli.instrument"),
    Command("metrics", "the figures that pods show to Prometheus", APPS, "sampan.cli.metrics"),
    Command("get", "show objects in tables, or whole", OBJECTS, f"{VERBS}.get"),
    Command("describe", "show an object for people, with its events", OBJECTS, f"{VERBS}.describe"),
    Command("apply", "bring objects to what manifests say", OBJECTS, f"{VERBS}.apply"),
    Command("create", "create objects from manifests or flags", OBJECTS, f"{VERBS}.create"),
    Command("delete", "delete objects, and wait until they are gone", OBJECTS, f"{VERBS}.delete"),
    Command("edit", "change an object in the editor", OBJECTS, f"{VERBS}.edit"),
    Command("patch", "change fields of an object", OBJECTS, f"{VERBS}.patch"),
    Command("replace", "replace objects by what manifests say", OBJECTS, f"{VERBS}.replace"),
    Command("label", "set and remove labels", OBJECTS, f"{VERBS}.label"),
    Command("annotate", "set and remove annotations", OBJECTS, f"{VERBS}.annotate"),
    Command("scale", "set the number of replicas", OBJECTS, f"{VERBS}.scale"),
    Command("rollout", "follow, restart, undo rollouts", OBJECTS, f"{VERBS}.rollout"),
    Command("wait", "wait for a condition of objects", OBJECTS, f"{VERBS}.wait"),
    Command("run", "one pod from an image", OBJECTS, f"{VERBS}.run"),
    Command("expose", "a service in front of a workload", OBJECTS, f"{VERBS}.expose"),
    Command("set", "image, environment and resources of containers", OBJECTS, f"{VERBS}.set"),
    Command("autoscale", "an autoscaler for a workload", OBJECTS, f"{VERBS}.autoscale"),
    Command("events", "what happened, in order", OBJECTS, f"{VERBS}.events"),
    Command("explain", "what the fields of a kind mean", OBJECTS, f"{VERBS}.explain"),
    Command("logs", "what containers have written", PODS, f"{VERBS}.logs"),
    Command("top", "what pods, containers and nodes use", PODS, f"{VERBS}.top"),
    Command("exec", "run a command in a container", PODS, f"{VERBS}.exec"),
    Command("attach", "this terminal, on a container that runs", PODS, f"{VERBS}.attach"),
    Command("port-forward", "local ports that lead to ports of a pod", PODS, f"{VERBS}.port_forward"),
    Command("cp", "files to and from containers", PODS, f"{VERBS}.cp"),
    Command("cordon", "let a node take no new pods", SERVER, f"{VERBS}.cordon"),
    Command("uncordon", "let a node take pods again", SERVER, f"{VERBS}.cordon"),
    Command("drain", "move all pods off a node", SERVER, f"{VERBS}.drain"),
    Command("taint", "set and remove taints of nodes", SERVER, f"{VERBS}.taint"),
    Command("cluster-info", "where the server is", SERVER, f"{VERBS}.cluster_info"),
    Command("api-versions", "the groups and versions that the server serves", SERVER, f"{VERBS}.api_versions"),
    Command("api-resources", "everything that the server serves", SERVER, f"{VERBS}.api_resources"),
    Command("auth", "what somebody may do, and who we are", SERVER, f"{VERBS}.auth"),
    Command("config", "contexts, clusters and users of the kubeconfig", SERVER, f"{VERBS}.config"),
    Command("version", "of this program and of the server", SERVER, f"{VERBS}.version"),
    Command("git-credential", "gives git the kubeconfig's token", HIDDEN, "sampan.cli.git_credential"),
)

"""`sampan create role`, its bindings, and ingress: objects whose flags name other objects."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError

Document = dict[str, Any]


def _named(options: argparse.Namespace, version: str, kind: str, **more: Any) -> Document:
    if len(options.args) != 1:
        raise CommandError(f"error: exactly one NAME is required, got {len(options.args)}")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": options.args[0]}, **more}


def _many(values: list[str]) -> list[str]:
    return [part for value in values for part in value.split(",") if part]


def role_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--verb", dest="verbs", action="append", default=[], metavar="VERB,...")
    add("--resource", action="append", default=[], metavar="RESOURCE[.GROUP][/SUBRESOURCE],...")
    add("--resource-name", action="append", default=[], metavar="NAME,...")


def clusterrole_flags(parser: argparse.ArgumentParser) -> None:
    role_flags(parser)
    parser.add_argument("--non-resource-url", action="append", default=[], metavar="PATH,...")
    parser.add_argument("--aggregation-rule", default="", metavar="KEY=VALUE,...")


def _rules(options: argparse.Namespace) -> list[Document]:
    verbs = list(dict.fromkeys(_many(options.verbs)))
    if not verbs:
        raise CommandError("error: at least one verb must be specified")
    by_group: dict[str, list[str]] = {}
    for text in _many(options.resource):
        resource, _, part = text.partition("/")
        plural, _, group = resource.partition(".")
        by_group.setdefault(group, []).append(f"{plural}/{part}" if part else plural)
    names = _many(options.resource_name)
    rules: list[Document] = [
        {"verbs": verbs, "apiGroups": [group], "resources": resources, **({"resourceNames": names} if names else {})}
        for group, resources in by_group.items()
    ]
    urls = _many(getattr(options, "non_resource_url", []))
    if urls:
        rules.append({"verbs": verbs, "nonResourceURLs": urls})
    if not rules:
        raise CommandError("error: at least one resource must be specified")
    return rules


def role(options: argparse.Namespace) -> Document:
    return _named(options, "rbac.authorization.k8s.io/v1", "Role", rules=_rules(options))


def clusterrole(options: argparse.Namespace) -> Document:
    if options.aggregation_rule:
        labels = dict(pair.split("=", 1) for pair in options.aggregation_rule.split(","))
        rule = {"clusterRoleSelectors": [{"matchLabels": labels}]}
        return _named(options, "rbac.authorization.k8s.io/v1", "ClusterRole", aggregationRule=rule, rules=[])
    return _named(options, "rbac.authorization.k8s.io/v1", "ClusterRole", rules=_rules(options))


def binding_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--clusterrole", default="", metavar="NAME")
    add("--role", default="", metavar="NAME")
    add("--subject-user", "--bind-user", dest="users", action="append", default=[], help=argparse.SUPPRESS)
    add("--group", dest="groups", action="append", default=[], metavar="GROUP")
    add("--serviceaccount", dest="accounts", action="append", default=[], metavar="NAMESPACE:NAME")


def _subjects(options: argparse.Namespace) -> list[Document]:
    """Here --user is whom the binding is for, as in kubectl."""
    group = "rbac.authorization.k8s.io"
    users = [*_many(options.users), *([options.user] if options.user else [])]
    found: list[Document] = [{"kind": "User", "apiGroup": group, "name": user} for user in users]
    found += [{"kind": "Group", "apiGroup": group, "name": each} for each in _many(options.groups)]
    for account in _many(options.accounts):
        namespace, colon, name = account.partition(":")
        if not colon or not name or not namespace:
            raise CommandError("error: serviceaccount must be <namespace>:<name>")
        found.append({"kind": "ServiceAccount", "namespace": namespace, "name": name})
    options.user = None
    return found


def _reference(options: argparse.Namespace) -> Document:
    if bool(options.clusterrole) == bool(options.role):
        raise CommandError("error: exactly one of clusterrole or role must be specified")
    kind = "ClusterRole" if options.clusterrole else "Role"
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": options.clusterrole or options.role}


def rolebinding(options: argparse.Namespace) -> Document:
    version = "rbac.authorization.k8s.io/v1"
    return _named(options, version, "RoleBinding", subjects=_subjects(options), roleRef=_reference(options))


def clusterrolebinding(options: argparse.Namespace) -> Document:
    if not options.clusterrole:
        raise CommandError('error: required flag(s) "clusterrole" not set')
    version = "rbac.authorization.k8s.io/v1"
    return _named(options, version, "ClusterRoleBinding", subjects=_subjects(options), roleRef=_reference(options))


def ingress_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rule", action="append", default=[], metavar="HOST/PATH=SERVICE:PORT[,tls[=SECRET]]")
    add("--class", dest="class_", default="", metavar="NAME")
    add("--default-backend", default="", metavar="SERVICE:PORT")
    add("--annotation", action="append", default=[], metavar="KEY=VALUE")


def ingress(options: argparse.Namespace) -> Document:
    spec: Document = {}
    rules: dict[str, list[Document]] = {}
    tls: dict[str, list[str]] = {}
    for text in options.rule:
        route, _, rest = text.partition("=")
        backend, _, secret = rest.partition(",")
        host, slash, path = route.partition("/")
        kind = "Prefix" if path.endswith("*") else "Exact"
        rules.setdefault(host, []).append(
            {"path": slash + path.rstrip("*"), "pathType": kind, "backend": _backend(backend)}
        )
        if secret.startswith("tls"):
            tls.setdefault(secret.partition("=")[2], []).append(host)
    if rules:
        spec["rules"] = [
            {**({"host": host} if host else {}), "http": {"paths": paths}} for host, paths in rules.items()
        ]
    if tls:
        spec["tls"] = [
            {"hosts": [h for h in hosts if h], **({"secretName": secret} if secret else {})}
            for secret, hosts in tls.items()
        ]
    if options.class_:
        spec["ingressClassName"] = options.class_
    if options.default_backend:
        spec["defaultBackend"] = _backend(options.default_backend)
    document = _named(options, "networking.k8s.io/v1", "Ingress", spec=spec, status={"loadBalancer": {}})
    if options.annotation:
        document["metadata"]["annotations"] = dict(pair.split("=", 1) for pair in options.annotation)
    return document


def _backend(text: str) -> Document:
    service, colon, port = text.partition(":")
    if not colon or not service or not port:
        raise CommandError(f"error: {text!r} must be SERVICE:PORT")
    return {"service": {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}

"""`sampan auth`: what somebody may do, and who we are."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.session import Session, connect

EXAMPLES = """\
examples:
  sampan auth can-i create deployments
  sampan auth can-i get pods/log -n staging --as=alice
  sampan auth whoami"""


def _can_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.all_namespaces(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say it with the exit code alone")
    parser.add_argument("--list", action="store_true", help="everything that is allowed")
    parser.add_argument("--no-headers", action="store_true", help="with --list: leave out the headers")
    parser.add_argument("--subresource", default="", metavar="NAME", help="a part of the objects")


def _who_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.output(parser)


MEMBERS = {"can-i": _can_flags, "whoami": _who_flags}


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up_group(parser, MEMBERS)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        if options.member == "whoami":
            return await _who(session)
        return await (_list(session) if options.list else _can(session))


async def _can(session: Session) -> int:
    options = session.options
    if len(options.args) not in (2, 3):
        raise CommandError("error: you must specify two arguments: verb resource or verb resource/resourceName.")
    verb, what, *rest = options.args
    spec: dict[str, Any]
    if what.startswith("/"):
        spec = {"nonResourceAttributes": {"path": what, "verb": verb}}
    else:
        spec = {"resourceAttributes": await _attributes(session, verb, what, rest[0] if rest else "")}
    answer = await session.write(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec},
    )
    status = answer.get("status") or {}
    if not options.quiet:
        word = "yes" if status.get("allowed") else "no"
        reason = f" - {status['reason']}" if status.get("reason") and not status.get("allowed") else ""
        session.context.out(word + reason)
    return 0 if status.get("allowed") else 1


async def _attributes(session: Session, verb: str, what: str, name: str) -> dict[str, str]:
    resource, slash, part = what.partition("/")
    known = await session.resources()
    try:
        found = known.find(resource)
        group, plural, version = found.group, found.plural, found.version
        namespaced = found.namespaced
    except CommandError:
        plural, _, group = resource.partition(".")
        version, namespaced = "*", True
        if resource != "*":
            session.context.err(f"Warning: the server doesn't have a resource type '{resource}'\n")
    attributes = {"verb": verb, "group": group, "resource": plural, "version": version}
    if slash and not name and not session.options.subresource:
        # A slash names an object, as everywhere; what is a part of all objects has a flag of its own.
        parts = next((r.subresources for r in known if r.plural == plural and r.group == group), ())
        attributes["subresource" if part in parts else "name"] = part
    if name:
        attributes["name"] = name
    if session.options.subresource:
        attributes["subresource"] = session.options.subresource
    if namespaced and not session.options.all_namespaces:
        attributes["namespace"] = session.namespace
    return attributes


async def _list(session: Session) -> int:
    answer = await session.write(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": session.namespace},
        },
    )
    status = answer.get("status") or {}
    rows = [] if session.options.no_headers else [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    for rule in status.get("resourceRules") or ():
        names, verbs = " ".join(rule.get("resourceNames") or ()), " ".join(rule["verbs"])
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                shown = f"{resource}.{group}" if group else resource
                rows.append([shown, "[]", f"[{names}]", f"[{verbs}]"])
    for rule in status.get("nonResourceRules") or ():
        rows.append(["", f"[{' '.join(rule.get('nonResourceURLs') or ())}]", "[]", f"[{' '.join(rule['verbs'])}]"])
    for line in Columns().lines(rows):
        session.context.out(line)
    return 0


async def _who(session: Session) -> int:
    from sampan.cli.kubectl.printing import choose

    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await session.write("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    printer = choose.printer(session.options)
    if printer is not None:
        session.context.stdout.write(printer(answer))
        return 0
    user = (answer.get("status") or {}).get("userInfo") or {}
    rows = [["ATTRIBUTE", "VALUE"]]
    for title, key in (("Username", "username"), ("UID", "uid")):
        if user.get(key):
            rows.append([title, user[key]])
    if user.get("groups"):
        rows.append(["Groups", f"[{' '.join(user['groups'])}]"])
    for key, values in (user.get("extra") or {}).items():
        rows.append([f"Extra: {key}", f"[{' '.join(values)}]"])
    for line in Columns().lines(rows):
        session.context.out(line)
    return 0

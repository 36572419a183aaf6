"""`sampan config`: the kubeconfig file: contexts, clusters, users."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sampan.cli import kubeconfig
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config, flags
from sampan.cli.kubectl.printing.table import Columns

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan config get-contexts
  sampan config use-context sampan
  sampan config set-context --current --namespace=staging
  sampan config view --minify --raw"""

HIDDEN = ("client-certificate-data", "client-key-data", "token", "password", "certificate-authority-data")


def _view_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.output(parser, "yaml (default), json, jsonpath=...")
    parser.add_argument("--raw", action="store_true", help="show certificates and secrets, too")
    parser.add_argument("--minify", action="store_true", help="only what the current context uses")
    parser.add_argument("--flatten", action="store_true", help="put files into the document")
    parser.add_argument("--merge", action="store_true", default=True, help=argparse.SUPPRESS)


def _contexts_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument("-o", "--output", default="", metavar="name", help="names alone")
    parser.add_argument("--no-headers", action="store_true", help="leave out the headers")


def _set_context_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument("--current", action="store_true", help="change the current context")


def _set_cluster_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument("--embed-certs", action="store_true", help="put the certificates into the file")


def _set_credentials_flags(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument("--embed-certs", action="store_true", help="put the certificates into the file")
    parser.add_argument("--username", default="", metavar="NAME")
    parser.add_argument("--password", default="", metavar="PASSWORD")


def _plain(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)


MEMBERS: dict[str, flags.Configure] = {
    "view": _view_flags,
    "current-context": _plain,
    "get-contexts": _contexts_flags,
    "get-clusters": _plain,
    "get-users": _plain,
    "use-context": _plain,
    "use": _plain,
    "rename-context": _plain,
    "set-context": _set_context_flags,
    "set-cluster": _set_cluster_flags,
    "set-credentials": _set_credentials_flags,
    "set": _plain,
    "unset": _plain,
    "delete-context": _plain,
    "delete-cluster": _plain,
    "delete-user": _plain,
}


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up_group(parser, MEMBERS)


def run(options: argparse.Namespace, context: Context) -> int:
    return _ACTIONS[options.member](options, context)


def _merged(options: argparse.Namespace, context: Context) -> Document:
    return config.load(config.paths(options, context.environ), must_exist=bool(options.kubeconfig))


def _path(options: argparse.Namespace, context: Context) -> Path:
    return Path(options.kubeconfig) if options.kubeconfig else kubeconfig.default_path(context.environ)


def _save(options: argparse.Namespace, context: Context, document: Document) -> None:
    kubeconfig.write(_path(options, context), document, kubeconfig.owner(context.environ))


def _name(options: argparse.Namespace, number: int = 1) -> str:
    if len(options.args) != number:
        raise CommandError(f"error: {options.verb}: {number} argument(s) expected, {len(options.args)} given")
    return str(options.args[0])


# --- looking ---


def _view(options: argparse.Namespace, context: Context) -> int:
    from sampan.cli.kubectl.printing import choose

    merged = _merged(options, context)
    document = {"apiVersion": "v1", "kind": "Config", **merged}
    if options.minify:
        document = _minified(document, options.context or document["current-context"])
    if options.flatten:
        document = _flattened(document)
    if not options.raw:
        document = _hidden(document)
    options.output = options.output or "yaml"
    printer = choose.printer(options)
    assert printer is not None
    context.stdout.write(printer(document))
    return 0


def _minified(document: Document, name: str) -> Document:
    chosen = config.named(document, "contexts", name)
    if chosen is None:
        raise CommandError(f'error: cannot locate context "{name}"')
    wanted = {"contexts": name, "clusters": chosen.get("cluster"), "users": chosen.get("user")}
    parts = {s: [e for e in document[s] if e["name"] == wanted[s]] for s in ("clusters", "contexts", "users")}
    return {**document, **parts, "current-context": name}


def _hidden(document: Document) -> Document:
    made = {**document}
    for section in ("clusters", "users"):
        part = section.removesuffix("s")
        made[section] = [
            {**entry, part: {key: _mask(key, value) for key, value in (entry.get(part) or {}).items()}}
            for entry in document[section]
        ]
    return made


def _mask(key: str, value: Any) -> Any:
    if key not in HIDDEN or not value:
        return value
    return (
        "DATA+OMITTED"
        if key in ("certificate-authority-data", "client-certificate-data", "client-key-data")
        else "REDACTED"
    )


def _flattened(document: Document) -> Document:
    made = {**document}
    for section in ("clusters", "users"):
        part = section.removesuffix("s")
        made[section] = [{**entry, part: _embedded(entry.get(part) or {})} for entry in document[section]]
    return made


def _embedded(values: Document) -> Document:
    made = dict(values)
    for name in ("certificate-authority", "client-certificate", "client-key"):
        path = made.pop(name, None)
        if path:
            made[f"{name}-data"] = base64.b64encode(Path(path).read_bytes()).decode()
    return made


def _current(options: argparse.Namespace, context: Context) -> int:
    name = _merged(options, context)["current-context"]
    if not name:
        raise CommandError("error: current-context is not set")
    context.out(name)
    return 0


def _contexts(options: argparse.Namespace, context: Context) -> int:
    document = _merged(options, context)
    chosen = [e for e in document["contexts"] if not options.args or e["name"] in options.args]
    missing = [name for name in options.args if config.named(document, "contexts", name) is None]
    if missing:
        raise CommandError(f"error: context {missing[0]} not found")
    chosen.sort(key=lambda entry: entry["name"])
    if options.output == "name":
        for entry in chosen:
            context.out(entry["name"])
        return 0
    rows = [] if options.no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for entry in chosen:
        values = entry.get("context") or {}
        mark = "*" if entry["name"] == document["current-context"] else ""
        rows.append([mark, entry["name"], *(values.get(field) or "" for field in ("cluster", "user", "namespace"))])
    for line in Columns().lines(rows):
        context.out(line)
    return 0


def _listing(section: str) -> Callable[[argparse.Namespace, Context], int]:
    def run(options: argparse.Namespace, context: Context) -> int:
        context.out("NAME")
        for entry in sorted(_merged(options, context)[section], key=lambda entry: entry["name"]):
            context.out(entry["name"])
        return 0

    return run


# --- changing ---


def _use(options: argparse.Namespace, context: Context) -> int:
    name = _name(options)
    if config.named(_merged(options, context), "contexts", name) is None:
        raise CommandError(f'error: no context exists with the name: "{name}"')
    document = kubeconfig.read(_path(options, context))
    document["current-context"] = name
    _save(options, context, document)
    context.out(f'Switched to context "{name}".')
    return 0


def _rename(options: argparse.Namespace, context: Context) -> int:
    _name(options, 2)
    old, new = options.args
    document = kubeconfig.read(_path(options, context))
    values = kubeconfig.find(document, "contexts", old)
    if values is None:
        raise CommandError(f'error: cannot rename the context "{old}", it\'s not in {_path(options, context)}')
    if kubeconfig.find(document, "contexts", new) is not None:
        raise CommandError(
            f'error: cannot rename the context "{old}", the context "{new}" already exists in {_path(options, context)}'
        )
    kubeconfig.drop(document, "contexts", old)
    kubeconfig.put(document, "contexts", new, values)
    if document["current-context"] == old:
        document["current-context"] = new
    _save(options, context, document)
    context.out(f'Context "{old}" renamed to "{new}".')
    return 0


def _put(section: str, title: str, values: Callable[[argparse.Namespace], Document]) -> Callable[..., int]:
    def run(options: argparse.Namespace, context: Context) -> int:
        document = kubeconfig.read(_path(options, context))
        name = document["current-context"] if getattr(options, "current", False) else _name(options)
        if not name:
            raise CommandError("error: no current context is set")
        old = kubeconfig.find(document, section, name)
        kubeconfig.put(document, section, name, {**(old or {}), **values(options)})
        _save(options, context, document)
        done = "set" if section != "contexts" else "modified" if old is not None else "created"
        context.out(f'{title} "{name}" {done}.')
        return 0

    return run


def _context_values(options: argparse.Namespace) -> Document:
    found = {"cluster": options.cluster, "user": options.user, "namespace": options.namespace}
    return {key: value for key, value in found.items() if value}


def _cluster_values(options: argparse.Namespace) -> Document:
    found: Document = {"server": options.server, "tls-server-name": options.tls_server_name}
    if "insecure_skip_tls_verify" in options.given:
        found["insecure-skip-tls-verify"] = options.insecure_skip_tls_verify
    found |= _files({"certificate-authority": options.certificate_authority}, embed=options.embed_certs)
    return {key: value for key, value in found.items() if value}


def _user_values(options: argparse.Namespace) -> Document:
    found: Document = {"token": options.token, "username": options.username, "password": options.password}
    paths = {"client-certificate": options.client_certificate, "client-key": options.client_key}
    found |= _files(paths, embed=options.embed_certs)
    return {key: value for key, value in found.items() if value}


def _files(paths: Document, *, embed: bool) -> Document:
    made: Document = {}
    for name, path in paths.items():
        if path and embed:
            made[f"{name}-data"] = base64.b64encode(Path(path).read_bytes()).decode()
        elif path:
            made[name] = str(Path(path).absolute())
    return made


def _set(options: argparse.Namespace, context: Context) -> int:
    _name(options, 2)
    steps, value = options.args[0].split("."), options.args[1]
    document = kubeconfig.read(_path(options, context))
    if steps[0] in ("clusters", "users", "contexts") and len(steps) == 3:
        old = kubeconfig.find(document, steps[0], steps[1]) or {}
        kubeconfig.put(document, steps[0], steps[1], {**old, steps[2]: value})
    elif len(steps) == 1:
        document[steps[0]] = value
    else:
        raise CommandError(f"error: property {options.args[0]!r} cannot be set")
    _save(options, context, document)
    context.out(f'Property "{options.args[0]}" set.')
    return 0


def _unset(options: argparse.Namespace, context: Context) -> int:
    path = _name(options)
    steps = path.split(".")
    document = kubeconfig.read(_path(options, context))
    if steps[0] in ("clusters", "users", "contexts") and len(steps) > 1:
        if len(steps) == 2:
            kubeconfig.drop(document, steps[0], steps[1])
        else:
            (kubeconfig.find(document, steps[0], steps[1]) or {}).pop(steps[2], None)
    elif steps[0] in document:
        document[steps[0]] = [] if isinstance(document[steps[0]], list) else ""
    _save(options, context, document)
    context.out(f'Property "{path}" unset.')
    return 0


def _delete(section: str, words: str) -> Callable[[argparse.Namespace, Context], int]:
    def run(options: argparse.Namespace, context: Context) -> int:
        name, path = _name(options), _path(options, context)
        document = kubeconfig.read(path)
        if kubeconfig.find(document, section, name) is None:
            raise CommandError(f"error: cannot delete {words} {name}, not in {path}")
        if section == "contexts" and document["current-context"] == name:
            context.err(
                'warning: this removed your active context, use "sampan config use-context" to select a different one'
            )
        kubeconfig.drop(document, section, name)
        _save(options, context, document)
        context.out(f"deleted {words} {name} from {path}")
        return 0

    return run


_ACTIONS: dict[str, Callable[[argparse.Namespace, Context], int]] = {
    "view": _view,
    "current-context": _current,
    "get-contexts": _contexts,
    "get-clusters": _listing("clusters"),
    "get-users": _listing("users"),
    "use-context": _use,
    "use": _use,
    "rename-context": _rename,
    "set-context": _put("contexts", "Context", _context_values),
    "set-cluster": _put("clusters", "Cluster", _cluster_values),
    "set-credentials": _put("users", "User", _user_values),
    "set": _set,
    "unset": _unset,
    "delete-context": _delete("contexts", "context"),
    "delete-cluster": _delete("clusters", "cluster"),
    "delete-user": _delete("users", "user"),
}

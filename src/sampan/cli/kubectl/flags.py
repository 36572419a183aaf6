"""Flags as kubectl reads them (pflag): anywhere on the line, `--flag=false`, and `--` before a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sampan.cli.context import CommandError

Configure = Callable[[argparse.ArgumentParser], None]


def set_up(parser: argparse.ArgumentParser, *, rest: bool = False) -> None:
    """Make the parser read like pflag and give it the flags of every verb.

    Arguments end up in `options.args`; with `rest` those after `--` are apart, in `options.rest`, None without `--`.
    """
    parser.allow_abbrev = False
    parser.set_defaults(verb=parser.prog.partition(" ")[2])
    parser.add_argument("args", nargs="*", help=argparse.SUPPRESS)
    connection(parser)
    _override(parser, lambda argv: _parse(parser, argv, rest=rest))


def set_up_group(parser: argparse.ArgumentParser, members: Mapping[str, Configure]) -> None:
    """A verb whose first argument says which of `members` is meant; `options.member` is its name."""
    parser.allow_abbrev = False
    parser.add_argument("member", metavar="|".join(members), help=argparse.SUPPRESS)
    parser.usage = f"{parser.prog} {{{','.join(members)}}} ..."

    def parse(argv: Sequence[str]) -> argparse.Namespace:
        at = next((i for i, word in enumerate(argv) if word in members), None)
        if at is None:
            if not argv or argv[0] in ("-h", "--help"):
                parser.print_help()
                raise SystemExit(0)
            raise usage_error(parser, f'unknown command "{argv[0]}" for "{parser.prog}"')
        name = argv[at]
        inner = argparse.ArgumentParser(
            prog=f"{parser.prog} {name}", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        members[name](inner)
        options = inner.parse_args([*argv[:at], *argv[at + 1 :]])
        options.member = name
        return options

    _override(parser, parse)


def connection(parser: argparse.ArgumentParser) -> None:
    """The flags that say which cluster, who and where."""
    group = parser.add_argument_group("connection")
    add = group.add_argument
    add("-n", "--namespace", metavar="NAME", help="the namespace of this request")
    add("--context", metavar="NAME", help="the kubeconfig context to use")
    add("--cluster", metavar="NAME", help="the kubeconfig cluster to use")
    add("--user", metavar="NAME", help="the kubeconfig user to use")
    add("--kubeconfig", metavar="FILE", help="the kubeconfig file to use")
    add("-s", "--server", metavar="URL", help="address of the API server")
    add("--token", metavar="TOKEN", help="bearer token to authenticate with")
    add("--as", dest="as_", metavar="USER", help="user to impersonate")
    add("--as-group", action="append", default=[], metavar="GROUP", help="group to impersonate; may be given again")
    add("--as-uid", metavar="UID", help="uid to impersonate")
    add("--certificate-authority", metavar="FILE", help="certificate of the authority to trust")
    add("--client-certificate", metavar="FILE", help="client certificate")
    add("--client-key", metavar="FILE", help="client key")
    add("--tls-server-name", metavar="NAME", help="name to expect in the server's certificate")
    add("--insecure-skip-tls-verify", action="store_true", help="do not check the server's certificate")
    add("--request-timeout", default="0", metavar="TIME", help="how long to wait for one answer; 0 for ever")
    add("-v", "--v", default="0", metavar="LEVEL", help=argparse.SUPPRESS)


def output(parser: argparse.ArgumentParser, formats: str = "json|yaml|name|jsonpath=...|go-template=...") -> None:
    parser.add_argument("-o", "--output", default="", metavar="FORMAT", help=formats)
    parser.add_argument("--template", default="", metavar="TEMPLATE", help="template for -o go-template and jsonpath")
    parser.add_argument("--show-managed-fields", action="store_true", help="keep managedFields in JSON and YAML")


def filenames(parser: argparse.ArgumentParser, what: str = "files, directories or - with the resources") -> None:
    add = parser.add_argument
    add("-f", "--filename", action="append", default=[], metavar="FILE", help=what)
    add("-R", "--recursive", action="store_true", help="go into the directories below -f, too")
    add("-k", "--kustomize", default="", metavar="DIRECTORY", help=argparse.SUPPRESS)


def selector(parser: argparse.ArgumentParser, *, everything: bool = False, fields: bool = False) -> None:
    parser.add_argument("-l", "--selector", default="", metavar="SELECTOR", help="labels to filter on")
    if fields:
        parser.add_argument("--field-selector", default="", metavar="SELECTOR", help="fields to filter on")
    if everything:
        parser.add_argument("--all", action="store_true", help="all resources of the given types in the namespace")


def all_namespaces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="look into all namespaces")


def dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run",
        default="none",
        const="unchanged",
        action=OptionalValue,
        metavar="none|server|client",
        help="only show (client), or have the server check without storing (server)",
    )


def field_manager(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--field-manager", default=name, metavar="NAME", help="who is said to own the fields")


def check_dry_run(options: argparse.Namespace) -> str:
    """none, client or server."""
    how = getattr(options, "dry_run", "none")
    if how not in ("none", "client", "server"):
        raise CommandError(f'error: Invalid dry-run value ({how}). Must be "none", "server", or "client".')
    return str(how)


class OptionalValue(argparse.Action):
    """`--flag` means `--flag=CONST`; a value must follow an equals sign."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values)


def usage_error(parser: argparse.ArgumentParser, message: str) -> CommandError:
    return CommandError(f"error: {message}\nSee '{parser.prog} --help' for usage.")


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool. Raises ValueError."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(text)


def _override(parser: argparse.ArgumentParser, parse: Callable[[Sequence[str]], argparse.Namespace]) -> None:
    """The command line's main calls `parse_args`; kubectl's errors end with 1 and name no usage line."""

    def fail(message: str) -> NoReturn:
        raise usage_error(parser, _words(message))

    setattr(parser, "error", fail)  # noqa: B010 - methods of one instance
    setattr(parser, "parse_args", lambda args=None, namespace=None: parse(list(args or ())))  # noqa: B010


def _words(message: str) -> str:
    unknown = "unrecognized arguments: "
    if message.startswith(unknown):
        word = message.removeprefix(unknown).split()[0]
        if word.startswith("--"):
            return f"unknown flag: {word.partition('=')[0]}"
        return f"unknown shorthand flag: {word[1:2]!r} in {word}"
    if message.startswith("argument ") and "expected one argument" in message:
        flag = message.removeprefix("argument ").partition(":")[0].split("/")[-1]
        return f"flag needs an argument: {flag}"
    return message


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str], *, rest: bool) -> argparse.Namespace:
    words = list(argv)
    tail: list[str] | None = None
    if "--" in words:
        at = words.index("--")
        words, tail = words[:at], words[at + 1 :]
    words, given = _booleans(parser, words)
    options = argparse.ArgumentParser.parse_intermixed_args(parser, words)
    for name, value in given.items():
        setattr(options, name, value)
    options.given = _given(parser, words) | given.keys()
    options.rest = tail
    if tail is not None and not rest:
        options.args = [*options.args, *tail]
    return options


def _booleans(parser: argparse.ArgumentParser, words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """`--flag=false` taken out, and `--flag` of a flag with an optional value given that value."""
    actions = parser._option_string_actions
    kept: list[str] = []
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        action = actions.get(name) if word.startswith("--") else None
        if isinstance(action, OptionalValue) and not equals:
            kept.append(f"{name}={action.const}")
        elif equals and isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction):
            try:
                given[action.dest] = boolean(value)
            except ValueError:
                raise usage_error(parser, f'invalid argument "{value}" for "{name}" flag') from None
        else:
            kept.append(word)
    return kept, given


def _given(parser: argparse.ArgumentParser, words: Sequence[str]) -> frozenset[str]:
    """The names of the options that are on the line, whatever their value."""
    actions = parser._option_string_actions
    found = set()
    for word in words:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if word.startswith("-") and name in actions:
            found.add(actions[name].dest)
    return frozenset(found)

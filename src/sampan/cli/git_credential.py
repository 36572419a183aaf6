"""`sampan git-credential`: git asks it for a user name and a password; the password is the kubeconfig's token.

`sampan remote` sets it up for users with tokens. Source: gitcredentials(7), git-credential(1).
"""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config, flags


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan git-credential get|store|erase"
    flags.set_up(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    action = options.args[0] if options.args else ""
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in context.stdin)
    if action != "get":
        return 0  # nothing is stored here, so nothing is to be forgotten
    if asked.get("protocol") != "https":
        raise CommandError("error: a token is only given over https")
    kind, _, token = config.target(options, context.environ).headers.get("authorization", "").partition(" ")
    if kind != "Bearer":
        raise CommandError("error: the kubeconfig has no token any more: run `sampan remote` again")
    context.out(f"username=sampan\npassword={token}")
    return 0

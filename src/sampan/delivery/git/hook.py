"""The program that git calls before and after it takes a push: it asks the node's server, and says what it hears.

It stands alone: started with -I -S, it sees nothing but Python's own library. What was pushed is data to it. To the
socket goes one line of JSON, back come lines: `=TEXT` to show, and at last `!CODE`, with which it ends.
"""

import json
import os
import socket
import sys

LIMIT = 1 << 20
"""Bytes of refs in one push at most."""
HANDED = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")


def main() -> int:
    text = sys.stdin.buffer.read(LIMIT + 1)
    if len(text) > LIMIT:
        print("too many refs in one push: push some of them first", file=sys.stderr)
        return 1
    question = {
        "push": os.environ.get("SAMPAN_PUSH", ""),
        "hook": sys.argv[1],
        "refs": [line.split(" ", 2) for line in text.decode("utf-8", "replace").splitlines()],
        "environ": {name: os.environ[name] for name in HANDED if name in os.environ},
    }
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            peer.connect(os.environ.get("SAMPAN_SOCKET", ""))
            peer.sendall(json.dumps(question).encode() + b"\n")
            for line in peer.makefile("r", encoding="utf-8", errors="replace", newline="\n"):
                if line.startswith("!"):
                    return int(line[1:])
                print(line[1:].rstrip("\n"), file=sys.stderr, flush=True)
        except OSError as error:
            print(f"the cluster's node does not answer: {error.strerror or error}", file=sys.stderr)
            return 1
    print("the cluster's node went away in the middle of the push", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

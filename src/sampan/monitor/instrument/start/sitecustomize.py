"""Python runs this in a container before the user's program, because PYTHONPATH names this directory.

The packages come last on the path, so that whatever the program brings itself is what it gets. The words are those
that every Python understands, 2.7 too: an old one goes on without traces.
"""

import os
import sys

LOWEST = (3, 9)
HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(os.path.dirname(HERE), "packages")


def follow():
    # type: () -> None
    """Run the sitecustomize that this one hides: distributions have one."""
    for place in sys.path:
        path = os.path.join(place or ".", "sitecustomize.py")
        if os.path.abspath(place or ".") != HERE and os.path.isfile(path):
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec")
            exec(code, {"__name__": "sitecustomize", "__file__": path})  # noqa: S102 - it would have run anyway
            return


def instrument():
    # type: () -> None
    """OpenTelemetry's own start. It catches what goes wrong in it; what goes wrong before is told and left."""
    if sys.version_info < LOWEST:
        sys.stderr.write("no traces: Python %d.%d is too old, 3.9 is needed\n" % sys.version_info[:2])  # noqa: UP031
        return
    sys.path.append(PACKAGES)
    try:
        from opentelemetry.instrumentation import auto_instrumentation

        auto_instrumentation.initialize()
    except Exception as error:
        sys.stderr.write("no traces: %s: %s\n" % (type(error).__name__, error))  # noqa: UP031


follow()
instrument()

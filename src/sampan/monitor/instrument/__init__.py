"""Traces of Python programs that know nothing of them: OpenTelemetry's own packages, put beside a program at its start.

    pod's annotation -> wanted.py -> what the container gets: a read-only mount and variables
    packages.py -> pip, once -> DATA/instrument/python-DIGEST -> mounted into every container that asks
    start/sitecustomize.py: what Python runs in the container before the program

room.py puts it together for the node. A container never fails because of it: without packages it runs as it is.
"""

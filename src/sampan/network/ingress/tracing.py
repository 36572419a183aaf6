"""The lines of nginx.conf that make an ingress part of call chains. Pure.

A request that comes with a traceparent goes on in that trace; another begins one. Whether it is traced comes from a
counter that all workers share (limit_req, which only counts here): RATE a second and no more, so that a request that
is not traced costs no random number and no line. It says so in its own traceparent, and no program behind it begins a
trace by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.network.ingress.visits import BURST, FIELDS, RATE

HEADER = ("traceparent", "$traceparent")
NOT_TRACED = "00-00000000000000000000000000000001-0000000000000001-00"
_VALID = "^(?!ff)[0-9a-f]{2}-(?!0{32})(?<trace_id>[0-9a-f]{32})-(?!0{16})(?<trace_caller>[0-9a-f]{16})-[0-9a-f]"

_DECISION = '"$trace_asked:$limit_req_status"'
_LEFT = ("on:REJECTED_DRY_RUN", "off:PASSED", "off:REJECTED_DRY_RUN")
"""Requests that belong to a trace of others, which we leave."""


def lines(port: int) -> Iterator[str]:
    """Of the block `http`; nginx tells `port` of loopback."""
    yield from (
        "map $http_traceparent $trace_asked {",
        '    default "";',
        '    "" "";',
        f'    "~{_VALID}[13579bdf](-.*)?$" on;',
        f'    "~{_VALID}[02468ace](-.*)?$" off;',
        "}",
        f"limit_req_zone all zone=traces:64k rate={RATE}r/s;",
        f"limit_req zone=traces burst={BURST} nodelay;",
        "limit_req_dry_run on;",
        "limit_req_log_level info;",
        'map $request_id $trace_span { default ""; "~(?<trace_end>[0-9a-f]{16})$" $trace_end; }',
        # Every map costs a request something: one for what the pod is told, one for whether we are.
        f"map {_DECISION} $traceparent {{",
        f"    default {NOT_TRACED};",
        '    ":PASSED" 00-$request_id-$trace_span-01;',
        '    "on:PASSED" 00-$trace_id-$trace_span-01;',
        *(f'    "{each}" 00-$trace_id-$trace_caller-00;' for each in _LEFT),
        "}",
        f'map {_DECISION} $trace {{ default ""; ":PASSED" $request_id; "on:PASSED" $trace_id; }}',
        "log_format visit escape=json",
        "    '[" + ",".join(f'"${name}"' for name in FIELDS) + "]';",
        f"access_log syslog:server=127.0.0.1:{port},nohostname,tag=visit visit if=$trace;",
    )

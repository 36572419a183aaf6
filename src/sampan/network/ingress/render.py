"""The model as nginx.conf. Pure.

Each location says in a comment whose it is: when nginx refuses a file, the line that it names leads to the Ingress.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sampan.network.ingress import paths, tracing
from sampan.network.ingress.model import Cookie, Listen, Location, Model, Options, Server, Upstream
from sampan.network.ingress.options import CLOSED

OWNER = "{ # ingress "
"""Ends the first line of a location, before the name of its Ingress."""

IDLE = 64
"""Connections to pods that each worker keeps for later requests, of each service."""

IDLE_SECONDS = 2
"""Less than the servers of applications usually wait before they close: what they close meets no request."""

GENERATION = "@generation@"
"""Stands for a digest of the whole text."""

DRAIN = 240
"""Seconds that workers of an older configuration have for the requests and WebSockets that they still hold."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What does not come from Ingresses. `resolver` looks up ExternalName services."""

    directory: Path
    log: Path
    listen: Listen
    user: str = "nobody nogroup"
    workers: int = 2
    connections: int = 4096
    resolver: str = ""
    visits: int = 0
    """Port of loopback that is told of requests that are traced, 0 for none."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What pods are told besides the usual."""
        return (tracing.HEADER,) if self.visits else ()


def quote(text: str) -> str:
    """One word of nginx's configuration; variables in it stay variables."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render(model: Model, frame: Frame, local: Mapping[str, str]) -> str:
    """`local` gives the files of certificates of the local authority, by host."""
    lines = [*_head(frame), *_http(frame)]
    cookies = _cookies(model)
    for upstream in model.upstreams:
        lines += _upstream(upstream, sticky=upstream.sticky)
    for name, (upstream, cookie) in sorted(cookies.items()):
        lines += _cookie_maps(name, upstream, cookie)
    for server in model.servers:
        lines += _Server(server, model, frame, local).lines()
    text = "\n".join([*lines, "}", ""])
    return text.replace(GENERATION, hashlib.sha256(text.encode()).hexdigest()[:12])


def farewell(text: str) -> str:
    """Name of the file whose presence makes the workers of a configuration say goodbye, "" when it has none."""
    found = re.search(r"if \(-f \S+/(leaving-[0-9a-f]{12})\)", text)
    return found[1] if found else ""


def owner(text: str, line: int) -> str:
    """The Ingress that wrote a line (from 1), "" when none did."""
    for above in reversed(text.splitlines()[:line]):
        if OWNER in above:
            # A path may hold the same words: the last ones are ours.
            return above.rpartition(OWNER)[2]
        if above.startswith("    }"):
            return ""
    return ""


def _head(frame: Frame) -> Iterator[str]:
    yield "# Written by Sampan from the cluster's Ingresses; changes are lost."
    yield f"user {frame.user};"
    yield f"worker_processes {frame.workers};"
    yield f"worker_rlimit_nofile {frame.connections * 2 + 1024};"
    yield f"worker_shutdown_timeout {DRAIN}s;"
    yield f"pid {frame.directory}/nginx.pid;"
    yield f"error_log {frame.log} warn;"
    yield f"events {{ worker_connections {frame.connections}; }}"


def _http(frame: Frame) -> Iterator[str]:
    yield "http {"
    for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield f"    {each}_temp_path {frame.directory}/temp/{each};"
    yield from (
        "    server_tokens off;",
        "    default_type text/plain;",
        "    sendfile on;",
        "    tcp_nopush on;",
        "    keepalive_timeout 75s;",
        "    keepalive_requests 10000;",
        "    large_client_header_buffers 4 16k;",
        "    client_header_timeout 60s;",
        "    client_body_timeout 60s;",
        "    server_names_hash_bucket_size 512;",
        "    map_hash_bucket_size 256;",
        "    variables_hash_max_size 4096;",
        "    ssl_protocols TLSv1.2 TLSv1.3;",
        "    ssl_session_cache shared:ingress:4m;",
        "    ssl_session_timeout 10m;",
        "    map $http_upgrade $connection_wish { default upgrade; '' ''; }",
        "    map $http_host $host_asked { default $http_host; '' $host; }",
        # nginx's own $request_id asks for random numbers, which costs a tenth of a request.
        "    map $http_x_request_id $request_identity {",
        "        default $http_x_request_id;",
        '        "" "$msec-$pid-$connection-$connection_requests";',
        "    }",
        "    map $server_protocol$leaving $goodbye { default ''; HTTP/1.11 close; HTTP/1.01 close; }",
        "    add_header Connection $goodbye always;",
        "    uninitialized_variable_warn off;",
        "    proxy_http_version 1.1;",
        "    proxy_redirect off;",
        "    proxy_max_temp_file_size 1024m;",
    )
    yield from (f"    {each}" for each in (tracing.lines(frame.visits) if frame.visits else ("access_log off;",)))
    for kind in ("proxy", "grpc"):
        yield from (f"    {each}" for each in settings(kind, Options()))
    yield from _headers("proxy", "    ", "$host_asked", frame.headers)
    yield from _headers("grpc", "    ", "$host_asked", frame.headers)
    if frame.resolver:
        yield f"    resolver {frame.resolver} valid=5s ipv6=off;"


def _headers(kind: str, indent: str, host: str, more: Iterable[tuple[str, str]]) -> Iterator[str]:
    """All of them: a block that sets one inherits none."""
    wanted = [
        ("Host", host),
        ("X-Request-ID", "$request_identity"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$remote_addr"),
        ("X-Forwarded-Host", "$host_asked"),
        ("X-Forwarded-Port", "$server_port"),
        ("X-Forwarded-Proto", "$scheme"),
        # A client must not pass off a header that CGI programs read as the proxy of their own requests.
        ("Proxy", ""),
    ]
    if kind == "proxy":
        wanted += [("Upgrade", "$http_upgrade"), ("Connection", "$connection_wish")]
    for name, value in (*wanted, *more):
        yield f"{indent}{kind}_set_header {name} {quote(value)};"


# --- upstreams


def _upstream(upstream: Upstream, *, sticky: bool) -> Iterator[str]:
    if upstream.external:
        return
    yield from _group(upstream.name, upstream.servers, upstream.hash_by)
    if sticky:
        for server in upstream.servers:
            others = [f"{each} backup" for each in upstream.servers if each != server]
            yield from _group(f"{upstream.name}-{route(server)}", (server, *others), "")


def _group(name: str, servers: Iterable[str], hash_by: str) -> Iterator[str]:
    yield f"    upstream {name} {{"
    if hash_by:
        yield f"        hash {quote(hash_by)} consistent;"
    for server in servers:
        address, _, rest = server.partition(" ")
        # Which pods are ready the cluster knows; a request that failed is no reason to avoid one.
        yield f"        server {address} max_fails=0{' ' + rest if rest else ''};"
    yield f"        keepalive {IDLE};"
    yield f"        keepalive_timeout {IDLE_SECONDS}s;"
    yield "        keepalive_requests 10000;"
    yield "    }"


def route(server: str) -> str:
    """What the cookie says for a pod: not its address."""
    return hashlib.sha256(server.encode()).hexdigest()[:12]


def cookie_id(upstream: str, cookie: Cookie) -> str:
    return hashlib.sha256(f"{upstream} {cookie}".encode()).hexdigest()[:12]


def _cookies(model: Model) -> dict[str, tuple[Upstream, Cookie]]:
    sticky = {each.name: each for each in model.upstreams if each.sticky}
    found = {}
    for server in model.servers:
        for location in server.locations:
            if location.upstream in sticky and location.options.cookie is not None:
                name = cookie_id(location.upstream, location.options.cookie)
                found[name] = (sticky[location.upstream], location.options.cookie)
    return found


def _cookie_maps(name: str, upstream: Upstream, cookie: Cookie) -> Iterator[str]:
    """Cookie -> group of its pod; pod that answered -> cookie, unless the client has it already."""
    yield f"    map $cookie_{cookie.name} $sticky_{name} {{"
    yield f"        default {upstream.name};"
    for server in upstream.servers:
        yield f"        {route(server)} {upstream.name}-{route(server)};"
    yield "    }"
    yield f"    map $upstream_addr $route_{name} {{"
    yield '        default "";'
    for server in upstream.servers:
        # After another attempt there are several addresses; the last one answered.
        yield f"        {quote('~' + server.replace('.', chr(92) + '.') + '$')} {route(server)};"
    yield "    }"
    value = f"{cookie.name}=$route_{name}; Path={cookie.path}; HttpOnly"
    value += f"; Max-Age={cookie.max_age}" if cookie.max_age else ""
    value += f"; SameSite={cookie.same_site.capitalize()}" if cookie.same_site else ""
    value += "; Secure" if cookie.secure else ""
    yield f'    map "$cookie_{cookie.name}:$route_{name}" $set_cookie_{name} {{'
    yield f"        default {quote(value)};"
    yield '        "~:$" "";'
    yield '        "~^(?<known>.+):\\\\k<known>$" "";'
    yield "    }"


# --- servers


def server_name(host: str) -> str:
    """`*.` stands for one label, which nginx says by an expression only."""
    if host.startswith("*."):
        return quote("~^[^.]+" + "".join("\\." + part for part in host[2:].split(".")) + "$")
    return host or "_"


class _Server:
    def __init__(self, server: Server, model: Model, frame: Frame, local: Mapping[str, str]) -> None:
        self.server = server
        self.frame = frame
        self.upstreams = {each.name: each for each in model.upstreams}
        name = server.certificate
        self.certificate = local[name.removeprefix("local/")] if name.startswith("local/") else name
        self.expressions = [each.path for each in server.locations if each.match == "regex"]
        self.exact = {each.path for each in server.locations if each.match == "exact"}

    def lines(self) -> Iterator[str]:
        yield "    server {"
        yield from self.listens()
        yield f"        server_name {server_name(self.server.host)};"
        if self.frame.visits and not self.server.host:
            # Known, that is, also when no location says whose it is.
            yield '        set $ingress "";'
        if self.frame.listen.https:
            path = f"{self.frame.directory}/files/{self.certificate}"
            yield f"        ssl_certificate {path};"
            yield f"        ssl_certificate_key {path};"
        yield f"        if (-f {self.frame.directory}/leaving-{GENERATION}) {{ set $leaving 1; }}"
        root = next((each for each in self.server.locations if each.options.app_root), None)
        if root is not None and "/" not in self.exact:
            yield f"        location = / {OWNER}{root.owner}"
            yield f"            return 302 {quote('$scheme://$host_asked' + root.options.app_root)};"
            yield "        }"
        for location in self.server.locations:
            yield from self.location(location)
        if not any(each.match == "prefix" and not each.path for each in self.server.locations):
            yield '        location / { return 404 "404: nothing is published here\\n"; }'
        yield "    }"

    def listens(self) -> Iterator[str]:
        """The sockets' own settings stand in one server: that of all other hosts."""
        listen = self.frame.listen
        last = " default_server" if not self.server.host else ""
        for port, words in ((listen.http, ""), (listen.https, " ssl http2")):
            if port:
                yield f"        listen {listen.address + ':' if listen.address else ''}{port}{words}{last};"
                if listen.ipv6:
                    yield f"        listen [::]:{port}{words}{last};"

    def location(self, location: Location) -> Iterator[str]:
        body = tuple(self.body(location))
        for head in self.heads(location):
            yield f"        location {head} {OWNER}{location.owner}"
            yield from body
            yield "        }"

    def heads(self, location: Location) -> Iterator[str]:
        if location.match == "exact":
            yield f"= {quote(location.path)}"
            return
        if location.match == "regex":
            yield f"~* {quote('^' + location.path)}"
            return
        if location.path and location.path not in self.exact:
            yield f"= {quote(location.path)}"
        first = "^~ " if self.expressions and paths.final(location.path, self.expressions) else ""
        yield first + quote(location.path + "/")

    def body(self, location: Location) -> Iterator[str]:
        indent, options = " " * 12, location.options
        https = self.frame.listen.https
        if https and (options.force_ssl_redirect or (options.ssl_redirect and location.tls)):
            port = "" if https == 443 else f":{https}"
            yield f'{indent}if ($scheme = http) {{ return 308 "https://$host{port}$request_uri"; }}'
        for word, ranges in (("deny", options.deny), ("allow", options.allow)):
            yield from (f"{indent}{word} {each};" for each in ranges)
        if options.allow:
            yield f"{indent}deny all;"
        if options.auth == CLOSED:
            yield f'{indent}return 503 "503: who may come in cannot be checked\\n";'
            return
        if options.auth:
            yield f"{indent}auth_basic {quote(options.auth_realm)};"
            yield f"{indent}auth_basic_user_file {self.frame.directory}/files/{options.auth};"
        yield from self.answer_headers(location)
        if options.redirect:
            yield f"{indent}return {options.redirect_code} {quote(options.redirect)};"
        elif not location.upstream:
            # A comment ends with its line: what is told must not begin another.
            yield f"{indent}# {''.join(each if each.isprintable() else ' ' for each in location.why)}"
            yield f'{indent}return 503 "503: nobody answers here: the service, its port or its pods are missing\\n";'
        else:
            yield from self.passing(location)

    def answer_headers(self, location: Location) -> Iterator[str]:
        indent, options = " " * 12, location.options
        headers = list(options.response_headers)
        if options.cors is not None:
            cors = options.cors
            headers.append(("Access-Control-Allow-Origin", cors.origin))
            if cors.credentials:
                headers.append(("Access-Control-Allow-Credentials", "true"))
            if cors.expose:
                headers.append(("Access-Control-Expose-Headers", cors.expose))
            asked = [
                *headers,
                ("Access-Control-Allow-Methods", cors.methods),
                ("Access-Control-Allow-Headers", cors.headers),
                ("Access-Control-Max-Age", str(cors.max_age)),
            ]
            yield f"{indent}if ($request_method = OPTIONS) {{"
            yield from (f"{indent}    add_header {name} {quote(value)} always;" for name, value in asked)
            yield f"{indent}    return 204;"
            yield f"{indent}}}"
        upstream = self.upstreams.get(location.upstream)
        if options.cookie is not None and upstream is not None and upstream.sticky:
            headers.append(("Set-Cookie", f"$set_cookie_{cookie_id(upstream.name, options.cookie)}"))
        if headers:
            headers.append(("Connection", "$goodbye"))
        yield from (f"{indent}add_header {name} {quote(value)} always;" for name, value in headers)

    def passing(self, location: Location) -> Iterator[str]:
        indent, options = " " * 12, location.options
        if self.frame.visits:
            yield f"{indent}set $ingress {quote(location.owner)};"
        grpc = options.protocol.startswith("GRPC")
        kind = "grpc" if grpc else "proxy"
        if options.rewrite:
            path = location.path if location.match == "regex" else _escaped(location.path)
            target = options.rewrite
            flag = "redirect" if target.startswith("http") else "break"
            yield f"{indent}rewrite {quote('(?i)^' + path)} {quote(target)} {flag};"
        usual = set(settings(kind, Options()))
        yield from (f"{indent}{each}" for each in settings(kind, options) if each not in usual)
        if options.request_headers or options.vhost:
            host = options.vhost or "$host_asked"
            yield from _headers(kind, indent, host, (*self.frame.headers, *options.request_headers))
        yield from self.target(location, indent)

    def target(self, location: Location, indent: str) -> Iterator[str]:
        options, upstream = location.options, self.upstreams[location.upstream]
        scheme = {"HTTP": "http", "HTTPS": "https", "GRPC": "grpc", "GRPCS": "grpcs"}[options.protocol]
        kind = "grpc" if scheme.startswith("grpc") else "proxy"
        name = upstream.name
        if upstream.external:
            yield f"{indent}set $outside {quote(upstream.external)};"
            name = "$outside"
        elif upstream.sticky and options.cookie is not None:
            name = f"$sticky_{cookie_id(upstream.name, options.cookie)}"
        if scheme == "https":
            yield f"{indent}proxy_ssl_server_name on;"
        yield f"{indent}{kind}_pass {scheme}://{name};"


def settings(kind: str, options: Options) -> Iterator[str]:
    """What Ingresses may change; the usual values stand once, for all."""
    if kind == "proxy" or options.body_size != Options().body_size:
        yield f"client_max_body_size {options.body_size};"
    times = {"connect": options.connect_timeout, "send": options.send_timeout, "read": options.read_timeout}
    for name, value in times.items():
        yield f"{kind}_{name}_timeout {value}s;"
    yield f"{kind}_next_upstream {options.next_upstream};"
    yield f"{kind}_next_upstream_tries {options.tries};"
    yield f"{kind}_buffer_size {options.buffer_size};"
    if kind == "grpc":
        return
    yield f"proxy_buffering {'on' if options.buffering else 'off'};"
    yield f"proxy_request_buffering {'on' if options.request_buffering else 'off'};"
    if options.buffering:
        yield f"proxy_buffers 4 {options.buffer_size};"
        yield f"proxy_busy_buffers_size {options.buffer_size};"


def _escaped(path: str) -> str:
    """A path as an expression that matches it and nothing else."""
    return "".join("\\" + letter if letter in r"\.^$*+?()[]{}|" else letter for letter in path)

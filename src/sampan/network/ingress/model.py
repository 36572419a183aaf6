"""What the data plane is to do, as values. Built by compute.py, written down by render.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Match = Literal["exact", "prefix", "regex"]


class Listen(NamedTuple):
    """Ports of the node; 0 for none. `redirect` is the HTTPS port as clients write it."""

    http: int = 80
    https: int = 443
    ipv6: bool = False
    address: str = ""
    """Listen on this address alone; "" for all."""


@dataclass(frozen=True, slots=True)
class Cors:
    origin: str = "*"
    methods: str = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
    headers: str = (
        "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"
    )
    expose: str = ""
    credentials: bool = True
    max_age: int = 1728000


@dataclass(frozen=True, slots=True)
class Cookie:
    """The cookie that keeps a client with its pod."""

    name: str = "INGRESSCOOKIE"
    max_age: int = 0
    path: str = "/"
    same_site: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How one Ingress wants its requests treated. Times are seconds; sizes are nginx's own words."""

    rewrite: str = ""
    regex: bool = False
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    body_size: str = "1m"
    connect_timeout: int = 5
    read_timeout: int = 60
    send_timeout: int = 60
    buffering: bool = False
    request_buffering: bool = True
    buffer_size: str = "4k"
    protocol: str = "HTTP"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    request_headers: tuple[tuple[str, str], ...] = ()
    response_headers: tuple[tuple[str, str], ...] = ()
    vhost: str = ""
    app_root: str = ""
    redirect: str = ""
    redirect_code: int = 301
    auth: str = ""
    """Name of the password file, "" for none."""
    auth_realm: str = "Authentication Required"
    cors: Cors | None = None
    cookie: Cookie | None = None
    hash_by: str = ""
    next_upstream: str = "error timeout"
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Upstream:
    """Pods behind one port of a service. `servers` are `address:port`, or one name to be looked up."""

    name: str
    servers: tuple[str, ...] = ()
    external: str = ""
    """`host:port` of an ExternalName service, looked up when a request comes."""
    hash_by: str = ""
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """`path` as its Ingress has it, without a slash at the end for prefixes. `upstream` "" answers 503."""

    match: Match
    path: str
    owner: str
    upstream: str
    options: Options
    tls: bool = False
    """Whether the Ingress lists the host under tls, which makes ssl-redirect work."""
    why: str = ""
    """Why nobody answers, for the log and for whoever reads the file."""


@dataclass(frozen=True, slots=True)
class Server:
    """One host: a name, `*.name`, or "" for all others. `certificate` is a key of Model.certificates."""

    host: str
    locations: tuple[Location, ...]
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    servers: tuple[Server, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    """Certificates with their keys, and password files, by name; their names change with what is in them."""
    local: tuple[str, ...] = ()
    """Hosts whose certificates the local authority has to sign."""
    problems: tuple[tuple[str, str], ...] = ()
    """(`namespace/name` of an Ingress, what its author should know), in order."""
    served: tuple[str, ...] = field(default=())
    """`namespace/name` of every Ingress that is ours."""

    @property
    def addresses(self) -> frozenset[str]:
        """Pods that requests may go to."""
        return frozenset(each.rpartition(":")[0] for upstream in self.upstreams for each in upstream.servers)

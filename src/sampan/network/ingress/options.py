"""The annotations of ingress-nginx that mean something here. Source: ingress-nginx, "Annotations".

Whatever ends up in nginx's configuration has passed a pattern here: an Ingress may be written by people who may not
change the configuration of others. What has no effect is reported, because silence would look like success.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sampan.network.ingress.model import Cookie, Cors, Options

PREFIX = "nginx.ingress.kubernetes.io/"
CLOSED = "nobody"
"""As Options.auth: who may come in cannot be checked, so nobody may."""


class Wrong(ValueError):
    """A value that is not understood; the message says what would be."""


class Read(NamedTuple):
    options: Options
    problems: tuple[str, ...]
    references: tuple[tuple[str, str], ...] = ()
    """Objects that are needed: (`Secret` or `ConfigMap`, `namespace/name`)."""


def truth(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise Wrong('use "true" or "false"')


def switch(text: str) -> bool:
    if text in ("on", "off"):
        return text == "on"
    raise Wrong('use "on" or "off"')


def seconds(text: str) -> int:
    digits = text.removesuffix("s")
    if not digits.isdigit() or not 0 < int(digits) < 10**7:
        raise Wrong("use a number of seconds")
    return int(digits)


def number(text: str) -> int:
    if not text.isdigit() or int(text) > 10**6:
        raise Wrong("use a number")
    return int(text)


def size(text: str) -> str:
    if not re.fullmatch(r"\d{1,9}[kKmMgG]?", text):
        raise Wrong("use a size such as 8m")
    return text.lower()


def ranges(text: str) -> tuple[str, ...]:
    found = []
    for each in text.split(","):
        if each.strip():
            try:
                found.append(str(ipaddress.ip_network(each.strip(), strict=False)))
            except ValueError:
                raise Wrong("use addresses and ranges, separated by commas") from None
    return tuple(found)


def one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text.upper() not in words:
            raise Wrong(f"use one of {', '.join(words)}")
        return text.upper()

    return check


def pattern(allowed: str, hint: str) -> Callable[[str], str]:
    compiled = re.compile(allowed)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Wrong(hint)
        return text

    return check


target = pattern(
    r"(?:https?://[A-Za-z0-9.:-]+)?/(?:[^\s\x00-\x1f\"'$\\{};]|\$[1-9])*", "use a path, with $1 to $9 for groups"
)
url = pattern(r"https?://[^\s\x00-\x1f\"'$\\{};]+", "use a URL that begins with http:// or https://")
path = pattern(r"/[^\s\x00-\x1f\"'$\\{};]*", "use a path that begins with /")
host = pattern(r"[A-Za-z0-9.:-]{1,253}", "use the name of a host")
plain = pattern(r"[^\x00-\x1f\"$\\]{1,1024}", "use plain text without quotes, $ and \\")
words = pattern(r"[A-Za-z0-9 ,*._:/-]{1,1024}", "use names separated by commas")
token = pattern(r"[A-Za-z0-9!#%&'*+.^_`|~-]{1,256}", "use letters, digits and dashes")
retries = pattern(
    r"(?:(?:error|timeout|invalid_header|http_50[0234]|http_40[34]|http_429|non_idempotent|off) ?)+",
    "use the words of proxy_next_upstream",
)
HASH = {"$remote_addr", "$binary_remote_addr", "$request_uri", "$host", "$uri", "$http_x_forwarded_for"}


def hash_by(text: str) -> str:
    parts = re.findall(r"\$\w+", text)
    known = all(each in HASH or re.fullmatch(r"\$(?:arg|cookie|http)_[a-z0-9_]+", each) for each in parts)
    if not parts or "".join(parts) != text or not known:
        raise Wrong("use variables such as $request_uri, $binary_remote_addr, $arg_NAME, $cookie_NAME, $http_NAME")
    return text


def cors_origin(text: str) -> str:
    if "," in text:
        raise Wrong("one origin is possible here")
    return words(text)


FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "rewrite-target": ("rewrite", target),
    "use-regex": ("regex", truth),
    "ssl-redirect": ("ssl_redirect", truth),
    "force-ssl-redirect": ("force_ssl_redirect", truth),
    "proxy-body-size": ("body_size", size),
    "proxy-connect-timeout": ("connect_timeout", seconds),
    "proxy-read-timeout": ("read_timeout", seconds),
    "proxy-send-timeout": ("send_timeout", seconds),
    "proxy-buffering": ("buffering", switch),
    "proxy-request-buffering": ("request_buffering", switch),
    "proxy-buffer-size": ("buffer_size", size),
    "backend-protocol": ("protocol", one_of("HTTP", "HTTPS", "GRPC", "GRPCS")),
    "whitelist-source-range": ("allow", ranges),
    "allowlist-source-range": ("allow", ranges),
    "denylist-source-range": ("deny", ranges),
    "upstream-vhost": ("vhost", host),
    "app-root": ("app_root", path),
    "upstream-hash-by": ("hash_by", hash_by),
    "proxy-next-upstream": ("next_upstream", retries),
    "proxy-next-upstream-tries": ("tries", number),
    "auth-realm": ("auth_realm", plain),
}
"""annotation -> (field of Options, how its value is read)"""

CORS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "cors-allow-origin": ("origin", cors_origin),
    "cors-allow-methods": ("methods", words),
    "cors-allow-headers": ("headers", words),
    "cors-expose-headers": ("expose", words),
    "cors-allow-credentials": ("credentials", truth),
    "cors-max-age": ("max_age", number),
}
COOKIE: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "session-cookie-name": ("name", pattern(r"[A-Za-z0-9_]{1,64}", "use letters, digits and _")),
    "session-cookie-max-age": ("max_age", number),
    "session-cookie-path": ("path", path),
    "session-cookie-samesite": ("same_site", pattern("(?i)strict|lax|none", "use Strict, Lax or None")),
    "session-cookie-secure": ("secure", truth),
}
ELSEWHERE = frozenset(
    (
        *("enable-cors", "affinity", "x-forwarded-prefix", "custom-headers", "permanent-redirect", "temporal-redirect"),
        *("permanent-redirect-code", "auth-type", "auth-secret", "affinity-mode", "session-cookie-change-on-failure"),
        *("session-cookie-expires", "auth-secret-type", "preserve-trailing-slash", "connection-proxy-header"),
    )
)
"""Read by `_more`, or without harm when they have no effect."""


class _Reader:
    def __init__(self, annotations: Mapping[str, str]) -> None:
        self.given = {
            name.removeprefix(PREFIX): text.strip() for name, text in annotations.items() if name.startswith(PREFIX)
        }
        self.problems: list[str] = []

    def read(self, name: str, how: Callable[[str], Any], default: Any = None) -> Any:
        if name not in self.given:
            return default
        try:
            return how(self.given[name])
        except Wrong as wrong:
            self.problems.append(f"annotation {PREFIX}{name}: {self.given[name]!r} is not understood: {wrong}")
            return default

    def fields(self, table: Mapping[str, tuple[str, Callable[[str], Any]]]) -> dict[str, Any]:
        found = {field: self.read(name, how) for name, (field, how) in table.items() if name in self.given}
        return {field: value for field, value in found.items() if value is not None}


def read(annotations: Mapping[str, str], namespace: str, configs: Mapping[str, Mapping[str, str]]) -> Read:
    """`configs` are ConfigMaps by `namespace/name`, for custom-headers."""
    reader = _Reader(annotations)
    values = reader.fields(FIELDS)
    if reader.problems and any("-source-range" in each for each in reader.problems):
        # Who may come in is not known: nobody may.
        values["auth"] = CLOSED
    if reader.read("enable-cors", truth, False):
        values["cors"] = Cors(**reader.fields(CORS))
    if reader.read("affinity", one_of("COOKIE"), ""):
        values["cookie"] = Cookie(**reader.fields(COOKIE))
    references = [*_headers(reader, values, namespace, configs), *_auth(reader, values, namespace)]
    _redirects(reader, values)
    known = FIELDS.keys() | CORS.keys() | COOKIE.keys() | ELSEWHERE
    for name in sorted(reader.given.keys() - known):
        reader.problems.append(f"annotation {PREFIX}{name} has no effect here")
    return Read(Options(**values), tuple(reader.problems), tuple(references))


def _headers(
    reader: _Reader, values: dict[str, Any], namespace: str, configs: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, str]]:
    prefix = reader.read("x-forwarded-prefix", path)
    if prefix:
        values["request_headers"] = (("X-Forwarded-Prefix", prefix),)
    name = reader.read("custom-headers", pattern(r"[a-z0-9./-]+", "use the name of a ConfigMap"))
    if not name:
        return []
    key = name if "/" in name else f"{namespace}/{name}"
    if key.partition("/")[0] != namespace:
        reader.problems.append(f"annotation {PREFIX}custom-headers: ConfigMap {key} is in another namespace")
        return []
    if key not in configs:
        reader.problems.append(f"annotation {PREFIX}custom-headers: there is no ConfigMap {key}")
    headers = []
    for header, text in sorted(configs.get(key, {}).items()):
        try:
            headers.append((token(header), plain(text)))
        except Wrong as wrong:
            reader.problems.append(f"ConfigMap {key}, header {header!r}: {wrong}")
    values["response_headers"] = tuple(headers)
    return [("ConfigMap", key)]


def _auth(reader: _Reader, values: dict[str, Any], namespace: str) -> list[tuple[str, str]]:
    if "auth-type" not in reader.given:
        return []
    # Whoever asks for a password that cannot be checked must not be served without one.
    values["auth"] = CLOSED
    if reader.read("auth-type", one_of("BASIC"), "") == "":
        return []
    name = reader.read("auth-secret", pattern(r"[a-z0-9./-]+", "use the name of a Secret"))
    key = name if name and "/" in name else f"{namespace}/{name}"
    if not name or key.partition("/")[0] != namespace:
        reader.problems.append(f"annotation {PREFIX}auth-secret: name a Secret of namespace {namespace}")
        return []
    values["auth"] = key
    return [("Secret", key)]


def _redirects(reader: _Reader, values: dict[str, Any]) -> None:
    permanent, temporal = reader.read("permanent-redirect", url), reader.read("temporal-redirect", url)
    if temporal:
        values |= {"redirect": temporal, "redirect_code": 302}
    elif permanent:
        values |= {"redirect": permanent, "redirect_code": 301}
        code = reader.read("permanent-redirect-code", number, 301)
        if code in (301, 302, 303, 307, 308):
            values["redirect_code"] = code

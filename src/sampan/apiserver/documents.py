"""Paths that are no resources: discovery, OpenAPI, version, health, metrics. Bytes are made at the first request."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sampan.api import discovery, openapi
from sampan.api.kinds.kind import Kind
from sampan.apiserver import negotiation
from sampan.apiserver.metrics import Metrics
from sampan.http.types import Request, Response

TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
METRICS_TYPE = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
V2_PROTOBUF = tuple(f"application/com.github.proto-openapi.spec.v2{sign}v1.0+protobuf" for sign in "@.")

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

Check = Callable[[], str]
"""A health check: "" when all is well, else what is wrong."""


class Documents:
    def __init__(
        self,
        kinds: Sequence[Kind],
        address: str,
        version: str,
        metrics: Metrics,
        checks: dict[str, Check],
        more: dict[str, Callable[[], tuple[bytes, str]]],
    ) -> None:
        self._kinds = tuple(kinds)
        self._schemas: openapi.Custom = {}
        self._address = address
        self._version = version
        self._metrics = metrics
        self._checks = checks
        self._more = more
        self._made: dict[str, bytes] = {}

    def replace(self, kinds: Sequence[Kind]) -> None:
        """Tell of these kinds from now on."""
        self._kinds = tuple(kinds)
        self._schemas = {
            (kind.group, kind.version, kind.name): kind.custom.schema for kind in kinds if kind.custom is not None
        }
        self._made.clear()

    def serve(self, request: Request) -> Response | None:
        """The answer to a path that is served here, None for any other."""
        path = request.raw_path
        if len(path) > 1:
            path = path.rstrip("/")
        head, _, rest = path[1:].partition("/")
        if head in ("healthz", "livez", "readyz"):
            return self._health(request, head, rest)
        if path == "/metrics":
            return Response(200, self._metrics.expose(), METRICS_TYPE)
        if path == "/version":
            return negotiation.answer(request, self._once(path, self._version_document))
        if path in self._more:
            body, media = self._more[path]()
            return Response(200, body, (("Content-Type", media),))
        if head in ("api", "apis"):
            return self._discover(request, path)
        if head == "openapi":
            return self._openapi(request, path)
        if path == "/":
            return negotiation.answer(request, msgspec.json.encode({"paths": self._paths()}))
        return None

    def _once(self, name: str, make: Callable[[], bytes]) -> bytes:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = make()
        return found

    def _paths(self) -> list[str]:
        versions = {kind.prefix for kind in self._kinds}
        groups = {f"/apis/{kind.group}" for kind in self._kinds if kind.group}
        fixed = {"/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
        return sorted(versions | groups | fixed | set(self._more))

    def _version_document(self) -> bytes:
        major, minor = self._version.removeprefix("v").split(".")[:2]
        return msgspec.json.encode(
            {
                "major": major,
                "minor": minor,
                "gitVersion": f"{self._version}+sampan",
                "gitCommit": "",
                "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z",
                "goVersion": f"python{platform.python_version()}",
                "compiler": platform.python_implementation(),
                "platform": f"linux/{_MACHINES.get(platform.machine(), platform.machine())}",
            }
        )

    # Discovery

    def _discover(self, request: Request, path: str) -> Response | None:
        accept = request.headers.get("accept", "")
        if path in ("/api", "/apis") and "as=APIGroupDiscoveryList" in accept:
            version = next(
                (v for v in discovery.AGGREGATED_VERSIONS if f"v={v};" in f"{accept.replace(',', ';')};"), ""
            )
            if version:
                return self._aggregated(request, path, version)
        parts = path.strip("/").split("/")
        body: bytes | None
        if path == "/api":
            body = self._once(path, lambda: discovery.api_versions(self._address))
        elif path == "/apis":
            body = self._once(path, lambda: discovery.groups(self._kinds))
        elif parts[0] == "apis" and len(parts) == 2:
            body = self._made.get(path) or discovery.group(self._kinds, parts[1])
        elif len(parts) == (2 if parts[0] == "api" else 3):
            group = parts[1] if parts[0] == "apis" else ""
            body = self._made.get(path) or discovery.resources(self._kinds, group, parts[-1])
        else:
            return None
        if body is None:
            return None
        self._made[path] = body
        return negotiation.answer(request, body, negotiation.Form("object", _media(accept)))

    def _aggregated(self, request: Request, path: str, version: str) -> Response:
        kinds = [kind for kind in self._kinds if bool(kind.group) == (path == "/apis")]
        body = self._once(f"{path} {version}", lambda: discovery.aggregated(kinds, version))
        tag = self._once(f"{path} {version} etag", lambda: discovery.etag(body).encode()).decode()
        headers = (("Content-Type", discovery.media_type(version)), ("ETag", tag), ("Vary", "Accept"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, b"", headers)
        return Response(200, body, headers)

    # OpenAPI

    def _openapi(self, request: Request, path: str) -> Response | None:
        if path == "/openapi/v2":
            accept = request.headers.get("accept", "")
            whole = openapi.v2(self._kinds, {gvk: _older(schema) for gvk, schema in self._schemas.items()})
            if any(name in accept for name in V2_PROTOBUF):
                from sampan.api.openapi import protobuf  # asked for by kubectl only, and seldom

                return self._hashed(request, protobuf.encode(msgspec.json.decode(whole)), protobuf.MEDIA_TYPE)
            return self._hashed(request, whole)
        if path == "/openapi/v3":
            return negotiation.answer(request, self._once(path, lambda: openapi.v3_index(self._kinds, self._schemas)))
        parts = path.removeprefix("/openapi/v3/").split("/")
        if parts[0] == "api" and len(parts) == 2:
            body = openapi.v3(self._kinds, "", parts[1], self._schemas)
        elif parts[0] == "apis" and len(parts) == 3:
            body = openapi.v3(self._kinds, parts[1], parts[2], self._schemas)
        else:
            return None
        return self._hashed(request, body) if body is not None else None

    def _hashed(self, request: Request, body: bytes, media: str = "application/json") -> Response:
        tag = discovery.etag(body)
        headers = (("Content-Type", media), ("ETag", tag), ("Vary", "Accept"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, b"", headers)
        return Response(200, body, headers)

    # Health

    def _health(self, request: Request, head: str, rest: str) -> Response | None:
        excluded = set(request.query.get("exclude") or ())
        if rest:
            check = self._checks.get(rest)
            if check is None:
                return None
            problem = check()
            return Response(500 if problem else 200, (problem or "ok").encode(), TEXT)
        results = [(name, "" if name in excluded else check()) for name, check in self._checks.items()]
        failed = [name for name, problem in results if problem]
        if not failed and "verbose" not in request.query:
            return Response(200, b"ok", TEXT)
        lines = [f"[-]{name} failed: {problem}" if problem else f"[+]{name} ok" for name, problem in results]
        lines.append(f"{head} check {'failed' if failed else 'passed'}")
        return Response(500 if failed else 200, ("\n".join(lines) + "\n").encode(), TEXT)


_NEWER = ("nullable", "allOf", "anyOf", "oneOf", "not", "x-kubernetes-validations")


def _older(schema: Any) -> Any:
    """A schema without the words that OpenAPI v2 does not have."""
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key not in _NEWER}
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: _older(below) for name, below in made["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in made:
            made[keyword] = _older(made[keyword])
    return made


def _media(accept: str) -> str:
    return "application/yaml" if accept.startswith("application/yaml") else "application/json"

"""What form of an answer a client asked for: JSON or YAML; whole objects, metadata only, or a Table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from sampan.api import codec
from sampan.api.errors import StatusError, status_error
from sampan.http.types import Request, Response

Shape = Literal["object", "Table", "PartialObjectMetadata"]
JSON_HEADERS = (("Content-Type", "application/json"),)
YAML_HEADERS = (("Content-Type", "application/yaml"),)
REMEMBERED = 256


class Form(NamedTuple):
    shape: Shape = "object"
    media: str = codec.JSON


WHOLE = Form()
_ANY = ("*/*", "application/*", "application/json", "text/*")


class Negotiator:
    """Reads Accept headers; those seen before cost one look-up. `plain` answers are never tables or metadata only."""

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._seen: dict[str, Form | None] = {}

    def form(self, request: Request) -> Form:
        """Raises NotAcceptable."""
        accept = request.headers.get("accept", "")
        if not accept or accept == "application/json":
            return WHOLE
        if accept not in self._seen:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[accept] = _choose(accept, plain=self._plain)
        form = self._seen[accept]
        if form is None:
            raise status_error(
                406,
                "NotAcceptable",
                "only the following media types are accepted: application/json, application/yaml",
            )
        return form


def _choose(accept: str, *, plain: bool) -> Form | None:
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        values = dict(part.partition("=")[::2] for part in parameters)
        if media in _ANY:
            chosen = codec.JSON
        elif media in ("application/yaml", "text/yaml"):
            chosen = codec.YAML
        else:
            continue
        shape = values.get("as", "")
        if not shape:
            return Form("object", chosen)
        if plain or values.get("g") != "meta.k8s.io" or values.get("v") not in ("v1", "v1beta1"):
            continue
        if shape == "Table":
            return Form("Table", chosen)
        if shape in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form("PartialObjectMetadata", chosen)
    return None


def answer(request: Request, body: bytes, form: Form = WHOLE, status: int = 200) -> Response:
    """A response of one JSON document in the form asked for."""
    if form.media == codec.YAML:
        import yaml

        text = yaml.safe_dump(msgspec.json.decode(body), default_flow_style=False, sort_keys=True, allow_unicode=True)
        return Response(status, text.encode(), YAML_HEADERS)
    if "pretty=" in request.target and request.param("pretty") in ("1", "true"):
        body = msgspec.json.format(body, indent=2) + b"\n"
    return Response(status, body, JSON_HEADERS)


def failure(error: StatusError, warnings: Sequence[str] = ()) -> Response:
    """The answer that carries a Status."""
    status = error.status
    headers = (*JSON_HEADERS, *error.headers, *warning_headers(warnings))
    return Response(error.code, codec.encode(status) + b"\n", headers)


def warning_headers(warnings: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`Warning` headers as RFC 7234 and kubectl read them."""
    return tuple(("Warning", f'299 - "{_quoted(text)}"') for text in warnings)


def _quoted(text: str) -> str:
    flat = "".join(letter if letter.isprintable() else " " for letter in text)
    return flat.encode("ascii", "backslashreplace").decode().replace("\\", "\\\\").replace('"', '\\"')

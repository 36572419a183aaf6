"""Push events of GitHub, GitLab and Gitea (Forgejo, Gogs): is it really theirs, and what was pushed. Pure.

Sources: GitHub "Validating webhook deliveries" and "Webhook events and payloads: push"; GitLab "Webhook events: push";
Gitea "Webhooks".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

LIMIT = 25 << 20
"""Bytes of a delivery at most: GitHub sends no larger ones."""
GONE = "0" * 40
"""The commit that stands for none: a branch was made, or deleted."""
_PREFIXES = (("refs/heads/", "branch"), ("refs/tags/", "tag"))


class Rejected(Exception):
    """A delivery that is not to be believed or understood; `code` is the HTTP status to answer with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Push(NamedTuple):
    """What was pushed. `ref` is a branch's or a tag's name, `kind` says which; `commit` is "" when it was deleted."""

    forge: str
    repository: str
    url: str
    kind: str
    ref: str
    commit: str
    before: str
    message: str
    author: str
    delivery: str
    files: tuple[str, ...] = ()
    default_branch: str = ""

    @property
    def deleted(self) -> bool:
        return not self.commit


def read(headers: Mapping[str, str], body: bytes, secret: str) -> Push | None:
    """The push of a delivery; None for events that are none (a ping, an issue), which are to be thanked for.

    Nothing of the body is looked at before its signature holds. Raises Rejected.
    """
    if len(body) > LIMIT:
        raise Rejected(413, f"the delivery has {len(body)} bytes, more than {LIMIT}")
    given = {name.lower(): value for name, value in headers.items()}
    forge = sender(given)
    verify(forge, given, body, secret)
    event = given.get(f"x-{forge}-event", "")
    if event not in ("push", "Push Hook", "Tag Push Hook"):
        return None
    document = _document(given, body)
    return _gitlab(given, document) if forge == "gitlab" else _github(forge, given, document)


def sender(headers: Mapping[str, str]) -> str:
    """github, gitlab or gitea, by the headers' names (in lower case). Gitea also sends those of GitHub."""
    for forge in ("gitea", "gitlab", "github"):
        if f"x-{forge}-event" in headers:
            return forge
    raise Rejected(400, "no event of GitHub, GitLab or Gitea: the header X-GitHub-Event (or the like) is missing")


def signature(forge: str, headers: Mapping[str, str]) -> str:
    """What the sender shows: `sha256=HEX`, or GitLab's secret token itself. Raises Rejected 401 without one."""
    if forge == "gitlab":
        found = headers.get("x-gitlab-token", "")
        if not found:
            raise Rejected(401, "the header X-Gitlab-Token is missing: give the webhook in GitLab the secret token")
        return found
    found = headers.get("x-hub-signature-256", "")
    if not found and forge == "gitea" and headers.get("x-gitea-signature"):
        found = "sha256=" + headers["x-gitea-signature"]
    if not found:
        # X-Hub-Signature alone is SHA-1, which is no proof any more.
        raise Rejected(401, "the header X-Hub-Signature-256 is missing: give the webhook the secret")
    return found.strip()


def verify(forge: str, headers: Mapping[str, str], body: bytes, secret: str) -> None:
    """Raises Rejected 401 unless the sender knows the secret. An empty secret convinces nobody."""
    if not secret:
        raise Rejected(401, "this hook has no secret, so nobody can prove to be who he is; give it one")
    shown = signature(forge, headers)
    if forge == "gitlab":
        if not hmac.compare_digest(shown.encode(), secret.encode()):
            raise Rejected(401, "the secret token is another one")
        return
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise Rejected(401, "the signature does not fit: the secret is another one, or the delivery was changed")


def _document(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    content = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content == "application/x-www-form-urlencoded":
        from urllib.parse import parse_qs

        try:
            body = parse_qs(body.decode(), strict_parsing=True)["payload"][0].encode()
        except (KeyError, ValueError) as error:
            raise Rejected(400, "the form has no field payload") from error
    elif content != "application/json":
        raise Rejected(415, f"content type {content}: set the webhook to application/json")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(400, f"the delivery is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Rejected(400, "the delivery is no JSON object")
    return document


def _github(forge: str, headers: Mapping[str, str], document: Mapping[str, Any]) -> Push:
    repository = _object(document, "repository")
    head = _maybe(document, "head_commit")
    kind, ref = _ref(document)
    return Push(
        forge=forge,
        repository=_text(repository, "full_name"),
        url=_text(repository, "clone_url"),
        kind=kind,
        ref=ref,
        commit=_commit(document, "after"),
        before=_commit(document, "before"),
        message=str(head.get("message") or ""),
        author=str(_maybe(head, "author").get("name") or _maybe(document, "pusher").get("name") or ""),
        delivery=headers.get(f"x-{forge}-delivery", ""),
        files=_files(document),
        default_branch=str(repository.get("default_branch") or ""),
    )


def _gitlab(headers: Mapping[str, str], document: Mapping[str, Any]) -> Push:
    project = _object(document, "project")
    commit = _commit(document, "checkout_sha") or _commit(document, "after")
    commits = document.get("commits")
    found = [each for each in commits if isinstance(each, dict)] if isinstance(commits, list) else []
    head: Mapping[str, Any] = next((each for each in found if each.get("id") == commit), {})
    kind, ref = _ref(document)
    return Push(
        forge="gitlab",
        repository=_text(project, "path_with_namespace"),
        url=_text(project, "git_http_url"),
        kind=kind,
        ref=ref,
        commit="" if _commit(document, "after") == "" else commit,
        before=_commit(document, "before"),
        message=str(head.get("message") or ""),
        author=str(_maybe(head, "author").get("name") or document.get("user_name") or ""),
        delivery=headers.get("x-gitlab-event-uuid", ""),
        files=_files(document),
        default_branch=str(project.get("default_branch") or ""),
    )


def _ref(document: Mapping[str, Any]) -> tuple[str, str]:
    text = _text(document, "ref")
    for prefix, kind in _PREFIXES:
        if text.startswith(prefix) and len(text) > len(prefix):
            return kind, text.removeprefix(prefix)
    raise Rejected(400, f"ref {text!r} is neither a branch nor a tag")


def _commit(document: Mapping[str, Any], key: str) -> str:
    """A commit's SHA-1 or SHA-256; "" for none."""
    value = document.get(key)
    if value is None or value == "" or (isinstance(value, str) and set(value) == {"0"}):
        return ""
    if not isinstance(value, str) or len(value) not in (40, 64) or not set(value) <= set("0123456789abcdef"):
        raise Rejected(400, f"{key} is no commit: {value!r}")
    return value


def _files(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What the commits touched, each path once, in order."""
    found: dict[str, None] = {}
    commits = document.get("commits")
    for commit in commits if isinstance(commits, list) else []:
        for key in ("added", "modified", "removed"):
            paths = commit.get(key) if isinstance(commit, dict) else None
            for path in paths if isinstance(paths, list) else []:
                found[str(path)] = None
    return tuple(found)


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if not isinstance(value, dict):
        raise Rejected(400, f"the delivery has no {key}")
    return value


def _maybe(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise Rejected(400, f"the delivery has no {key}")
    return value

"""Webhooks: whom we believe, and what we understand."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.delivery.webhook import GONE, LIMIT, Push, Rejected, read

SECRET = "It's a Secret to Everybody"
SHA, BEFORE = "a" * 40, "b" * 40
GITHUB = {
    "ref": "refs/heads/main",
    "before": BEFORE,
    "after": SHA,
    "repository": {"full_name": "ann/web", "clone_url": "https://github.com/ann/web.git"},
    "pusher": {"name": "ann"},
    "head_commit": {"message": "greet", "author": {"name": "Ann"}},
    "commits": [{"added": ["a"], "modified": ["b", "a"], "removed": []}],
}
GITLAB = {
    "ref": "refs/heads/main",
    "before": BEFORE,
    "after": SHA,
    "checkout_sha": SHA,
    "user_name": "Ann",
    "project": {"path_with_namespace": "ann/web", "git_http_url": "https://gitlab.com/ann/web.git"},
    "commits": [{"id": SHA, "message": "greet", "author": {"name": "Ann"}, "added": ["a"], "modified": ["b"]}],
}


def signed(document: object, *, secret: str = SECRET, event: str = "push", **headers: str):
    body = json.dumps(document).encode()
    mark = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = {"X-GitHub-Event": event, "X-GitHub-Delivery": "d1", "X-Hub-Signature-256": mark}
    return {**given, "Content-Type": "application/json", **headers}, body


def test_githubs_own_example_of_a_signature() -> None:
    """GitHub's documentation, "Testing the webhook payload validation": the text is no event, but the mark fits."""
    mark = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": mark}
    assert read(headers, b"Hello, World!", SECRET) is None


def test_github() -> None:
    assert read(*signed(GITHUB), SECRET) == Push(
        *("github", "ann/web", "https://github.com/ann/web.git", "branch", "main", SHA, BEFORE, "greet", "Ann", "d1"),
        files=("a", "b"),
    )


def test_github_as_a_form() -> None:
    from urllib.parse import urlencode

    body = urlencode({"payload": json.dumps(GITHUB)}).encode()
    mark = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-github-event": "push", "x-hub-signature-256": mark}
    push = read({**headers, "content-type": "application/x-www-form-urlencoded"}, body, SECRET)
    assert push is not None
    assert push.commit == SHA


def test_gitea_signs_without_a_prefix() -> None:
    body = json.dumps(GITHUB).encode()
    mark = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    push = read({"X-Gitea-Event": "push", "X-Github-Event": "push", "X-Gitea-Signature": mark}, body, SECRET)
    assert push is not None
    assert push.forge == "gitea"


def test_gitlab_shows_a_token() -> None:
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET, "X-Gitlab-Event-UUID": "u"}
    push = read(headers, json.dumps(GITLAB).encode(), SECRET)
    assert push is not None
    assert (push.forge, push.ref, push.commit, push.message, push.delivery) == ("gitlab", "main", SHA, "greet", "u")


def test_tags_and_deleted_branches() -> None:
    push = read(*signed({**GITHUB, "ref": "refs/tags/v1"}), SECRET)
    assert push is not None
    assert (push.kind, push.ref) == ("tag", "v1")
    gone = read(*signed({**GITHUB, "after": GONE, "head_commit": None, "commits": []}), SECRET)
    assert gone is not None
    assert gone.deleted


def test_other_events_are_no_pushes() -> None:
    assert read(*signed({"zen": "x"}, event="ping"), SECRET) is None


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"X-Hub-Signature-256": ""}, 401, "missing"),
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, 401, "does not fit"),
        ({"X-Hub-Signature-256": "sha1=" + "0" * 40}, 401, "does not fit"),
        ({"Content-Type": "text/plain"}, 415, "application/json"),
    ],
)
def test_forged_deliveries(change: dict[str, str], code: int, words: str) -> None:
    headers, body = signed(GITHUB)
    with pytest.raises(Rejected, match=words) as rejected:
        read({**headers, **change}, body, SECRET)
    assert rejected.value.code == code


def test_a_changed_body_and_another_secret_are_refused() -> None:
    headers, body = signed(GITHUB)
    with pytest.raises(Rejected, match="does not fit"):
        read(headers, body + b" ", SECRET)
    with pytest.raises(Rejected, match="does not fit"):
        read(*signed(GITHUB, secret="another"), SECRET)
    with pytest.raises(Rejected, match="has no secret"):
        read(*signed(GITHUB, secret=""), "")
    with pytest.raises(Rejected, match="another one"):
        read({"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "x"}, b"{}", SECRET)
    with pytest.raises(Rejected, match="Gitlab-Token is missing"):
        read({"X-Gitlab-Event": "Push Hook"}, b"{}", SECRET)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no JSON object"),
        ({}, "no repository"),
        ({**GITHUB, "ref": "main"}, "neither a branch nor a tag"),
        ({**GITHUB, "after": "HEAD; rm -rf /"}, "no commit"),
        ({**GITHUB, "repository": {"full_name": "x"}}, "no clone_url"),
    ],
)
def test_what_cannot_be_understood(document: object, words: str) -> None:
    with pytest.raises(Rejected, match=words) as rejected:
        read(*signed(document), SECRET)
    assert rejected.value.code == 400


def test_too_much() -> None:
    with pytest.raises(Rejected) as rejected:
        read({"X-GitHub-Event": "push"}, b" " * (LIMIT + 1), SECRET)
    assert rejected.value.code == 413


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GITHUB, *GITLAB, "id"]), inner),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["X-GitHub-Event", "X-Gitlab-Event", "X-Gitea-Event"]))
def test_whatever_comes_is_understood_or_rejected(document: object, header: str) -> None:
    headers, body = signed(document)
    event = "Push Hook" if "lab" in header else "push"
    del headers["X-GitHub-Event"]
    try:
        read({**headers, header: event, "X-Gitlab-Token": SECRET}, body, SECRET)
    except Rejected as error:
        assert 400 <= error.code < 500

"""A guestbook: who visits leaves a line; MariaDB keeps it."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import flask

from entries import LONGEST, Away, Entries, Refused

VERSION = (Path(__file__).parent / "version").read_text().strip()
MOST_WORK = 500  # milliseconds of processor time that one request may ask for
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create(entries: Any) -> flask.Flask:
    """The application on whatever keeps the entries."""
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 64 << 10
    app.extensions["entries"] = entries
    app.context_processor(lambda: {"pod": socket.gethostname(), "version": VERSION, "longest": LONGEST})

    @app.get("/")
    def page() -> str:
        return flask.render_template("page.html", entries=entries.newest(), said="", author="")

    @app.post("/entries")
    def write() -> Any:
        if flask.request.headers.get("Sec-Fetch-Site") == "cross-site":
            flask.abort(403)
        author, text = (flask.request.form.get(name, "").strip() for name in ("author", "text"))
        try:
            entries.add(author, text)
        except Refused as error:
            page = flask.render_template(
                "page.html", entries=entries.newest(), trouble=str(error), author=author, said=text
            )
            return page, 422
        return flask.redirect("/", 303)

    @app.get("/entries.json")
    def listed() -> Any:
        return flask.jsonify(pod=socket.gethostname(), version=VERSION, entries=entries.newest())

    @app.get("/work")
    def work() -> Any:
        """Burn processor time, so that the autoscaler has something to see."""
        asked = flask.request.args.get("ms", "100")
        if not asked.isdigit():
            return f"ms={asked[:20]}: a number of milliseconds up to {MOST_WORK}\n", 400, {"Content-Type": "text/plain"}
        rounds, until = 0, time.thread_time() + min(int(asked), MOST_WORK) / 1000
        while time.thread_time() < until:
            hashlib.sha256(bytes(65536)).digest()
            rounds += 1
        return flask.jsonify(pod=socket.gethostname(), rounds=rounds)

    @app.get("/healthz")
    def health() -> Any:
        """Good once the database has been seen: from then on a page can say what is wrong."""
        if entries.seen():
            return "ok\n", 200, {"Content-Type": "text/plain"}
        return f"waiting for the database: {entries.trouble}\n", 503, {"Content-Type": "text/plain"}

    @app.errorhandler(Away)
    def away(error: Away) -> Any:
        app.logger.error("no database: %s", error)
        return flask.render_template("away.html", why=str(error)), 503, {"Retry-After": "2", "Refresh": "2"}

    @app.before_request
    def begin() -> None:
        flask.g.begun = time.monotonic()

    @app.after_request
    def finish(response: flask.Response) -> flask.Response:
        response.headers.extend(HEADERS)
        if flask.request.path != "/healthz":
            took = (time.monotonic() - flask.g.begun) * 1000
            print(f"{flask.request.method} {flask.request.path} -> {response.status_code} in {took:.0f} ms")
        return response

    app.jinja_env.filters["color"] = color
    return app


def color(name: str) -> int:
    """One of eight colors, the same for the same name."""
    return hashlib.sha256(name.encode()).digest()[0] % 8


app = create(Entries(os.environ))

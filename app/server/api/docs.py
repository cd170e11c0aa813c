"""Routes: pages and their files. The API explorer today; a dashboard finds its place beside it.

Everything else that the relay answers is data under a policy that allows nothing; a page gets :data:`PAGE_POLICY` in
its place, and works offline: all that it needs comes from ``/static``, which asks for no token and holds no secrets.
"""

from __future__ import annotations

import html
from http import HTTPStatus
from itertools import groupby
from pathlib import PurePosixPath

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from app import __version__, paths
from app.errors import RelayError, StartError, catalogue
from app.server import events

blueprint = Blueprint("docs", __name__)

#: No inline script or style, nothing from elsewhere, no frames around it, no HTML made from strings.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

#: Said here rather than asked of the system, whose own table may know ``.js`` as text/plain. Nothing else is served: a
#: page in particular has a route of its own, and with it the policy for pages.
_TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


@blueprint.get("/")
def start_page() -> AnyResponse:
    """Where a browser begins."""
    return redirect("/explorer")


@blueprint.get("/explorer")
@blueprint.get("/api/docs")
def explorer() -> Response:
    """The API explorer. Under ``/api`` a token is asked for, which no address bar can send: hence two places."""
    text = (paths.static_dir() / "explorer" / "index.html").read_text(encoding="utf-8")
    for mark, made in (("errors", _errors()), ("events", _events()), ("version", html.escape(__version__))):
        text = text.replace(f"<!-- {mark} -->", made)
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A file that a page needs; a browser asks each time whether it has changed."""
    kind = _TYPES.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise NotFound
    return send_from_directory(paths.static_dir(), name, mimetype=kind)


def shown_errors() -> list[type[RelayError]]:
    """What a caller of the API can meet: not what stops a start, nor what other modules make of errors of their own."""
    return [error for error in catalogue() if error.__module__ == RelayError.__module__ and error is not StartError]


def _errors() -> str:
    parts: list[str] = []
    for status, group in groupby(shown_errors(), key=lambda error: error.status):
        parts.append(f'<h3 id="status-{status}">{status} {html.escape(HTTPStatus(status).phrase)}</h3><dl>')
        for error in group:
            detail = html.escape((error.__doc__ or "").splitlines()[0])
            parts.append(f'<div id="{error.code}"><dt><code>{error.code}</code></dt><dd>{detail}</dd></div>')
        parts.append("</dl>")
    return "".join(parts)


def _events() -> str:
    parts = ["<dl>"]
    for event in events.all_types():
        text = html.escape(" ".join((event.__doc__ or "").split()))
        pieces = text.split("``")  # every other piece is code
        said = "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
        parts.append(f'<div id="{event.type}"><dt><code>{event.type}</code></dt><dd>{said}</dd></div>')
    parts.append("</dl>")
    return "".join(parts)

"""Routes: the API explorer, whose lists of errors and events are made here."""

from __future__ import annotations

import html
from http import HTTPStatus
from itertools import groupby

from flask import Blueprint, Response

from app.errors import RelayError, StartError, catalogue
from app.server import events
from app.server.api.pages import page

blueprint = Blueprint("docs", __name__)


@blueprint.get("/explorer")
@blueprint.get("/api/docs")
def explorer() -> Response:
    """The API explorer. Under ``/api`` a token is asked for, which no address bar can send: hence two places."""
    return page("explorer/index.html", errors=_errors(), events=_events())


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

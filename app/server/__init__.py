"""The server: a Flask app over a durable store, and a hub of live streams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings
    from app.server.hub import Hub
    from app.server.services.bus import Bus


def create_app(bus: Bus, *, hub: Hub) -> Flask:
    """Put the routes together, behind the door. Opens nothing and starts nothing."""
    from flask import Flask

    from app.model import MAX_BODY_BYTES
    from app.server.api import (
        _http,
        agents,
        backup,
        callbacks,
        compress,
        docs,
        integrations,
        live,
        messages,
        metrics,
        overview,
        pages,
        session,
        settings,
        system,
        tasks,
        websocket,
    )
    from app.server.api.door import Door
    from app.server.api.problems import problem_response

    class RelayApp(Flask):
        def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
            """Flask looks into each function at each call; none of ours is a coroutine."""
            return func

    app = RelayApp(__name__, static_folder=None)
    door = Door(app.wsgi_app, bus, token_sha256=_expected_token(bus.settings))
    app.wsgi_app = door  # type: ignore[method-assign]
    app.extensions["relay"] = _http.Relay(bus=bus, hub=hub, door=door, started_s=bus.clock.monotonic_s())
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["SOCK_SERVER_OPTIONS"] = websocket.SERVER_OPTIONS
    app.url_map.converters["int"] = _http.IdConverter
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, problem_response)
    app.after_request(compress.compress_data)
    nouns = (
        agents,
        messages,
        tasks,
        integrations,
        callbacks,
        overview,
        live,
        websocket,
        session,
        system,
        settings,
        backup,
        metrics,
        docs,
        pages,
    )
    for noun in nouns:
        app.register_blueprint(noun.blueprint)
    return app


def _expected_token(settings: Settings) -> bytes | None:
    if settings.token is not None:
        return hashlib.sha256(settings.token.encode()).digest()
    return bytes.fromhex(settings.token_sha256) if settings.token_sha256 else None

"""Routes: the relay about itself, and its API document."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app

from app.model import Health, Stats
from app.server.api._http import relay
from app.server.api._spec import document, route
from app.server.services import system

blueprint = Blueprint("system", __name__, url_prefix="/api")


@route(blueprint, "GET", "/healthz", answer=Health, problems=(503,))
def healthz() -> Health:
    """Whether the relay and its database answer; needs no token"""
    return system.check_health(relay().bus)


@route(blueprint, "GET", "/stats", answer=Stats)
def stats() -> Stats:
    """Counts, version, uptime, live streams"""
    here = relay()
    uptime_s = here.bus.clock.monotonic_s() - here.started_s
    return system.get_stats(here.bus, uptime_s=uptime_s, live=here.hub.counts())


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI 3.1 document of this API."""
    return Response(_document(), content_type="application/json")


@cache
def _document() -> bytes:
    made: dict[str, Any] = document(current_app)
    return msgspec.json.format(msgspec.json.encode(made), indent=2)

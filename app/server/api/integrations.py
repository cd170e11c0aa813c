"""Routes: integrations' events."""

from __future__ import annotations

from typing import NoReturn, cast

from flask import Blueprint

from app.integrations import Integration
from app.model import IngestAnswer, IntegrationEvent
from app.server.api._http import caller, defer, relay
from app.server.api._spec import route
from app.server.services import ingress

blueprint = Blueprint("integrations", __name__, url_prefix="/api/integrations")


@route(
    blueprint,
    "POST",
    "/events",
    json=IntegrationEvent,
    answer=IngestAnswer,
    status=201,
    also={200: IngestAnswer},
    problems=(400, 413, 415, 429, 503, 507),
)
def take_event(body: IntegrationEvent) -> NoReturn:
    """An outside system says that something is, or that it is over

    A new thing makes a task and announces one claimable message (201). The same `dedupeKey` again, while its task is
    active, is counted there (200); `resolved` closes it (200). Takes an integration's own token only.
    """
    bus = relay().bus
    integration = cast("Integration", caller())  # the door lets nobody else in here
    submission = ingress.prepare(bus, integration, body)
    defer(
        lambda done: ingress.submit(bus, submission, done),
        answer=lambda answer: (answer, 201 if answer.created else 200),
    )

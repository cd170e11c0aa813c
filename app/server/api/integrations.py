"""Routes: integrations, and their events."""

from __future__ import annotations

from typing import NoReturn, cast

from flask import Blueprint, request

from app.integrations import Integration
from app.model import IngestAnswer, IntegrationEvent, IntegrationList, IntegrationTest
from app.server.api._http import caller, defer, relay
from app.server.api._spec import route
from app.server.api.door import OUTCOME
from app.server.services import ingress, integrations
from app.server.services.ingress import Submission
from app.server.services.tally import outcome_of

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
    _ingest(ingress.prepare(bus, integration, body))


@route(blueprint, "GET", "", answer=IntegrationList)
def list_integrations() -> IntegrationList:
    """The integrations in force by name: what each may do, and what became of its events"""
    here = relay()
    return integrations.list_integrations(here.bus, here.door.tally)


@route(
    blueprint,
    "POST",
    "/<path:name>/test",
    json=IntegrationTest,
    answer=IngestAnswer,
    status=201,
    also={200: IngestAnswer},
    problems=(400, 404, 413, 415, 503, 507),
)
def test_integration(body: IntegrationTest, name: str) -> NoReturn:
    """Make a test event in an integration's name, callbacks and all

    A task of the type `test` for `target` in `channel`, which the integration must be able to reach (201). While that
    task is active another test is counted there (200).
    """
    _ingest(ingress.prepare_test(relay().bus, name, body))


def _ingest(submission: Submission) -> NoReturn:
    bus, environ = relay().bus, request.environ

    def answered(answer: IngestAnswer) -> tuple[IngestAnswer, int]:
        environ[OUTCOME] = outcome_of(answer)
        return answer, 201 if answer.created else 200

    defer(lambda done: ingress.submit(bus, submission, done), answer=answered)

"""Housekeeping: what is too old is deleted, what is new is made searchable, in steps that never hold up a sender."""

from __future__ import annotations

from collections.abc import Callable

from app.server.services import messages
from app.server.services.bus import Bus
from app.server.store import activity, idempotency, retention, sessions, sqlite
from app.server.store import agents as agent_store
from app.server.store import events as log
from app.server.workers.periodic import Periodic

#: Rows per transaction. Each is one commit that senders may have to wait for: a few milliseconds.
STEP = 500
#: Of tasks fewer: each may have a long history.
TASK_STEP = 20
RETENTION_INTERVAL_S = 60.0
INDEX_INTERVAL_S = 2.0
DAY_MS = 24 * 3600 * 1000


def make_retention(bus: Bus) -> Periodic:
    """The worker that deletes what is older than RETENTION_DAYS, and used-up keys and sessions."""
    worker = Periodic(
        "retention", lambda: sweep(bus, stopping=lambda: worker.stopping), interval_s=RETENTION_INTERVAL_S
    )
    return worker


def sweep(bus: Bus, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """One round over everything that ages."""

    def go_on() -> bool:
        return not stopping()

    now = bus.clock.now_ms()
    if bus.settings.retention_days:
        cutoff = now - bus.settings.retention_days * DAY_MS
        after: int | None = 0
        while after is not None and go_on():
            after = bus.store.write(
                lambda c, after=after: retention.delete_old_messages(c, after=after, cutoff_ms=cutoff, limit=STEP)  # type: ignore[misc]
            )
        while go_on() and bus.store.write(lambda c: retention.delete_old_tasks(c, cutoff_ms=cutoff, limit=TASK_STEP)):
            pass
        while go_on() and bus.store.write(lambda c: retention.delete_old_events(c, cutoff_ms=cutoff, limit=STEP)):
            pass
        while go_on() and bus.store.write(lambda c: activity.delete_some(c, cutoff_ms=cutoff, limit=STEP)):
            pass
    until = now - messages.IDEMPOTENCY_MS
    while go_on() and bus.store.write(lambda c: idempotency.delete_some(c, until_ms=until, limit=STEP)) == STEP:
        pass
    bus.store.write(lambda c: sessions.delete_stale(c, now_ms=now, token_sha256=None))
    bus.store.write(agent_store.forget_marks)


def make_indexer(bus: Bus) -> Periodic:
    """The worker that makes messages searchable once nobody is sending; a search does not wait for it."""
    seen = -1

    def look() -> None:
        nonlocal seen
        with bus.store.read() as connection:
            head = log.head(connection)
            idle = head == seen and sqlite.search_behind(connection)
        seen = head
        while idle and not worker.stopping:
            idle = bus.store.write(lambda c: sqlite.index_next(c, limit=STEP))
            with bus.store.read() as connection:
                idle = idle and log.head(connection) == seen

    worker = Periodic("indexer", look, interval_s=INDEX_INTERVAL_S)
    return worker

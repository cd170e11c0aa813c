"""Who leads a group commit when threads are few."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, text

from app.server.store.engine import Store
from tests.factories import DEADLINE_S, wait_until


def test_a_waiting_thread_leads_before_a_worker_is_asked_for(tmp_path: Path) -> None:
    """With every worker waiting, a lead that is handed to a worker would be taken by nobody (#2)."""
    store = Store(tmp_path / "relay.db")
    store.soon = lambda fn: None  # no worker is free
    begun, go_on = threading.Event(), threading.Event()
    told: list[object] = []

    def hold(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(DEADLINE_S)

    def count(connection: Connection) -> int:
        return int(connection.execute(text("SELECT count(*) FROM counters")).scalar_one())

    first = threading.Thread(target=store.write, args=(hold,))
    first.start()
    assert begun.wait(DEADLINE_S)
    store.write_merged(lambda _c, items: [item * 2 for item in items], 21, lambda result, error: told.append(result))
    second = threading.Thread(target=lambda: told.append(store.write(count)))
    second.start()
    wait_until(lambda: len(store._writer._queue) == 2)
    go_on.set()
    for thread in (first, second):
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert told[0] == 42
    assert len(told) == 2
    store.stop()

"""Group commit: one caller at a time writes, for everyone who waits, in one transaction, and all hear after the commit.

Who finds nobody writing leads: it takes what is waiting, its own operation first, and commits. Who comes meanwhile
waits, or leaves a callback and goes, and the first of them leads next. So one fsync serves many callers under load, and
a lone caller needs no other thread.

An operation is a function of the connection; its result, or its error, goes to its caller only when the transaction is
on disk. Operations of one *kind* that wait together run as a single call, so that the hot path costs a fixed number of
statements a batch, not a message.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from app.errors import Unavailable
from app.server.store import sqlite

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: Takes all items that waited, in order; gives one result or one error for each.
Merged = Callable[[Connection, list[Any]], Sequence[Any]]
#: Told the result, or the error.
Done = Callable[[Any, BaseException | None], None]

#: More than this in one transaction would make the first wait for the last.
MAX_GROUP = 256


class _Pending:
    """One operation, its waiting caller, and what came of it."""

    __slots__ = ("called", "done", "error", "item", "leads", "merged", "operation", "result")

    def __init__(
        self,
        operation: Callable[[Connection], Any] | None,
        merged: Merged | None,
        item: Any,
        done: Done | None = None,
    ) -> None:
        self.operation = operation
        self.merged = merged
        self.item = item
        #: told what came of it, where nobody waits
        self.done = done
        self.result: Any = None
        self.error: BaseException | None = None
        #: called because it is this caller's turn to lead, not because it is done
        self.leads = False
        # A bare lock is the cheapest thing that one thread can wait on and another release.
        self.called = threading.Lock()
        self.called.acquire()

    def tell(self) -> None:
        """Let the caller know."""
        self.leads = False
        if self.done is None:
            self.called.release()
        else:
            self.done(self.result, self.error)


class Writer:
    """Owner of the writing connection. Safe to use from any thread."""

    def __init__(
        self, engine: Engine, *, on_commit: Callable[[], None], soon: Callable[[Callable[[], None]], None]
    ) -> None:
        """
        :param on_commit: rung after each commit, by whoever led it; must be quick.
        :param soon: has a function run by another thread.
        """
        self._on_commit = on_commit
        self._soon = soon
        self._queue: deque[_Pending] = deque()
        #: held by whoever leads, and handed on without being let go
        self._leading = threading.Lock()
        self._stopping = False
        self._stopped = False
        self.commits = 0
        self.operations = 0
        self._connection = engine.connect()
        #: the driver's own connection, for the few words that begin and end transactions
        self._driver = cast("sqlite3.Connection", self._connection.connection.driver_connection)

    def stop(self, timeout_s: float) -> None:
        """Refuse what comes now, let what waits be written, fold the log into the file and close."""
        self._stopping = True
        if not self._leading.acquire(timeout=timeout_s):
            logger.warning("still writing: no last checkpoint", extra={"action": "store.checkpoint"})
            return
        self._stopped = True
        self._refuse_waiting()
        try:
            sqlite.checkpoint(self._connection)
        except DBAPIError as exc:
            logger.warning("no last checkpoint: %s", exc.orig, extra={"action": "store.checkpoint"})
        self._connection.close()

    def do(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in a transaction and return its result once that is durable.

        An error that it raises undoes what it did, and nobody else's work.

        :raises StorageFull: nothing was stored.
        :raises Unavailable: the database does not answer.
        """
        return cast("T", self._submit(_Pending(operation, None, None)))

    def do_merged(self, merged: Merged, item: Any, done: Done) -> None:
        """As :meth:`do`, for one ``item`` of a kind of operation that is done for many at once, and without waiting.

        ``done`` is told the result or the error.
        It is called by whoever leads, so it must be quick, must not raise, and must not write.
        """
        pending = _Pending(None, merged, item, done)
        if self._stopping:
            pending.error = _stopping()
            pending.tell()
            return
        self._queue.append(pending)
        if self._stopped:
            self._refuse_waiting()
        elif self._leading.acquire(blocking=False):
            self._lead()

    def _submit(self, pending: _Pending) -> Any:
        if self._stopping:
            raise _stopping()
        self._queue.append(pending)
        if self._stopped:
            self._refuse_waiting()
        elif self._leading.acquire(blocking=False):
            self._lead()
        # Done by now if this thread led its own operation; else somebody calls, to lead or to go.
        pending.called.acquire()
        while pending.leads:
            pending.leads = False
            self._lead()
            pending.called.acquire()
        if pending.error is not None:
            raise pending.error
        return pending.result

    def _refuse_waiting(self) -> None:
        """Nobody will lead any more: whoever came between the last look and the end hears so."""
        while self._queue:
            with contextlib.suppress(IndexError):  # taken by another thread that does the same
                pending = self._queue.popleft()
                pending.error = _stopping()
                pending.tell()

    def _lead(self) -> None:
        """Write one group, and hand the lead on. ``_leading`` is held, by this thread or for it."""
        while True:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_GROUP))]
            if group:
                self._write(group)
            # To one who waits, where there is one: those may be all threads that there are.
            waiter = self._first_waiter()
            if waiter is not None:
                waiter.leads = True
                waiter.called.release()
                return
            self._leading.release()
            # Only callbacks are left, or nothing, or somebody who came just now and found the lead taken.
            if self._first_waiter() is None:
                if self._queue:
                    self._soon(self._try_lead)
                return
            if not self._leading.acquire(blocking=False):
                return

    def _try_lead(self) -> None:
        if self._leading.acquire(blocking=False):
            self._lead()

    def _first_waiter(self) -> _Pending | None:
        """The first in the queue whose thread waits for it."""
        return next((pending for pending in list(self._queue) if pending.done is None), None)

    def _write(self, group: list[_Pending]) -> None:
        try:
            self._transact(group)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, every caller must hear of it
            self._rollback()
            error = _for_caller(exc)
            for pending in group:
                pending.error = error
        else:
            self.commits += 1
            self.operations += len(group)
            self._on_commit()
        for pending in group:
            pending.tell()

    def _transact(self, group: list[_Pending]) -> None:
        kinds: dict[Merged, list[_Pending]] = {}
        for pending in group:
            if pending.merged is not None:
                kinds.setdefault(pending.merged, []).append(pending)
        work = [(members, partial(self._merge, merged, members)) for merged, members in kinds.items()]
        work += [([pending], partial(self._single, pending)) for pending in group if pending.merged is None]
        self._driver.execute("BEGIN IMMEDIATE")
        for members, do in work:
            if len(work) == 1:
                do()
            else:
                self._guarded(members, do)
        self._driver.execute("COMMIT")

    def _guarded(self, members: list[_Pending], do: Callable[[], None]) -> None:
        """Do one of several things whose failure undoes only itself."""
        self._driver.execute("SAVEPOINT op")
        try:
            do()
        except Exception as exc:
            if sqlite.translate(exc) is not None:
                raise  # the disk or the file: nobody's work can be kept
            self._driver.execute("ROLLBACK TO op")
            for pending in members:
                pending.error = exc
        self._driver.execute("RELEASE op")

    def _merge(self, merged: Merged, members: list[_Pending]) -> None:
        results = merged(self._connection, [pending.item for pending in members])
        for pending, result in zip(members, results, strict=True):
            if isinstance(result, BaseException):
                pending.error = result
            else:
                pending.result = result

    def _single(self, pending: _Pending) -> None:
        assert pending.operation is not None  # noqa: S101 - for the type checker
        pending.result = pending.operation(self._connection)

    def _rollback(self) -> None:
        try:
            self._driver.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite has already rolled back by itself, as it does on a full disk.
            logger.debug("nothing to roll back", extra={"action": "store.rollback"})


def _stopping() -> Unavailable:
    return Unavailable("The relay is stopping.", headers={"Retry-After": "1"})


def _for_caller(exc: BaseException) -> BaseException:
    """What the waiting callers are told of a failed transaction."""
    known = sqlite.translate(exc)
    if known is None:
        return exc
    logger.error("write failed: %s", known.detail, extra={"action": "store.write"})
    return known

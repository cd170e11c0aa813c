"""Carries callbacks to their receivers: one lane for each integration, so that none waits for another's receiver.

A lane has a few threads, made when there is something to carry and gone with it. What is due, and in which order, the
outbox knows (:mod:`app.server.store.callbacks`); a delivery is tried until it is delivered or a day is over, and
whatever ends this process between an answer and its record lets the delivery be tried again under the same webhook id.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app import __version__
from app.client_transport import never_connected
from app.errors import DeliveryNotFound, RelayError
from app.integrations import Integration
from app.logs import scrub
from app.model import DeliveryState
from app.server.services import callbacks
from app.server.services.bus import Bus
from app.server.store import callbacks as store
from app.server.store.callbacks import AttemptRow, Due

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

#: Attempts under way at once to one integration.
LANE_WIDTH = 4
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
KEPT_RESPONSE_BYTES = 2_048
#: A receiver that cannot be reached is asked by one delivery at a time, after a pause of half a second that doubles up
#: to this; all that is due for it waits meanwhile, or thousands of them would keep knocking at a dead host.
MAX_LANE_PAUSE_S = 30.0
#: Deliveries given up at once because their day is over.
GIVE_UP_STEP = 50
#: How long the worker sleeps when nothing is to come, unless it is woken.
IDLE_S = 60.0


class _Lane:
    """The way to one integration. Its fields are used under the courier's lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.under_way: set[int] = set()
        #: attempts in a row that found nobody there
        self.unreached = 0
        #: on the monotonic clock
        self.rests_until_s = 0.0
        self.http: requests.Session | None = None

    @property
    def free(self) -> int:
        return (1 if self.unreached else LANE_WIDTH) - len(self.under_way)


class Courier:
    """The worker that empties the outbox."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)

    def start(self) -> None:
        """Begin, with what was left from before."""
        with self._bus.store.read() as connection:
            self._bus.outbox.integrations |= store.integrations_with_pending(connection)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Begin no further attempt. Those under way are left: unrecorded, they are made again at the next start."""
        self._stopping = True
        self._bus.outbox.wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        wake = self._bus.outbox.wake
        while not self._stopping:
            wake.clear()
            try:
                pause_s = self._round()
            except Exception:
                logger.exception("a round of callbacks failed", extra={"action": "callback.error"})
                pause_s = 5.0
            wake.wait(pause_s)

    def _round(self) -> float:
        """Send off what is due; how many seconds until more is."""
        self._bus.integrations.refresh()
        if self._bus.outbox.clock_jump_ms(self._bus.clock):
            self._bus.store.write(lambda connection: callbacks.follow_clock(self._bus, connection))
        pause_s = IDLE_S
        for name in tuple(self._bus.outbox.integrations):
            lane = self._lanes.setdefault(name, _Lane(name))
            pause_s = min(pause_s, self._serve(lane))
        return pause_s

    def _serve(self, lane: _Lane) -> float:
        with self._lock:
            rests_s = lane.rests_until_s - time.monotonic()
            free, under_way = lane.free, set(lane.under_way)
        if rests_s > 0:
            return rests_s
        if free <= 0:
            return IDLE_S  # whoever comes back wakes the courier
        if lane.unreached:
            callbacks.give_up_overdue(self._bus, lane.name, limit=GIVE_UP_STEP)
        now = self._bus.clock.now_ms()
        with self._bus.store.read() as connection:
            due = store.list_due(connection, lane.name, now_ms=now, limit=free + len(under_way))
            next_at = store.next_due_at(connection, lane.name, after_ms=now)
        fresh = [each for each in due if each.id not in under_way][:free]
        for each in fresh:
            with self._lock:
                lane.under_way.add(each.id)
            try:
                threading.Thread(target=self._carry, args=(lane, each), name=f"callback-{each.id}", daemon=True).start()
            except RuntimeError:  # no more threads for now
                self._come_back(lane, each, reached=False)
                raise
        if len(fresh) == free or next_at is None:
            return IDLE_S  # whoever comes back wakes the courier
        return max(0.05, (next_at - now) / 1000)

    def _carry(self, lane: _Lane, due: Due) -> None:
        """One attempt, on a thread of its own."""
        reached = True
        try:
            integration = self._bus.integrations.named(due.integration)
            if integration is None or integration.callback_url is None:
                error = f"there is no integration {due.integration} with a callbackUrl any more"
                self._record(due, _attempt(self._bus, error=error), final=True)
                return
            reached, attempt = self._post(lane, integration, due)
            self._record(due, attempt)
        except DeliveryNotFound:
            logger.info("a callback aged out on its way", extra={"action": "callback.gone", "delivery_id": due.id})
        except Exception as exc:
            # What is not written down is made again: after a rest, or a full disk would make it a flood.
            reached = False
            if not isinstance(exc, RelayError):
                logger.exception("a callback failed", extra={"action": "callback.error", "delivery_id": due.id})
        finally:
            self._come_back(lane, due, reached=reached)
            self._bus.outbox.wake.set()

    def _come_back(self, lane: _Lane, due: Due, *, reached: bool) -> None:
        with self._lock:
            lane.under_way.discard(due.id)
            lane.unreached = 0 if reached else lane.unreached + 1
            if lane.unreached:
                rest_s = min(0.5 * 2 ** min(lane.unreached - 1, 10), MAX_LANE_PAUSE_S)
                lane.rests_until_s = time.monotonic() + rest_s

    def _record(self, due: Due, attempt: AttemptRow, *, final: bool = False) -> None:
        delivered = attempt.error is None
        state = callbacks.record(self._bus, due.id, attempt, delivered=delivered, final=final)
        level = logging.WARNING if state is DeliveryState.DEAD else logging.INFO
        extra = {
            "action": "callback.attempt",
            "delivery_id": due.id,
            "task_id": due.task_id,
            "integration": due.integration,
            "state": state.value,
            "status": attempt.status,
        }
        logger.log(level, "callback %s", attempt.error or "delivered", extra=extra)

    def _post(self, lane: _Lane, integration: Integration, due: Due) -> tuple[bool, AttemptRow]:
        """:returns: whether anybody was there, and what came of it."""
        import requests
        from urllib3.exceptions import HTTPError

        body = f'{{"event":"{due.event}","task":{due.task}}}'
        http = self._session(lane)
        assert integration.callback_url is not None  # noqa: S101 - looked at by the caller
        at, begun = self._bus.clock.now_ms(), time.monotonic()
        status: int | None = None
        response: str | None = None
        error: str | None = None
        reached = True
        try:
            with http.post(
                integration.callback_url,
                data=body.encode(),
                headers=_headers(integration, due, body),
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status = answer.status_code
                if not 200 <= status < 300:
                    error = f"the receiver answered {status}"
                    if 300 <= status < 400:
                        error += " (redirects are not followed)"
                response = _beginning(answer, deadline_s=begun + READ_TIMEOUT_S)
        except requests.ReadTimeout:
            error = f"the receiver did not answer within {READ_TIMEOUT_S:.0f} s"
        except requests.ConnectTimeout:
            reached, error = False, f"the receiver could not be reached within {CONNECT_TIMEOUT_S:.0f} s"
        except requests.ConnectionError as exc:
            # Whoever hangs up has been reached, and may do so for this task alone.
            reached = not never_connected(exc)
            error = f"the receiver {'hung up' if reached else 'could not be reached'}: {_why(exc)}"
        except (requests.RequestException, HTTPError, ValueError) as exc:
            error = f"the callback could not be made: {_why(exc)}"
        duration_ms = int((time.monotonic() - begun) * 1000)
        return reached, AttemptRow(at=at, duration_ms=duration_ms, status=status, error=error, response=response)

    def _session(self, lane: _Lane) -> requests.Session:
        with self._lock:
            if lane.http is None:
                from http.cookiejar import DefaultCookiePolicy

                import requests
                from requests.adapters import HTTPAdapter

                lane.http = requests.Session()
                lane.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # each callback stands alone
                lane.http.trust_env = False  # no credentials of ~/.netrc for whoever is called
                lane.http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
                for scheme in ("http://", "https://"):
                    lane.http.mount(scheme, HTTPAdapter(pool_maxsize=LANE_WIDTH))
            return lane.http


def _attempt(bus: Bus, *, error: str) -> AttemptRow:
    """An attempt that could not even begin."""
    return AttemptRow(at=bus.clock.now_ms(), duration_ms=0, status=None, error=error, response=None)


def _headers(integration: Integration, due: Due, body: str) -> dict[str, str]:
    """As Standard Webhooks has them (https://www.standardwebhooks.com); signed where there is a secret."""
    at = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"agent-relay/{__version__}",
        "Accept-Encoding": "identity",  # what is kept of the answer is to be read by people
        "webhook-id": due.webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if integration.callback_secret is not None:
        from standardwebhooks import Webhook

        signature = Webhook(integration.callback_secret).sign(msg_id=due.webhook_id, timestamp=at, data=body)
        headers["webhook-signature"] = signature
    return headers


def _beginning(answer: requests.Response, *, deadline_s: float) -> str:
    """The first 2 KiB of an answer, as far as they come in time. Its status has come, and counts whatever follows."""
    from urllib3.exceptions import HTTPError

    data = b""
    with contextlib.suppress(HTTPError, OSError):
        while len(data) < KEPT_RESPONSE_BYTES and time.monotonic() < deadline_s:
            piece = answer.raw.read1(KEPT_RESPONSE_BYTES)
            if not piece:
                break
            data += piece
    text = data[:KEPT_RESPONSE_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
    return scrub(text)  # some answer with what they were sent


def _why(exc: Exception) -> str:
    """The innermost reason, without the address, which may hold a password."""
    inner: BaseException = exc
    while (below := inner.__cause__ or inner.__context__) is not None:
        inner = below
    return f"{type(inner).__name__}" + (f": {inner.strerror}" if isinstance(inner, OSError) and inner.strerror else "")

"""One HTTP call of a client: what it carries, when it is tried again, and the exception that a refusal becomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import msgspec

from app import __version__
from app.client_transport import Answer, Failure, Timeouts, Transport
from app.errors import RelayError, catalogue

#: The first pause between attempts; doubled for each further one, up to the last, and shortened by up to half.
BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
#: A relay that asks for a longer pause than this is answered with its own error.
MAX_RETRY_AFTER_S = 30.0

Query = Mapping[str, "str | int | float | bool | None"]


class RelayUnreachable(RelayError):
    """The relay cannot be reached."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "unreachable"
    title: ClassVar[str] = "Relay not reachable"


class RelayTimeout(RelayUnreachable):
    """The relay did not answer in time."""

    status, code, title = 504, "timeout", "Relay did not answer"


class BadAnswer(RelayError):
    """What answers at this address does not speak as an Agent Relay does."""

    status, code, title = 502, "bad-answer", "Answer not understood"


class RelayProblem(RelayError):
    """The relay answered with an error that this client does not know; status, code and title are its own."""

    status, code, title = 500, "unknown-problem", "Unknown problem"

    def __init__(self, detail: str | None = None, *, status: int, code: str, title: str, **more: Any) -> None:
        super().__init__(detail or title, **more)
        vars(self).update(status=status, code=code, title=title)


class Caller:
    """Calls one relay: puts on what every call carries, tries again where that is safe, raises what the relay refused.

    Safe from any thread if the transport is.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: Transport,
        token: str | None,
        agent_secret: str | None,
        timeout_s: Timeouts,
        retries: int,
        total_s: float,
        ask_token: Callable[[], str | None] | None,
    ) -> None:
        self.url = url
        self.transport = transport
        self.timeout_s = timeout_s
        self._token, self._agent_secret = token, agent_secret
        self._retries, self._total_s = retries, total_s
        self._ask_token = ask_token
        self._ask_lock = threading.Lock()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        wait_s: float = 0.0,
        retries: int | None = None,
    ) -> bytes:
        """The body of a 2xx answer.

        Tried again: when no connection came about, on 503 and 429 (after ``Retry-After``), and, if it is
        ``repeatable``, when the connection broke or timed out, after which nobody knows what the relay has done.

        :param wait_s: how long the relay itself may take its time (long poll).
        :raises RelayError: what the relay refused, or :class:`RelayUnreachable`.
        """
        target = target_of(path, query)
        deadline = time.monotonic() + self._total_s + wait_s
        left = self._retries if retries is None else retries
        pause_s = BACKOFF_S
        unsure = False
        while True:
            after_s = 0.0
            token = self._token
            try:
                answer = self.transport.send(
                    method,
                    target,
                    headers=self.headers(body=body, more=headers),
                    body=body,
                    timeout_s=self._timeouts(deadline, wait_s=wait_s),
                )
            except Failure as failure:
                error: RelayError = self.unreachable(failure)
                error.__cause__ = failure
                unsure = unsure or failure.sent
                again = not failure.final and (repeatable or not failure.sent)
            else:
                if 200 <= answer.status < 300:
                    return answer.body
                if answer.status == 401 and self.take_other_token(than=token):
                    continue
                if answer.status == 404 and method == "DELETE" and unsure:
                    return b""  # it was the attempt whose answer got lost
                error = self.problem(answer)
                after_s = retry_after_s(answer)
                again = answer.status in {429, 503} and after_s <= MAX_RETRY_AFTER_S
            wait = max(after_s, jittered(pause_s))
            if not again or left <= 0 or time.monotonic() + wait >= deadline:
                raise error
            time.sleep(wait)
            left, pause_s = left - 1, min(pause_s * 2, MAX_BACKOFF_S)

    def headers(self, *, body: bytes | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a request carries."""
        found = {"Accept": "application/json", "User-Agent": f"agent-relay/{__version__}"}
        if body is not None:
            found["Content-Type"] = "application/json"
        if self._token is not None:
            found["Authorization"] = f"Bearer {self._token}"
        if self._agent_secret is not None:
            found["X-Agent-Relay-Agent-Secret"] = self._agent_secret
        return found | dict(more or {})

    def take_other_token(self, *, than: str | None) -> bool:
        """After a 401: ask for another token, once, and say whether there is one to try."""
        with self._ask_lock:
            if self._token != than:
                return True  # another thread has got one meanwhile
            ask, self._ask_token = self._ask_token, None
            found = ask() if ask is not None else None
            if found is None or found == than:
                return False
            self._token = found
            return True

    def unreachable(self, failure: Failure) -> RelayUnreachable:
        """What a failure means to a caller."""
        if failure.timed_out and failure.sent:
            return RelayTimeout(f"The relay at {self.url} did not answer in time: it may be overloaded; try again.")
        mend = "start it with agent-relay, or set AGENT_RELAY_URL to where it runs"
        return RelayUnreachable(f"The relay at {self.url} cannot be reached ({failure.reason}): {mend}.")

    def problem(self, answer: Answer) -> RelayError:
        """The exception for an answer that is not 2xx."""
        return problem_of(answer, url=self.url)

    def _timeouts(self, deadline: float, *, wait_s: float) -> Timeouts:
        left = max(deadline - time.monotonic(), 0.1)
        return min(self.timeout_s[0], left), min(self.timeout_s[1] + wait_s, left)


def target_of(path: str, query: Query | None) -> str:
    """Path and query of a call; what is None is left out."""
    given = {name: _query_text(value) for name, value in (query or {}).items() if value is not None}
    return f"/api{path}" + (f"?{urlencode(given, quote_via=quote)}" if given else "")


def _query_text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def problem_of(answer: Answer, *, url: str) -> RelayError:
    """A problem document as the exception of its code."""
    try:
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
        code, title, detail = (str(document[name]) for name in ("code", "title", "detail"))
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        where = f"{url} answered {answer.status} without a problem document"
        title = f"{where}: is it an Agent Relay, or is something between?"
        return RelayProblem(title, status=answer.status, code=f"http-{answer.status}", title=title)
    known = {"type", "title", "status", "code", "detail", "errors", "headers", "self"}
    more: dict[str, Any] = {name: value for name, value in document.items() if name not in known}
    more["errors"] = document.get("errors")
    retry_after = answer.headers.get("Retry-After")
    more["headers"] = {"Retry-After": retry_after} if retry_after else None
    for cls in catalogue():
        if cls.code == code and not issubclass(cls, RelayProblem):
            return cls(detail, **more)
    return RelayProblem(detail, status=answer.status, code=code, title=title, **more)


def retry_after_s(answer: Answer) -> float:
    """How long the relay asks to be left alone; 0 if it says nothing, or a date."""
    text = (answer.headers.get("Retry-After") or "").strip()
    return float(text) if text.isdigit() and text.isascii() else 0.0


def jittered(pause_s: float) -> float:
    """Between half of it and all of it, so that clients which failed together do not return together."""
    import random

    return pause_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing

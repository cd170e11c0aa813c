"""The relay's client: what the command line, the tray, agents and connectors use.

Answers are the Structs of :mod:`app.model`; keys that this version does not know are read over, so that an older client
works with a newer relay (a new *value* of an enumeration is not known to it: :class:`~app.client_http.BadAnswer`).
Errors are the classes of :mod:`app.errors`, found by the ``code`` of the relay's problem document, beside those of
:mod:`app.client_http`. Importing this module is cheap: requests is imported by the first call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from app import config_values
from app.client_agents import AgentCalls
from app.client_http import BadAnswer, Caller, RelayProblem, RelayTimeout, RelayUnreachable
from app.client_messages import MessageCalls
from app.client_tasks import TaskCalls
from app.client_transport import LoopbackTransport, RequestsTransport, Transport
from app.errors import RelayError
from app.model import Health, RedeemCode, Session, SessionCode, Stats

if TYPE_CHECKING:
    from app.client_live import LiveEvent, LiveEvents

__all__ = ["BadAnswer", "LiveEvent", "LiveEvents", "RelayClient", "RelayProblem", "RelayTimeout", "RelayUnreachable"]

#: Seconds to connect, and to wait for an answer (just over three, as TCP sends its first packet again after three).
TIMEOUT_S = (3.05, 30.0)


class RelayClient(AgentCalls, MessageCalls, TaskCalls):
    """Calls one relay. Safe from any thread; connections are kept alive and shared. Close it, or use ``with``.

    Calls that fail for a moment are tried again, as :meth:`app.client_http.Caller.call` says; a send carries an
    ``Idempotency-Key``, so that trying again never sends twice.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:4850",
        *,
        token: str | None = None,
        agent_secret: str | None = None,
        timeout_s: tuple[float, float] = TIMEOUT_S,
        retries: int = 3,
        total_s: float = 60.0,
        ask_token: Callable[[], str | None] | None = None,
        one_shot: bool = False,
    ) -> None:
        """
        :param url: ``http://host:port``.
        :param agent_secret: of the agent in whose name the calls are made, where it has one.
        :param timeout_s: to connect, and for each answer.
        :param retries: how often a call is tried again, at most.
        :param total_s: after this time no further attempt is begun, and none waits for longer.
        :param ask_token: asked for another token, once, when the relay refuses this one (401).
        :param one_shot: the program ends after a call or two: do without requests where the relay is on this machine.
        :raises ValueError: the URL, the token or the secret is not one.
        """
        self.url = config_values.relay_url(url)
        transport: Transport
        if one_shot and LoopbackTransport.suits(self.url):
            transport = LoopbackTransport(self.url)
        else:
            transport = RequestsTransport(self.url)
        self._caller = Caller(
            self.url,
            transport=transport,
            token=None if token is None else config_values.token(token),
            agent_secret=None if agent_secret is None else config_values.token(agent_secret),
            timeout_s=timeout_s,
            retries=retries,
            total_s=total_s,
            ask_token=ask_token,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections. Iterators of :meth:`events` have their own and go on."""
        self._caller.transport.close()

    def events(
        self,
        agent_id: str | None = None,
        *,
        since: int | None = None,
        stop: threading.Event | None = None,
        on_connect: Callable[[], None] | None = None,
        on_disconnect: Callable[[RelayError, float], None] | None = None,
    ) -> LiveEvents:
        """Everything that happens from now on, or what concerns one agent, beginning with its unread inbox.

        "Now" is the iteration's first step. It goes on for ever, over every loss of the connection, until it is closed
        or ``stop`` is set; on a connection of its own, so that other calls may be made meanwhile.

        :param since: begin after this event id instead; where the relay no longer holds it, with a ``reset`` event.
        :param on_connect: called in the iterating thread each time that a stream has begun.
        :param on_disconnect: called there each time that it was lost, with why and the pause in seconds.
        :raises RelayError: from the iteration, what the relay refuses for good (401, 403, 404, …).
        """
        from app.client_live import LiveEvents

        return LiveEvents(
            self._caller,
            agent_id=agent_id,
            since=since,
            stop=stop,
            on_connect=on_connect,
            on_disconnect=on_disconnect,
        )

    def create_session_code(self) -> SessionCode:
        """A code for 30 s and one use, which signs a browser in."""
        return self._post("/session/code", SessionCode)

    def redeem_session_code(self, code: str) -> Session:
        """Change a code for a session token. Not tried again after a lost connection: the code is used up."""
        return self._post("/session/redeem", Session, body=RedeemCode(code=code), repeatable=False)

    def end_session(self) -> None:
        """Sign out the session whose token this client uses."""
        self._caller.call("DELETE", "/session")

    def stats(self) -> Stats:
        """Counts, version, uptime, live streams."""
        return self._get("/stats", Stats)

    def health(self) -> Health:
        """Whether the relay and its database answer; tried once.

        :raises Unavailable: the database does not.
        """
        found = self._decode(self._caller.call("GET", "/healthz", retries=0), Health)
        if found.app != "agent-relay":
            raise BadAnswer(f"What answers at {self.url} is not an Agent Relay.")
        return found


def __getattr__(name: str) -> Any:
    """``LiveEvent`` and ``LiveEvents``, imported only when asked for."""
    if name in {"LiveEvent", "LiveEvents"}:
        from app import client_live

        return getattr(client_live, name)
    raise AttributeError(name)

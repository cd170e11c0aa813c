"""How a client's requests travel: :class:`RequestsTransport`, and a lighter one for commands that make one call.

``requests`` takes longer to import than all the rest of a command, and is imported only when a call needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from app import config_values

if TYPE_CHECKING:
    import http.client

    import requests

Timeouts = tuple[float, float]


class Headers(Protocol):
    def get(self, name: str, /) -> str | None:
        """The header's value, whatever the case of its name."""


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Failure(Exception):
    """A transport got no answer."""

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False, final: bool = False) -> None:
        """
        :param sent: the request may have reached the relay, which may have acted on it.
        :param final: trying again cannot help, e.g. a certificate that is not trusted.
        """
        super().__init__(reason)
        self.reason, self.sent, self.timed_out, self.final = reason, sent, timed_out, final


class Transport(Protocol):
    """Sends one request and reads the whole answer."""

    def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: Timeouts
    ) -> Answer:
        """:raises Failure: there was no answer."""

    def close(self) -> None: ...


class RequestsTransport:
    """A pooled :class:`requests.Session`, safe from any thread. It follows no redirect: the token would go along."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: requests.Session | None = None
        self._lock = threading.Lock()

    def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: Timeouts
    ) -> Answer:
        response = self.open(method, target, headers=headers, body=body, timeout_s=timeout_s, stream=False)
        return Answer(response.status_code, response.headers, response.content)

    def open(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_s: Timeouts,
        stream: bool,
    ) -> requests.Response:
        """As :meth:`send`, but with ``stream`` the body is left to be read."""
        session = self._get()
        from requests import exceptions

        try:
            return session.request(
                method,
                self._url + target,
                headers=headers,
                data=body,
                timeout=timeout_s,
                allow_redirects=False,
                stream=stream,
            )
        except exceptions.SSLError as exc:
            raise Failure(_reason(exc), sent=False, final=True) from exc
        except exceptions.ConnectTimeout as exc:
            raise Failure("no connection in time", sent=False, timed_out=True) from exc
        except exceptions.Timeout as exc:
            raise Failure("no answer in time", sent=True, timed_out=True) from exc
        except exceptions.RequestException as exc:
            raise Failure(_reason(exc), sent=not never_connected(exc)) from exc

    def close(self) -> None:
        with self._lock:
            if self._session is None:
                return
            for adapter in self._session.adapters.values():
                # Clearing the manager leaves each pool to the garbage collector, and a traceback may keep it for long.
                pools = getattr(adapter, "poolmanager").pools  # noqa: B009 - not among the types of requests
                for key in pools.keys():  # noqa: SIM118 - it cannot be iterated
                    pools[key].close()
            self._session.close()
            self._session = None

    def _get(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session = self._make()
            return self._session

    def _make(self) -> requests.Session:
        import requests
        from requests.adapters import HTTPAdapter

        def keep(request: requests.PreparedRequest) -> requests.PreparedRequest:
            return request

        session = requests.Session()
        # A proxy has no way to this machine's own loopback.
        session.trust_env = not config_values.is_loopback(urlsplit(self._url).hostname or "")
        # Any "auth" keeps requests from putting what ~/.netrc says in place of our Authorization header.
        session.auth = keep
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=16)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session


class LoopbackTransport:
    """One ``http.client`` connection: plain HTTP to this machine, for programs that end after a call or two.

    It spares them the import of requests, which takes longer than all the rest of a command. One call at a time.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()

    @staticmethod
    def suits(url: str) -> bool:
        """Whether the relay at this address is one for it."""
        parts = urlsplit(url)
        return parts.scheme == "http" and config_values.is_loopback(parts.hostname or "")

    def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: Timeouts
    ) -> Answer:
        from http.client import HTTPException

        with self._lock:
            sent = False
            try:
                connection = self._connect(timeout_s)
                sent = True
                connection.request(method, target, body=body, headers=dict(headers))
                response = connection.getresponse()
                return Answer(response.status, response.headers, response.read())
            except TimeoutError as exc:
                self._drop()
                raise Failure(f"no {'answer' if sent else 'connection'} in time", sent=sent, timed_out=True) from exc
            except (OSError, HTTPException) as exc:
                self._drop()
                raise Failure(_reason(exc), sent=sent) from exc

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _connect(self, timeout_s: Timeouts) -> http.client.HTTPConnection:
        from http.client import HTTPConnection

        connection = self._connection
        if connection is None:
            connection = self._connection = HTTPConnection(self._host, self._port)
        if connection.sock is None:
            connection.timeout = timeout_s[0]
            connection.connect()
        connection.sock.settimeout(timeout_s[1])
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _reason(exc: BaseException) -> str:
    """What went wrong in the system's own words, which libraries wrap many times."""
    seen: set[int] = set()
    todo: list[object] = [exc]
    text = ""
    while todo:
        here = todo.pop(0)
        if id(here) in seen or not isinstance(here, BaseException):
            continue
        seen.add(id(here))
        if isinstance(here, OSError) and here.strerror:
            return here.strerror
        text = str(here) or text
        todo += [here.__cause__, here.__context__, getattr(here, "reason", None), *here.args]
    return text or type(exc).__name__


def never_connected(exc: BaseException) -> bool:
    """Whether an error of requests means that nobody was reached, so that nothing can have been done."""
    from urllib3.exceptions import NewConnectionError

    wrapped = exc.args[0] if exc.args else None
    return isinstance(getattr(wrapped, "reason", wrapped), NewConnectionError)

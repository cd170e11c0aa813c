"""The door: what every request passes before its route, and what every answer leaves with.

Who gets in is section 3 of the contract: the Host must be one of ours (a rebound name is not), a web page of another
origin is refused, a token is asked for where there is one, and a body is read only as JSON. It is plain WSGI around the
app, so that nothing of the app runs for whoever does not get in, and so that it costs a request next to nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.errors import (
    HostRefused,
    IntegrationTokenRequired,
    OriginRefused,
    RelayError,
    Unauthorized,
    UnsupportedMediaType,
)
from app.integrations import Integration
from app.server.api.problems import SECURITY_HEADERS, new_request_id, render_problem
from app.server.services import sessions
from app.server.services.bus import Bus
from app.server.services.integrations import check_scope
from app.server.services.tally import Tally

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from app.server.services.ratelimit import RateLimiter

Headers = list[tuple[str, str]]

#: Under /api, yet open to everyone: a probe for service managers, and how a browser gets its session.
OPEN_PATHS = frozenset({"/api/healthz", "/api/session/redeem"})
WEBSOCKET_PATH = "/api/ws"

#: In the WSGI environ: this request's name in answers and logs.
REQUEST_ID = "relay.request_id"
#: In the WSGI environ: the route that answered, put there by the route itself.
ROUTE = "relay.route"
#: In the WSGI environ: the integration whose token came with the request.
INTEGRATION = "relay.integration"
#: In the WSGI environ: what an integration's event counts as, put there by the route that took it.
OUTCOME = "relay.outcome"
#: In the WSGI environ: the integration whose event it is, taken or not.
_SOURCE = "relay.source"
#: In the WSGI environ: headers that say how often it may still call.
_RATE = "relay.rate"
#: In the WSGI environ: a WebSocket whose token has yet to come, in its first frame.
NEEDS_TOKEN = "relay.needs_token"  # noqa: S105 - a key
_CORS_ORIGIN = "relay.cors_origin"

_EXPOSED_HEADERS = "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Agent-Relay-Token, X-Agent-Relay-Agent-Secret"
)
_MAX_KNOWN_HOSTS = 1_000

#: Where integrations' events come in: nobody else's token is taken there.
EVENTS_PATH = "/api/integrations/events"


def needed_scope(method: str, path: str) -> str | None:
    """The scope that an integration needs for a call; None: no integration may make it."""
    if method == "POST":
        return {EVENTS_PATH: "tasks:create", "/api/messages": "messages:send"}.get(path)
    looks = method in {"GET", "HEAD"} and (path == "/api/tasks" or path.startswith("/api/tasks/"))
    # A timeline tells of the whole conversation, which is not the integration's.
    return "tasks:read" if looks and not path.endswith("/timeline") else None


class Door:
    """WSGI around an app."""

    def __init__(self, app: WSGIApplication, bus: Bus, *, token_sha256: bytes | None) -> None:
        """:param token_sha256: of the shared token, or None where none is asked."""
        self._app = app
        self._bus = bus
        self.token_sha256 = token_sha256
        settings = bus.settings
        self._names = own_names() | {name.lower() for name in settings.allowed_hosts}
        self._good_hosts: set[str] = set()
        self._any_origin = "*" in settings.cors_origins
        self._origins = frozenset(settings.cors_origins) - {"*"}
        self._rate: RateLimiter | None = None
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, str, str]] = Counter()
        #: what became of integrations' events
        self.tally = Tally(bus.clock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or say why not."""
        environ[REQUEST_ID] = new_request_id()

        def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            self._count(environ, status)
            return start_response(status, headers + missing_headers(environ, headers), exc_info)

        try:
            if self._check(environ):
                return self._app(environ, start)
        except RelayError as error:
            headers, body = render_problem(error, environ["PATH_INFO"], environ[REQUEST_ID])
            start(f"{error.status} {HTTPStatus(error.status).phrase}", [*headers, ("Content-Length", str(len(body)))])
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]
        start("204 No Content", [])
        return [b""]

    def leave(self, environ: WSGIEnvironment, status: int, headers: Headers) -> tuple[str, Headers]:
        """For an answer that leaves by another way than the app's: its status line and all its headers."""
        line = f"{status} {HTTPStatus(status).phrase}"
        self._count(environ, line)
        return line, headers + missing_headers(environ, headers)

    def _count(self, environ: WSGIEnvironment, status: str) -> None:
        with self._lock:
            self._answers[environ["REQUEST_METHOD"], environ.get(ROUTE, "(none)"), status[:3]] += 1
        if _SOURCE in environ:
            self.tally.note(environ[_SOURCE], int(status[:3]), environ.get(OUTCOME))

    def answers(self) -> list[tuple[tuple[str, str, str], int]]:
        """How many answers there were, by method, route and status."""
        with self._lock:
            return sorted(self._answers.items())

    def _check(self, environ: WSGIEnvironment) -> bool:
        """Let a request in, or raise what is wrong with it.

        :returns: False for a pre-flight, which is answered here.
        """
        self._check_host(environ.get("HTTP_HOST", ""))
        path: str = environ["PATH_INFO"]
        if not path.startswith("/api/"):
            return True
        self._check_origin(environ)
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            return False
        if path not in OPEN_PATHS:
            presented = presented_token(environ)
            if presented is None and path == WEBSOCKET_PATH and "HTTP_UPGRADE" in environ:
                # A browser cannot put it into the handshake: it comes in the first frame.
                environ[NEEDS_TOKEN] = self.token_sha256 is not None
            else:
                self._admit(environ, path, presented)
        if environ.get("CONTENT_LENGTH", "0") not in {"", "0"}:
            kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise UnsupportedMediaType
        return True

    def _check_host(self, host: str) -> None:
        if host in self._good_hosts:
            return
        check_host(host, self._names)
        if len(self._good_hosts) < _MAX_KNOWN_HOSTS:
            self._good_hosts.add(host)

    def _check_origin(self, environ: WSGIEnvironment) -> None:
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None:
            if origin in self._origins or (self._any_origin and origin != "null"):
                environ[_CORS_ORIGIN] = origin
                return
            if origin != f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}":
                raise OriginRefused(
                    f"A page of {origin} may not call this relay; if it may, add it to AGENT_RELAY_CORS_ORIGINS."
                )
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site not in {"same-origin", "none"}:
            raise OriginRefused(f"A page of another site may not call this relay (Sec-Fetch-Site: {site}).")

    def _admit(self, environ: WSGIEnvironment, path: str, presented: str | None) -> None:
        """Let in who may: the shared token's owner everywhere, an integration as far as its scopes go."""
        integration = self.authorise(presented)
        if integration is not None:
            if path == EVENTS_PATH and environ["REQUEST_METHOD"] == "POST":
                environ[_SOURCE] = integration.name
            environ[_RATE] = self._limiter().take(integration.name)
            check_scope(integration, needed_scope(environ["REQUEST_METHOD"], path))
            environ[INTEGRATION] = integration
        elif path == EVENTS_PATH:
            if presented is None:
                raise Unauthorized(
                    "Events come from integrations: send the integration's own token.", headers=_CHALLENGE
                )
            if self.token_sha256 is None:
                raise Unauthorized(
                    "This token is no integration's (any more): send the integration's own token.", headers=_CHALLENGE
                )
            raise IntegrationTokenRequired

    def _limiter(self) -> RateLimiter:
        """Made by the first integration that calls: its library costs a start more than it need."""
        if self._rate is None:
            from app.server.services.ratelimit import RateLimiter  # not under the lock, which every answer takes

            with self._lock:
                if self._rate is None:
                    self._rate = RateLimiter(self._bus.settings.integration_rate_limit_per_minute)
        return self._rate

    def authorise(self, presented: str | None) -> Integration | None:
        """Hold a presented token against the shared one, then against the integrations' and the sessions.

        :returns: the integration whose token it is, if it is one's.
        :raises Unauthorized: it is none of them, and one is asked.
        """
        expected = self.token_sha256
        if presented is None:
            if expected is None:
                return None
            raise Unauthorized(headers=_CHALLENGE)
        digest = hashlib.sha256(_octets(presented)).digest()
        if expected is not None and hmac.compare_digest(digest, expected):
            return None
        # By its hash, whose digits tell whoever guesses nothing of how close the guess was.
        integration = self._bus.integrations.find(digest)
        if integration is not None or expected is None:
            return integration
        if not sessions.is_live(self._bus, presented, token_sha256=expected):
            raise Unauthorized(
                "This token is not the relay's (any more): get the current one from whoever runs it.",
                headers=_CHALLENGE,
            )
        return None


def _octets(header: str) -> bytes:
    """A header's bytes as they came (PEP 3333 shows them as Latin-1), or a frame's text in UTF-8."""
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:
        return header.encode()


def presented_token(environ: WSGIEnvironment) -> str | None:
    """The token that a request carries."""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if value and scheme.lower() == "bearer" and value.strip():
        return str(value.strip())
    return environ.get("HTTP_X_AGENT_RELAY_TOKEN") or None


def own_names() -> set[str]:
    """Names under which this machine is reached by people on it and beside it."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {"localhost", name, short, f"{short}.local"}


def check_host(host: str, names: set[str]) -> None:
    """DNS rebinding needs a name that an attacker owns: an IP literal or one of our own names is none.

    :raises HostRefused: the header is missing or names something else.
    """
    bare = _without_port(host).lower().rstrip(".")
    if bare in names:
        return
    try:
        ipaddress.ip_address(bare.strip("[]"))
    except ValueError:
        raise HostRefused(
            f"This relay does not answer to the host {bare!r}; if it should, add it to AGENT_RELAY_ALLOWED_HOSTS."
        ) from None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[: host.find("]") + 1] or host
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def missing_headers(environ: WSGIEnvironment, present: Sequence[tuple[str, str]] = ()) -> Headers:
    """What every answer carries, as far as it does not yet."""
    own = {name for name, _ in present}
    headers = [pair for pair in SECURITY_HEADERS if pair[0] not in own]
    if "X-Request-Id" not in own:
        headers.append(("X-Request-Id", environ[REQUEST_ID]))
    if _RATE in environ:
        headers += [pair for pair in environ[_RATE] if pair[0] not in own]
    origin = environ.get(_CORS_ORIGIN)
    if origin is not None:
        headers = [pair for pair in headers if pair[0] != "Cross-Origin-Resource-Policy"]
        headers += [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED_HEADERS),
            ("Vary", "Origin"),
        ]
        if environ["REQUEST_METHOD"] == "OPTIONS":
            headers += [
                ("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE"),
                ("Access-Control-Allow-Headers", _ALLOWED_HEADERS),
                ("Access-Control-Max-Age", "600"),
            ]
    return headers

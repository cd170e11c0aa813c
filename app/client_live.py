"""The live side of a client: Server-Sent Events, parsed from raw bytes, resumed over every loss of the connection."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from app.client_http import BadAnswer, Caller, RelayUnreachable, jittered, retry_after_s, target_of
from app.client_transport import Answer, Failure, RequestsTransport
from app.errors import RelayError
from app.model import Message, Stats, decoder_of

if TYPE_CHECKING:
    import requests

#: The relay sends a comment every 15 s: without a byte for three times that, the connection is dead.
SILENCE_S = 45.0
#: How long the relay may take to begin to answer; it begins at once.
BEGIN_S = 10.0
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 30.0
#: How many event ids are remembered, so that none is handed out twice.
REMEMBERED_IDS = 16_384
#: A message is at most 1 MiB; escaped as JSON that is at most six times as much.
MAX_EVENT_BYTES = 8 << 20
#: Answers for which trying again is of no use.
_FINAL = frozenset(range(300, 500)) - {408, 429}


class Frame(NamedTuple):
    """One event as it came in: its name, the stream's last id at that point, its data as text."""

    event: str
    id: str
    data: str


class SseParser:
    """Server-Sent Events out of bytes that may be cut anywhere.

    See https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation; ``retry`` is read
    over, for the pauses are the client's own.
    """

    def __init__(self) -> None:
        #: as of the last blank line, events without data included: where to resume
        self.last_id = ""
        self._line = bytearray()
        self._after_cr = False
        self._first = True
        self._id = ""
        self._event = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The events that these bytes complete.

        :raises ValueError: for a line or an event that no relay sends.
        """
        if self._after_cr and chunk:
            # The second half of a CRLF that was cut in two.
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        for piece in chunk.splitlines(keepends=True):
            self._line += piece
            self._size += len(piece)
            if self._size > MAX_EVENT_BYTES:
                raise ValueError("an event larger than any message")
            if not piece.endswith((b"\r", b"\n")):
                return
            self._after_cr = piece.endswith(b"\r")
            line = bytes(self._line).rstrip(b"\r\n")
            self._line.clear()
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line:
                self._take(line.decode("utf-8", errors="replace"))
            elif (frame := self._finish()) is not None:
                yield frame
        # Only a CR at the very end leaves open whether a LF belongs to it: splitlines keeps a whole CRLF together.

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _finish(self) -> Frame | None:
        event, data = self._event, self._data
        self.last_id = self._id
        self._event, self._data, self._size = "", [], 0
        return Frame(event or "message", self._id, "\n".join(data)) if data else None


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the bus.

    ``reset`` says that events were lost to this listener (it was away for too long, or the relay has another database
    now): take a new snapshot of whatever was built from events, and go on listening.
    """

    #: ``message.new``, ``agent.status``, …, or ``reset``
    event: str
    #: its number in the relay's log; None only where the relay gives none
    id: int | None
    #: decoded JSON
    data: Any

    @property
    def message(self) -> Message | None:
        """The message of ``message.new``, ``.claimed``, ``.released`` and ``.deleted``; None for other events.

        :raises BadAnswer: if it is not as this version knows messages.
        """
        if not self.event.startswith("message.") or self.event == "message.read":
            return None
        try:
            decoder_of(Message)  # so that the type is ready to be converted to
            return msgspec.convert(self.data, Message)
        except msgspec.ValidationError as exc:
            raise BadAnswer(f"event {self.id}: {exc}") from exc


class LiveEvents:
    """An iterator over the relay's events that outlives every loss of the connection.

    One thread iterates; :meth:`close` may be called from any other and ends it at once (while a connection is being
    made: within :data:`BEGIN_S`). The ids of events only grow, but for the unread inbox at the beginning of an agent's
    stream and the work that a new tag brings, which come under the older ids of their announcement.

    Nothing is lost: a new connection resumes after the newest id that was handed out, and where the relay cannot do
    that it says ``reset``. No event id is handed out twice, except after a ``reset`` to a log that is shorter.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        agent_id: str | None = None,
        since: int | None = None,
        stop: threading.Event | None = None,
        on_connect: Callable[[], None] | None = None,
        on_disconnect: Callable[[RelayError, float], None] | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        """See :meth:`app.client.RelayClient.events`."""
        self._caller = caller
        # Of its own: a stream holds its connection for good.
        self._transport = RequestsTransport(caller.url)
        self._agent_id = agent_id
        self._on_connect, self._on_disconnect = on_connect, on_disconnect
        self._silence_s = silence_s
        self._closed = threading.Event()
        self._iterating = threading.Lock()
        self._lock = threading.Lock()
        self._response: requests.Response | None = None
        self._newest = since
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._pause_s = FIRST_PAUSE_S
        self._iterator = self._run()
        if stop is not None:
            watch = threading.Thread(target=_close_on, args=(weakref.ref(self), stop), name="events-stop", daemon=True)
            watch.start()

    @property
    def last_id(self) -> int | None:
        """The newest event id so far: pass it as ``since`` to go on from here another time."""
        return self._newest

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveEvent:
        with self._iterating:
            return next(self._iterator)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_iterator"):
            self.close()

    def close(self) -> None:
        """End the iteration. Safe from any thread, and to call again."""
        self._closed.set()
        with self._lock:
            if self._response is not None:
                _wake(self._response)
        # A thread that is inside the iterator has just been woken and cleans up; if none is, this one does.
        if self._iterating.acquire(blocking=False):
            try:
                self._iterator.close()
            finally:
                self._iterating.release()

    def _run(self) -> Generator[LiveEvent, None, None]:
        try:
            while not self._closed.is_set():
                after_s = 0.0
                try:
                    response = self._connect()
                    if response is None:
                        return
                    if self._on_connect is not None:
                        self._on_connect()
                    yield from self._read(response)
                    error: RelayError = RelayUnreachable(f"The relay at {self._caller.url} ended the stream.")
                except Failure as failure:
                    error = self._caller.unreachable(failure)
                    error.__cause__ = failure
                    if failure.final:
                        raise error from failure
                except RelayError as exc:
                    if exc.status in _FINAL or isinstance(exc, BadAnswer):
                        raise
                    error, after_s = exc, float(exc.headers.get("Retry-After", 0))
                if self._closed.is_set():
                    return
                pause_s = max(jittered(self._pause_s), min(after_s, MAX_PAUSE_S))
                self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
                if self._on_disconnect is not None:
                    self._on_disconnect(error, pause_s)
                self._closed.wait(pause_s)
        finally:
            self._transport.close()

    def _connect(self) -> requests.Response | None:
        """A stream that has begun; None if it was closed meanwhile."""
        if self._newest is None and self._agent_id is None:
            # Fixed before the stream begins, so that a loss before its first event leaves no gap.
            self._newest = self._head()
        while True:
            headers = self._caller.headers(more={"Accept": "text/event-stream", "Cache-Control": "no-store"})
            token = headers.get("Authorization", "Bearer ").removeprefix("Bearer ") or None
            if self._newest is not None:
                headers["Last-Event-ID"] = str(self._newest)
            response = self._transport.open(
                "GET",
                target_of("/events", {"for": self._agent_id}),
                headers=headers,
                timeout_s=(self._caller.timeout_s[0], min(BEGIN_S, self._silence_s)),
                stream=True,
            )
            if response.status_code == 401 and self._caller.take_other_token(than=token):
                response.close()
                continue
            break
        if response.status_code != 200:
            with response:
                answer = Answer(response.status_code, response.headers, _body(response))
            problem = self._caller.problem(answer)
            problem.headers = {"Retry-After": str(retry_after_s(answer))}
            raise problem
        kind = response.headers.get("Content-Type", "")
        if not kind.startswith("text/event-stream"):
            response.close()
            raise BadAnswer(f"{self._caller.url} answered {kind or 'something'} instead of an event stream.")
        _set_timeout(response, self._silence_s)
        with self._lock:
            if self._closed.is_set():
                response.close()
                return None
            self._response = response
            return response

    def _head(self) -> int:
        answer = self._caller.call("GET", "/stats", retries=0)
        try:
            head: int = decoder_of(Stats).decode(answer).event_seq
            return head
        except msgspec.DecodeError as exc:
            raise BadAnswer(f"{self._caller.url} answered what is not an Agent Relay's: {exc}") from exc

    def _read(self, response: requests.Response) -> Iterator[LiveEvent]:
        """Events until the connection ends, however it does.

        :raises Failure: it broke, or nothing came for too long.
        """
        parser = SseParser()
        try:
            for chunk in _chunks(response):
                for frame in parser.feed(chunk):
                    event = self._accept(frame)
                    if event is not None:
                        self._pause_s = FIRST_PAUSE_S
                        yield event
                    if self._closed.is_set():
                        return
                if parser.last_id.isdigit() and self._newest is None:
                    self._newest = int(parser.last_id)
        except ValueError as exc:
            raise Failure(str(exc), sent=True) from exc
        finally:
            with self._lock:
                self._response = None
            response.close()

    def _accept(self, frame: Frame) -> LiveEvent | None:
        """The event, unless it was handed out before."""
        number = int(frame.id) if frame.id.isdigit() and frame.id.isascii() else None
        try:
            data = msgspec.json.decode(frame.data)
        except msgspec.DecodeError as exc:
            raise ValueError(f"event {frame.id} is not JSON") from exc
        if frame.event == "reset":
            if number is not None:
                if number < (self._newest or 0):
                    self._seen.clear()
                self._newest = number
        elif number is not None:
            if number in self._seen:
                return None
            self._seen[number] = None
            if len(self._seen) > REMEMBERED_IDS:
                self._seen.popitem(last=False)
            self._newest = max(self._newest or 0, number)
        return LiveEvent(event=frame.event, id=number, data=data)


def _close_on(events: weakref.ref[LiveEvents], stop: threading.Event) -> None:
    """Close an iterator when the event is set; look now and then whether there still is one."""
    while not stop.wait(1.0):
        live = events()
        if live is None or live.closed:
            return
        del live
    live = events()
    if live is not None:
        live.close()


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """What comes in, as it comes in.

    :raises Failure: the connection broke, or was silent for too long.
    """
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    raw = response.raw
    try:
        if raw.chunked:
            yield from raw.read_chunked()
        else:
            while chunk := raw.read1(65_536):
                yield chunk
    except ReadTimeoutError as exc:
        raise Failure("nothing was heard for too long", sent=True, timed_out=False) from exc
    except (HTTPError, OSError) as exc:
        raise Failure("the connection was lost", sent=True) from exc


def _body(response: requests.Response) -> bytes:
    """A small answer's text, whatever becomes of the connection."""
    try:
        return bytes(response.raw.read(65_536, decode_content=True))
    except Exception:  # noqa: BLE001 - urllib3 raises many kinds; the status alone must do then
        return b""


def _set_timeout(response: requests.Response, timeout_s: float) -> None:
    """From here on the connection may be silent for this long."""
    sock = getattr(response.raw.connection, "sock", None)
    if sock is not None:
        sock.settimeout(timeout_s)


def _wake(response: requests.Response) -> None:
    """Make a thread that reads from this response see its end."""
    try:
        response.raw.shutdown()
    except (RuntimeError, ValueError, OSError):
        return  # it has ended already

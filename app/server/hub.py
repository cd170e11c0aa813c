"""Everything live: the tail of the log, and the sockets that want it.

The hub owns each socket it is given. A stream begins with what its agent has not read (*snapshot*) or with the log from
the client's last id (*replay*), a page at a time as fast as the client reads; having caught up it is *live* and gets
each event as it is committed. All three happen in *turns*, one at a time, so nothing can fall between them. Turns are
the hub's own thread's; only a commit that concerns few takes one itself, which spares its message the way to another
thread. Nothing waits for a socket: a client whose buffer overflows is cut off, and comes back by its last id.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from app.server.clock import Clock
from app.server.store.events import LogEntry
from app.server.streams import Frames, Mode, ParkedPoll, Stream, WebSocketStream
from app.server.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

#: Events read from the log at once.
PAGE = 64
#: How far one look into the log for one agent goes, so that a long replay does not hold up the others.
WINDOW = 5_000
#: What a commit hands out by itself at most, in deliveries: its sender waits meanwhile, and so does the next commit.
AT_ONCE = 32
HEARTBEAT_S = 15.0
#: How long a last answer may take to leave.
FLUSH_S = 10.0


class Source(Protocol):
    """What the hub reads; implemented by :mod:`app.server.services.live`."""

    def head(self) -> int:
        """The newest sequence number."""

    def floor(self) -> int:
        """Replay works from here on."""

    def page(self, *, after: int, upto: int, limit: int, agent_id: str | None) -> list[LogEntry]:
        """Events in ``(after, upto]``."""

    def unread(self, agent_id: str, *, after: int, upto: int, limit: int) -> list[LogEntry]:
        """An agent's unread inbox in ``(after, upto]``, as ``message.new``."""

    def topics(self, agent_id: str) -> frozenset[str]:
        """What an agent receives."""


class Hub:
    """The live streams. Public methods may be called from any thread unless they say otherwise."""

    def __init__(self, source: Source, *, clock: Clock, call_in_worker: Callable[[Callable[[], None]], None]) -> None:
        """:param call_in_worker: runs a function on a thread that may wait."""
        self._source = source
        self._clock = clock
        self._call_in_worker = call_in_worker
        self._selector = selectors.DefaultSelector()
        self._bell_in, self._bell_out = socket.socketpair()
        self._bell_in.setblocking(False)
        self._bell_out.setblocking(False)
        self._selector.register(self._bell_in, selectors.EVENT_READ, None)
        self._rung = False
        #: held by whoever touches streams and indexes
        self._turn = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._cursor = 0
        self._streams: set[Stream] = set()
        self._behind: set[Stream] = set()
        self._polls: set[ParkedPoll] = set()
        self._ending: set[Stream] = set()
        self._subscriptions = Subscriptions()
        self._next_beat_s = clock.monotonic_s() + HEARTBEAT_S
        self._stopping = False
        #: events handed to clients, and clients that were too slow for them
        self.delivered = 0
        self.cut_off = 0
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)

    # -- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to tail the log, from its present end."""
        self._cursor = self._source.head()
        self._thread.start()

    def begin_stop(self) -> None:
        """Have every stream ended. Returns at once; a signal handler may call it."""
        self._stopping = True
        self.ring()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End every stream and the thread."""
        self.begin_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def committed(self) -> None:
        """The log has grown. What is little is handed out before this returns; the rest is left to the hub's thread."""
        if not self._turn.acquire(blocking=False):
            self.ring()  # a turn is under way, and may have looked at the log already
            return
        try:
            done = self._pump(at_most=AT_ONCE)
        except Exception:  # the commit stands, whatever it is: the hub's thread tries again
            logger.exception("handing out a commit failed", extra={"action": "live.error"})
            done = False
        finally:
            self._turn.release()
        if not done:
            self.ring()

    def ring(self) -> None:
        """Wake the hub's thread. Cheap: rings between two looks of the hub cost one byte."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # full: it rings already; closed: nobody listens any more
                self._bell_out.send(b"\0")

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the hub's thread."""
        self._calls.append(function)
        self.ring()

    def open_sse(
        self,
        sock: socket.socket,
        *,
        head: bytes,
        agent_id: str | None,
        since: int | None,
        token_sha256: bytes | None = None,
    ) -> None:
        """Take a socket over and stream to it.

        :param head: the HTTP response's head.
        :param since: the last event id that the client has seen, if it says so.
        :param token_sha256: of the token that it came with: see :meth:`end_of_token`.
        """

        def adopt() -> None:
            stream = Stream(self, sock, agent_id=agent_id)
            stream.token_sha256 = token_sha256
            self._add(stream)
            stream.send(head + b": connected\n\n")
            self._begin(stream, since)

        self.call(adopt)

    def open_websocket(self, sock: socket.socket) -> WebSocketStream:
        """The outgoing side of a WebSocket: to be written to at once, but without events until :meth:`subscribe`.

        :param sock: a duplicate of the connection's socket, which the hub closes.
        """
        return WebSocketStream(self, sock, agent_id=None)

    def subscribe(self, stream: WebSocketStream, *, agent_id: str | None, since: int | None) -> None:
        """Begin to send events to a WebSocket."""

        def begin() -> None:
            stream.agent_id = agent_id
            self._add(stream)
            self._begin(stream, since)

        self.call(begin)

    def close(self, stream: Stream) -> None:
        """Forget a stream and close its socket."""
        self.call(lambda: self._drop(stream))

    def end_of_token(self, token_sha256: bytes) -> None:
        """End the streams that were let in by a token which is no longer one."""

        def end() -> None:
            for stream in tuple(self._streams):
                if stream.token_sha256 == token_sha256:
                    self.lost(stream)

        self.call(end)

    def park(self, poll: ParkedPoll, *, seen: int) -> None:
        """Let a long poll wait.

        :param seen: the head of the log before its inbox was looked at: what came later may concern it.
        """

        def adopt() -> None:
            self._add(poll)
            self._polls.add(poll)
            poll.mode = Mode.LIVE
            self._subscribe(poll)
            if self._cursor > seen or self._source.head() > self._cursor:
                self.unpark(poll)

        self.call(adopt)

    def end_with(self, sock: socket.socket, data: bytes) -> None:
        """Send a last answer, as fast as its client takes it, and close."""

        def adopt() -> None:
            stream = Stream(self, sock, agent_id=None)
            self._streams.add(stream)
            self._end(stream, data)

        self.call(adopt)

    def counts(self) -> dict[str, int]:
        """Live streams by kind."""
        counts = {"sse": 0, "websocket": 0, "long_poll": 0}
        for stream in tuple(self._streams):
            if stream.mode is not Mode.ENDING:
                counts[stream.kind] += 1
        return counts

    def live_agents(self) -> frozenset[str]:
        """Agents that have a stream, a WebSocket or a long poll open that shows their life."""
        return self._subscriptions.live_agents()

    # -- called by streams -------------------------------------------------------------------------------------------

    def watch(self, stream: Stream) -> None:
        """Have the selector say when a stream's socket takes bytes again. May come from any thread that wrote to it."""
        if threading.current_thread() is self._thread:
            self._watch(stream)
        else:
            self.call(lambda: self._watch(stream))

    def cut(self, stream: Stream) -> None:
        """A client that does not keep up."""
        self.cut_off += 1
        logger.info(
            "cut off a slow reader", extra={"action": "live.cut", "agent": stream.agent_id, "kind": stream.kind}
        )
        self.lost(stream)

    def lost(self, stream: Stream) -> None:
        """A client that has gone, or must go."""
        with contextlib.suppress(OSError):
            stream.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads a WebSocket
        self.close(stream)

    def unpark(self, poll: ParkedPoll) -> None:
        """There may be something for a long poll."""
        if poll in self._polls:
            self._forget(poll)
            self._call_in_worker(lambda: poll.answer(poll))

    # -- the hub's thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        timeout_s: float | None = 0.0
        while not self._stopping:
            ready = self._selector.select(timeout_s)
            with self._turn:
                try:
                    timeout_s = self._take_turn(ready)
                except Exception:
                    logger.exception("a turn of the hub failed", extra={"action": "live.error"})
                    time.sleep(timeout_s := 0.2)  # whatever it is, it must not eat a processor
        with self._turn:
            self._finish()

    def _take_turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> float | None:
        """Do what there is to do; how long there is nothing more, unless somebody rings."""
        for key, mask in ready:
            stream: Stream | None = key.data
            if stream is None:
                with contextlib.suppress(BlockingIOError):
                    self._bell_in.recv(4096)
                # Only now: a ring before this line has its work done below, one after it rings in the next turn. The
                # other way round, the byte of a ring in between is read here and the bell counts as rung for ever.
                self._rung = False
                continue
            if mask & selectors.EVENT_WRITE & stream.watched:
                stream.flush()
                self._watch(stream)
            if mask & selectors.EVENT_READ & stream.watched:
                stream.readable()
        while self._calls:
            self._calls.popleft()()
        self._pump()
        for stream in tuple(self._behind):
            if stream.pending is None:
                self._advance(stream)
        self._keep_time()
        return self._timeout_s()

    def _timeout_s(self) -> float | None:
        if self._calls or any(stream.pending is None for stream in self._behind):
            return 0.0
        due = [poll.deadline_s for poll in self._polls] + [stream.deadline_s for stream in self._ending]
        if self._streams:
            due.append(self._next_beat_s)
        return max(0.0, min(due) - self._clock.monotonic_s()) if due else None

    def _keep_time(self) -> None:
        now = self._clock.monotonic_s()
        for poll in [poll for poll in self._polls if poll.deadline_s <= now]:
            self.unpark(poll)
        for stream in [stream for stream in self._ending if stream.deadline_s <= now]:
            self._drop(stream)
        if now >= self._next_beat_s:
            self._next_beat_s = now + HEARTBEAT_S
            for stream in tuple(self._streams):
                if stream.mode is Mode.LIVE:
                    stream.beat()

    def _pump(self, *, at_most: int | None = None) -> bool:
        """Read what the log has gained, and hand it out.

        :param at_most: deliveries, before it is left for another turn; and then nothing that changes an agent, for that
            changes who listens to what.
        :returns: whether nothing is left.
        """
        handed_out = 0
        while self._streams:
            entries = self._source.page(after=self._cursor, upto=2**63 - 1, limit=PAGE, agent_id=None)
            for entry in entries:
                streams = self._subscriptions.concerned(entry)
                handed_out += len(streams)
                if at_most is not None and (handed_out > at_most or entry.type.startswith("agent.")):
                    return False
                self._cursor = entry.seq
                self._hand_out(entry, streams)
            if len(entries) < PAGE:
                break
        return True

    def _hand_out(self, entry: LogEntry, streams: Sequence[Stream]) -> None:
        frames = Frames()
        for stream in streams:
            if stream.mode is Mode.LIVE:
                stream.deliver(entry, frames)
                self.delivered += 1
        if entry.type.startswith("agent."):
            for stream in self._subscriptions.of_agent(entry.agent_id):
                self._follow(stream, removed=entry.type == "agent.removed")

    def _follow(self, stream: Stream, *, removed: bool) -> None:
        """An agent changed: what it receives may have changed with it."""
        if removed:
            if isinstance(stream, ParkedPoll):
                self.unpark(stream)  # its answer says so
            else:
                self.lost(stream)
            return
        self._subscribe(stream)

    def _begin(self, stream: Stream, since: int | None) -> None:
        """Put a new stream where it has to start."""
        if stream.agent_id is not None:
            self._subscribe(stream)
        else:
            self._subscriptions.observe(stream)
        if since is not None and since > self._cursor:
            self._pump()  # a commit whose bell has yet to be heard
        if since is not None and self._source.floor() <= since <= self._cursor:
            stream.cursor = since
            self._set_behind(stream, Mode.REPLAY)
            return
        if since is not None:
            stream.reset(self._cursor)
        if stream.agent_id is None:
            stream.mode = Mode.LIVE
            return
        stream.cursor, stream.snapshot_upto = 0, self._cursor
        self._set_behind(stream, Mode.SNAPSHOT)

    def _set_behind(self, stream: Stream, mode: Mode) -> None:
        stream.mode = mode
        self._behind.add(stream)

    def _advance(self, stream: Stream) -> None:
        """Send a stream that is behind its next page."""
        if stream.mode is Mode.SNAPSHOT:
            assert stream.agent_id is not None  # noqa: S101 - observers have no inbox
            upto = stream.snapshot_upto
            entries = self._source.unread(stream.agent_id, after=stream.cursor, upto=upto, limit=PAGE)
        else:
            upto = min(self._cursor, stream.cursor + WINDOW)
            entries = self._source.page(after=stream.cursor, upto=upto, limit=PAGE, agent_id=stream.agent_id)
        for entry in entries:
            stream.deliver(entry, Frames())
        # Inbox pages also end for their size, so only an empty one is the last; of the log a short one is.
        if len(entries) == PAGE or (entries and stream.mode is Mode.SNAPSHOT):
            stream.cursor = entries[-1].seq
            return
        stream.cursor = upto
        if stream.mode is Mode.SNAPSHOT:
            stream.mode = Mode.REPLAY
        if stream.cursor >= self._cursor:
            stream.mode = Mode.LIVE
            self._behind.discard(stream)

    def _subscribe(self, stream: Stream) -> None:
        """File a stream under what its agent receives now."""
        assert stream.agent_id is not None  # noqa: S101 - observers are not filed
        self._subscriptions.file(stream, agent_id=stream.agent_id, topics=self._source.topics(stream.agent_id))

    def _add(self, stream: Stream) -> None:
        if not self._streams:
            self._cursor = self._source.head()  # nobody listened, so nothing was read
        self._streams.add(stream)
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        """Tell the selector what a stream waits for now."""
        if stream not in self._streams and stream.kind != "websocket":
            return
        # A WebSocket is read by its own thread.
        wanted = 0 if stream.kind == "websocket" else selectors.EVENT_READ
        if stream.pending is not None:
            wanted |= selectors.EVENT_WRITE
        elif stream.mode is Mode.ENDING:
            self._drop(stream)
            return
        if wanted == stream.watched or stream.fd < 0:
            return
        if not wanted:
            self._selector.unregister(stream.fd)
        elif stream.watched:
            self._selector.modify(stream.fd, wanted, stream)
        else:
            self._selector.register(stream.fd, wanted, stream)
        stream.watched = wanted

    def _end(self, stream: Stream, data: bytes) -> None:
        stream.mode = Mode.ENDING
        stream.deadline_s = self._clock.monotonic_s() + FLUSH_S
        self._ending.add(stream)
        if data:
            stream.send(data)
        self._watch(stream)

    def _forget(self, stream: Stream) -> None:
        """Take a stream out of every index; its socket stays open."""
        self._streams.discard(stream)
        self._behind.discard(stream)
        self._ending.discard(stream)
        self._subscriptions.forget(stream)
        if isinstance(stream, ParkedPoll):
            self._polls.discard(stream)
        if stream.watched:
            self._selector.unregister(stream.fd)
            stream.watched = 0

    def _drop(self, stream: Stream) -> None:
        self._forget(stream)
        if stream.fd >= 0:
            stream.fd = -1
            with contextlib.suppress(OSError):
                stream.sock.close()

    def _finish(self) -> None:
        """The relay stops: every client is told, as far as its socket takes it now."""
        for stream in tuple(self._streams):
            word = stream.last_word()
            if word:
                stream.send(word)
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_WR)
        while self._calls:
            self._calls.popleft()()
        for stream in tuple(self._streams):
            self._drop(stream)
        self._selector.close()
        self._bell_in.close()
        self._bell_out.close()

"""waitress with a way out: real sockets on the loopback, small apps."""

from __future__ import annotations

import contextlib
import functools
import gc
import http.client
import io
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import flask_sock
import pytest
import simple_websocket
import waitress.channel

from app.errors import RelayError
from app.server.channels import Channel
from app.server.serving import Serving
from app.server.sockets import WsSocket, raise_descriptor_limit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEADLINE_S = 20.0
HANDSHAKE = (
    "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

Start = Callable[..., "Running"]


def render_problem(error: RelayError, path: str) -> tuple[list[tuple[str, str]], bytes]:
    body = {"status": error.status, "code": error.code, "detail": error.detail, "instance": path}
    return [("Content-Type", "application/problem+json")], json.dumps(body).encode()


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not in {DEADLINE_S} s: {what}"
        pause.wait(0.01)


class Running:
    """A Serving in a thread."""

    def __init__(self, app: WSGIApplication, **options: Any) -> None:
        self.serving = Serving(app, **{"listen": [("127.0.0.1", 0)], "render_problem": render_problem, **options})
        self.address = self.serving.addresses[0]
        self.thread = threading.Thread(target=self.serving.run, name="serving")
        self.thread.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE_S)

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.request(method, path, **more)
            response = connection.getresponse()
            return response.status, response.read()

    def channels(self) -> list[Any]:
        return [item for item in list(self.serving._map.values()) if isinstance(item, Channel)]

    def stop(self) -> None:
        self.serving.stop()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


@pytest.fixture
def start() -> Iterator[Start]:
    threads = set(threading.enumerate())
    running: list[Running] = []

    def start_(app: WSGIApplication, **options: Any) -> Running:
        running.append(Running(app, **options))
        return running[-1]

    yield start_
    for each in running:
        each.stop()
        assert not each.serving._map
    wait_until(lambda: set(threading.enumerate()) <= threads, "all threads end")


def read_all(sock: socket.socket) -> bytes:
    with contextlib.closing(sock):
        return b"".join(iter(lambda: sock.recv(65536), b""))


def read_until(sock: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        data = sock.recv(65536)
        assert data, got
        got += data
    return got


def problem_of(response: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json" in head, response
    assert b"\r\nConnection: close" in head
    return int(head.split()[1]), json.loads(body)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def live_channels() -> int:
    gc.collect()
    return sum(isinstance(each, waitress.channel.HTTPChannel) for each in gc.get_objects())


def answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Toy:
    """/take takes over and /raise raises; other paths are echoed."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def handler(self, sock: socket.socket) -> None:
        sock.send(b"taken\n")
        self.taken.append(sock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/take"):
            environ["relay.takeover"](self.handler)
        if path.endswith("raise"):
            raise LookupError(path)
        if path.endswith("wait"):
            self.reached.set()
            assert self.go_on.wait(DEADLINE_S)
        if path.endswith("file"):
            start_response("200 OK", [])
            file: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"from a file"))
            return file
        return answer(start_response, path.encode() + b" " + environ["wsgi.input"].read())

    def close(self) -> None:
        while self.taken:
            self.taken.pop().close()


@pytest.fixture
def toy() -> Iterator[Toy]:
    toy = Toy()
    yield toy
    toy.go_on.set()
    toy.close()


# --- requests ---------------------------------------------------------------------------------------------------------


def test_requests_on_one_connection_are_answered_and_the_server_does_not_name_itself(start: Start, toy: Toy) -> None:
    connection = http.client.HTTPConnection(*start(toy).address, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        for number in range(20):
            connection.request("POST", f"/{number}", body=b"x" * number)
            response = connection.getresponse()
            assert response.read() == b"/%d " % number + b"x" * number
            assert response.headers["Server"] is None
            assert not response.will_close


def test_it_listens_on_ipv4_ipv6_and_names(start: Start, toy: Toy) -> None:
    try:
        running = start(toy, listen=[("127.0.0.1", 0), ("::1", 0), ("localhost", 0)])
    except OSError:
        pytest.skip("this machine has no ::1")
    assert [host for host, _ in running.serving.addresses[:2]] == ["127.0.0.1", "::1"]
    assert len({port for _, port in running.serving.addresses[2:]}) == 1, "one name has one port"
    for host, port in running.serving.addresses:
        with socket.create_connection((host, port), timeout=DEADLINE_S) as sock:
            sock.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.0 200")


def test_a_port_in_use_raises_and_leaves_nothing_open(toy: Toy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = descriptors()
        for _ in range(3):
            with pytest.raises(OSError, match="in use"):
                Serving(toy, listen=[("127.0.0.1", 0), taken.getsockname()[:2]], render_problem=render_problem)
        assert descriptors() <= before


def test_a_client_that_closes_its_sending_half_still_gets_its_answer(start: Start, toy: Toy) -> None:
    sock = start(toy).connect()
    sock.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    sock.shutdown(socket.SHUT_WR)
    assert toy.reached.wait(DEADLINE_S)
    toy.go_on.set()
    assert read_all(sock).endswith(b"/wait ")


def test_the_app_can_ask_whether_the_client_has_gone(start: Start) -> None:
    seen: list[bool] = []
    reached = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["waitress.client_disconnected"]())
        reached.set()
        wait_until(environ["waitress.client_disconnected"], "the client's end is noticed")
        seen.append(True)
        return answer(start_response, b"")

    running = start(app)
    with running.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reached.wait(DEADLINE_S)
    wait_until(lambda: seen == [False, True], "the app sees it")
    wait_until(lambda: not running.channels(), "the channel goes")


def test_call_in_worker_runs_on_a_worker_and_survives_failures(
    start: Start, toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    running = start(toy, threads=1)
    names: list[str] = []
    done = threading.Event()
    running.serving.call_in_worker(lambda: names.append(threading.current_thread().name))
    running.serving.call_in_worker(lambda: names[99].clear())  # type: ignore[attr-defined]
    running.serving.call_in_worker(done.set)
    assert done.wait(DEADLINE_S)
    assert names == ["http-0"]
    assert "A call in a worker failed" in caplog.text
    assert running.ask("GET", "/x") == (200, b"/x ")


# --- errors that waitress answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status", "code", "path"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed", ""),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, "malformed", ""),
        (b"POST /a HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400, "malformed", "/a"),
        (b"POST /a HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "malformed", "/a"),
        (b"GET http://[x/ HTTP/1.1\r\n\r\n", 400, "malformed", ""),
        (b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "malformed", "/b"),
        (b"POST /c HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "malformed", "/c"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431, "headers-too-large", "/"),
        (b"POST /d HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413, "too-large", "/d"),
        (b"POST /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000, 413, "too-large", "/e"),
        (b"GET /raise HTTP/1.1\r\nHost: x\r\n\r\n", 500, "internal-error", "/raise"),
        (b"GET /take/raise HTTP/1.1\r\nHost: x\r\n\r\n", 500, "internal-error", "/take/raise"),
    ],
)
def test_errors_are_problem_documents_and_close(
    start: Start, toy: Toy, request_: bytes, status: int, code: str, path: str
) -> None:
    sock = start(toy, max_body_bytes=1000).connect()
    sock.sendall(request_)
    got, problem = problem_of(read_all(sock))
    assert (got, problem["code"], problem["instance"]) == (status, code, path)
    assert not toy.taken


def test_urgent_data_ends_the_connection_instead_of_spinning_the_loop(start: Start, toy: Toy) -> None:
    sock = start(toy).connect()
    sock.send(b"!", socket.MSG_OOB)
    with contextlib.suppress(ConnectionResetError):
        assert read_all(sock) == b""


def test_a_body_of_exactly_the_limit_is_taken(start: Start, toy: Toy) -> None:
    assert start(toy, max_body_bytes=1000).ask("POST", "/x", body=b"x" * 1000) == (200, b"/x " + b"x" * 1000)


def test_the_answer_to_a_large_upload_arrives_although_the_client_is_still_sending(start: Start, toy: Toy) -> None:
    """A server that closes on unread bytes sends a reset, and the client never sees its 413."""
    sock = start(toy, max_body_bytes=1000).connect()
    with contextlib.suppress(ConnectionError):
        sock.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
    assert problem_of(read_all(sock))[0] == 413


# --- time-outs --------------------------------------------------------------------------------------------------------


def test_trickling_clients_get_408_and_occupy_no_worker(start: Start, toy: Toy) -> None:
    running = start(toy, threads=1, request_timeout_s=0.5)
    tricklers = [running.connect() for _ in range(20)]
    for sock in tricklers:
        sock.sendall(b"POST /x HTTP/1.1\r\nContent-Le" if sock.fileno() % 2 else b"POST /x HTTP/1.1\r\n")
    assert running.ask("GET", "/y") == (200, b"/y ")
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    for sock in tricklers:
        sock.settimeout(0.01)
    answers = dict.fromkeys(tricklers, b"")
    while any(b"}" not in got for got in answers.values()):
        assert time.monotonic() < deadline
        for sock in tricklers:
            with contextlib.suppress(OSError):
                sock.send(b"n")
                answers[sock] += sock.recv(65536)
        pause.wait(0.02)
    for sock, got in answers.items():
        sock.close()
        assert problem_of(got)[0] == 408


def test_idle_connections_are_closed(start: Start, toy: Toy) -> None:
    running = start(toy, idle_timeout_s=0.3)
    assert read_all(running.connect()) == b""


def test_a_reader_that_stops_reading_is_cut_and_its_worker_freed(start: Start) -> None:
    size = 40_000_000  # more than waitress buffers before it makes the worker wait
    freed = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/small":
            return answer(start_response, b"small")
        start_response("200 OK", [("Content-Length", str(size))])

        def body() -> Iterator[bytes]:
            try:
                for _ in range(size // 1_000_000):
                    yield b"x" * 1_000_000
            finally:
                freed.set()

        return body()

    running = start(app, threads=1, idle_timeout_s=1.0)
    with running.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert freed.wait(DEADLINE_S)
        assert running.ask("GET", "/small") == (200, b"small")


def test_a_jumping_wall_clock_cuts_nobody(start: Start, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(toy)
    monkeypatch.setattr(running.serving, "_tick_s", 0.05)
    sweeps: list[float] = []
    sweep = running.serving._sweep

    def counted(now: float) -> None:
        sweeps.append(now)
        sweep(now)

    monkeypatch.setattr(running.serving, "_sweep", counted)
    connection = http.client.HTTPConnection(*running.address, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        real = time.time
        for jump in (0, 3600 * 24, -3600 * 24):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            seen = len(sweeps)
            wait_until(lambda seen=seen: len(sweeps) > seen + 2, "three sweeps")  # type: ignore[misc]
            sock = connection.sock
            connection.request("GET", "/x")
            assert connection.getresponse().read() == b"/x "
            assert connection.sock is sock or sock is None, "still the first connection"


# --- take-over --------------------------------------------------------------------------------------------------------


def test_taken_sockets_occupy_no_worker_and_get_only_what_their_handler_sends(start: Start, toy: Toy) -> None:
    running = start(toy, threads=2)
    clients = [running.connect() for _ in range(50)]
    for sock in clients:
        sock.sendall(b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len(toy.taken) == 50, "50 sockets are taken")
    assert running.ask("GET", "/x") == (200, b"/x ")
    wait_until(lambda: not running.channels(), "no channel is left")
    assert not any(sock.getblocking() for sock in toy.taken)
    for number, sock in enumerate(toy.taken):
        sock.send(b"%d\n" % number)
    toy.close()
    got = [read_all(sock) for sock in clients]
    assert all(each.startswith(b"taken\n") for each in got)
    assert sorted(int(each.split()[1]) for each in got) == list(range(50))


@pytest.mark.parametrize("path", ["/take", "/take/file"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_whatever_the_app_returns_after_a_take_over_is_dropped(start: Start, toy: Toy, path: str, version: str) -> None:
    sock = start(toy).connect()
    sock.sendall(f"GET {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert read_until(sock, b"\n") == b"taken\n"
    wait_until(lambda: toy.taken, "the handler is through")
    toy.close()
    assert read_all(sock) == b""


def test_earlier_pipelined_answers_are_sent_first_and_later_requests_dropped(start: Start, toy: Toy) -> None:
    sock = start(toy).connect()
    requests = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in ("/a", "/b", "/take", "/c", "/take"))
    sock.sendall(requests.encode())
    got = read_until(sock, b"taken\n")
    wait_until(lambda: toy.taken, "the handler is through")
    toy.close()
    got += read_all(sock)
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert got.endswith(b"/b taken\n")


def test_a_handler_gets_a_socket_whose_client_has_gone(start: Start, toy: Toy) -> None:
    running = start(toy)
    sock = running.connect()
    sock.sendall(b"GET /take/wait HTTP/1.1\r\nHost: x\r\n\r\n")
    assert toy.reached.wait(DEADLINE_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
    sock.close()
    seen: list[bool] = []

    def handler(taken: socket.socket) -> None:
        with contextlib.closing(taken):
            try:
                seen.append(taken.recv(1) == b"")
            except ConnectionError:
                seen.append(True)

    running.channels()[0].taker = handler
    toy.go_on.set()
    wait_until(lambda: seen, "the handler was called")
    assert seen == [True]
    assert running.ask("GET", "/x") == (200, b"/x ")
    wait_until(lambda: not running.channels(), "no channel is left")


def test_a_failing_handler_costs_only_its_own_connection(
    start: Start, toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    running = start(toy)
    toy.handler = lambda sock: 1 / 0  # type: ignore[method-assign, assignment]
    sock = running.connect()
    sock.sendall(b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_all(sock) == b""
    assert running.ask("GET", "/x") == (200, b"/x ")
    assert "The taker of a connection failed" in caplog.text


def test_300_streams_dropped_at_once_leave_nothing(start: Start, toy: Toy) -> None:
    running = start(toy)
    running.ask("GET", "/warm")
    wait_until(lambda: not running.channels(), "the first connection ends")
    before = descriptors()
    clients = [running.connect() for _ in range(300)]
    for sock in clients:
        sock.sendall(b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
    for sock in clients:
        sock.close()
    wait_until(lambda: len(toy.taken) == 300, "all are taken, although their clients have gone")
    toy.close()
    wait_until(lambda: not running.channels(), "no channel is left")
    assert all(not server.active_channels for server in running.serving._servers)
    wait_until(lambda: descriptors() <= before, "no descriptor is left")


def test_channel_request_and_environ_are_garbage_after_a_take_over(start: Start, toy: Toy) -> None:
    running = start(toy, threads=2)
    clients = [running.connect() for _ in range(100)]
    for sock in clients:
        sock.sendall(b"GET /take HTTP/1.1\r\nHost: x\r\nX-Canary: y\r\n\r\n")
    wait_until(lambda: len(toy.taken) == 100, "all are taken")
    wait_until(lambda: not running.channels(), "no channel is left")

    # A worker's local variable holds the last channel it served until the next one comes.
    wait_until(lambda: live_channels() <= 2, "all but one channel per worker are garbage")
    assert not any(type(each) is dict and "HTTP_X_CANARY" in each for each in gc.get_objects())
    for sock in clients:
        sock.close()


# --- WebSockets -------------------------------------------------------------------------------------------------------


def websocket_app(**sock_options: Any) -> flask.Flask:
    app = flask.Flask("toy")
    app.config["SOCK_SERVER_OPTIONS"] = sock_options
    sock = flask_sock.Sock(app)

    @app.before_request
    def refuse() -> flask.Response | None:
        if "no" in flask.request.args:
            return flask.Response("token, please", 401, {"WWW-Authenticate": "Bearer"})
        return None

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @sock.route("/echo")  # type: ignore[misc]
    def echo(ws: simple_websocket.Server) -> None:
        while True:
            ws.send(ws.receive())

    return app


def ws_url(running: Running, path: str) -> str:
    return "ws://{}:{}{}".format(*running.address, path)


def test_a_hundred_websockets_echo_and_occupy_no_worker(start: Start) -> None:
    running = start(websocket_app(), threads=1)
    clients = [simple_websocket.Client.connect(ws_url(running, "/echo")) for _ in range(100)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(f"{turn} {number} " + "ä" * 10_000 * turn)
        for number, client in enumerate(clients):
            assert client.receive(timeout=DEADLINE_S) == f"{turn} {number} " + "ä" * 10_000 * turn
    assert running.ask("GET", "/plain") == (200, b"plain")
    wait_until(lambda: live_channels() <= 2, "the channels are garbage")
    assert sum(thread.name.startswith("ws-") for thread in threading.enumerate()) == 100
    for client in clients:
        client.close()
    wait_until(lambda: not running.serving._websockets, "the threads end")


@pytest.mark.parametrize(("path", "status"), [("/echo?no", 401), ("/nowhere", 404), ("/plain", 400)])
def test_a_refused_upgrade_is_a_plain_response(start: Start, path: str, status: int) -> None:
    running = start(websocket_app())
    sock = running.connect()
    sock.sendall(f"GET {path} HTTP/1.1\r\n{HANDSHAKE}".encode() + b"\x81\x80abcd" * 100)  # frames that nobody will read
    got = read_all(sock)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Length: %d" % len(body) in head
    if status == 401:
        assert b"\r\nWWW-Authenticate: Bearer" in head
        assert body == b"token, please"
    wait_until(lambda: not running.serving._websockets, "the thread ends")


def test_an_app_that_fails_before_the_upgrade_answers_500(start: Start, toy: Toy) -> None:
    sock = start(toy).connect()
    sock.sendall(f"GET /raise HTTP/1.1\r\n{HANDSHAKE}".encode())
    status, problem = problem_of(read_all(sock))
    assert (status, problem["instance"]) == (500, "/raise")


def test_one_websocket_too_many_is_told_503(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.serving.MAX_WEBSOCKETS", 1)
    running = start(websocket_app())
    client = simple_websocket.Client.connect(ws_url(running, "/echo"))
    sock = running.connect()
    sock.sendall(f"GET /echo HTTP/1.1\r\n{HANDSHAKE}".encode())
    assert problem_of(read_all(sock))[0] == 503
    client.send("still there")
    assert client.receive(timeout=DEADLINE_S) == "still there"
    client.close()


def test_compression_is_not_negotiated(start: Start) -> None:
    with start(websocket_app()).connect() as sock:
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        sock.sendall(f"GET /echo HTTP/1.1\r\n{offer}{HANDSHAKE}".encode())
        head = read_until(sock, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"xtensions" not in head


def test_an_upgrade_may_follow_a_pipelined_request(start: Start) -> None:
    with start(websocket_app()).connect() as sock:
        sock.sendall(f"GET /plain HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\n{HANDSHAKE}".encode())
        got = b""
        while not (b"HTTP/1.1 101 " in got and got.endswith(b"\r\n\r\n")):
            got += sock.recv(65536)
        assert got.startswith(b"HTTP/1.1 200 OK")


def test_a_peer_that_does_not_read_is_cut_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WsSocket.__init__, "__kwdefaults__", {"send_timeout_s": 0.5})
    app = websocket_app()
    outcome: list[BaseException] = []

    @flask_sock.Sock(app).route("/flood")  # type: ignore[misc]
    def flood(ws: simple_websocket.Server) -> None:
        try:
            for _ in range(1000):
                ws.send("x" * 1_000_000)
        except (OSError, simple_websocket.ConnectionClosed) as exc:
            outcome.append(exc)

    running = start(app)
    with running.connect() as sock:
        sock.sendall(f"GET /flood HTTP/1.1\r\n{HANDSHAKE}".encode())
        wait_until(lambda: outcome, "the sender gives up")
        assert isinstance(outcome[0], TimeoutError | simple_websocket.ConnectionClosed), outcome
        wait_until(lambda: not running.serving._websockets, "the thread ends")
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(1 << 20):
                pass  # what was in the buffers, and then the end


def test_concurrent_sends_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    ws = WsSocketOnPair(ours)
    parts = [bytes([65 + number]) * 300_000 for number in range(8)]
    threads = [threading.Thread(target=ws.send, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    got = b""
    while len(got) < 2_400_000:
        got += theirs.recv(1 << 16)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(got[at : at + 300_000] for at in range(0, len(got), 300_000)) == parts
    ws.close()
    theirs.close()


class WsSocketOnPair(WsSocket):
    """A socketpair is no TCP socket, so there is no TCP_NODELAY to set."""

    def __init__(self, raw: socket.socket, **options: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "TCP_NODELAY", socket.SO_KEEPALIVE)
            patch.setattr(socket, "IPPROTO_TCP", socket.SOL_SOCKET)
            super().__init__(raw, **options)


def test_close_wakes_a_thread_in_recv_and_one_in_send() -> None:
    for job in ("recv", "send"):
        ours, theirs = socket.socketpair()
        ws = WsSocketOnPair(ours, send_timeout_s=100)
        began = threading.Event()
        outcome: list[object] = []

        def work(call: Callable[[], object], began: threading.Event, outcome: list[object]) -> None:
            began.set()
            try:
                outcome.append(call())
            except OSError as exc:
                outcome.append(exc)

        call: Callable[[], object] = functools.partial(ws.recv, 10)
        if job == "send":
            call = functools.partial(ws.send, b"x" * 10_000_000)
        thread = threading.Thread(target=work, args=(call, began, outcome))
        thread.start()
        assert began.wait(DEADLINE_S)
        if job == "send":
            theirs.recv(1)
        ws.close()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert len(outcome) == 1
        theirs.close()


def test_a_single_send_can_be_non_blocking_while_recv_blocks() -> None:
    ours, theirs = socket.socketpair()
    ws = WsSocketOnPair(ours)
    assert ws.raw.getblocking()
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            ws.raw.send(b"x" * 10_000, socket.MSG_DONTWAIT)
    ws.close()
    theirs.close()


def test_a_writer_takes_over_the_sending_side(start: Start) -> None:
    app = websocket_app()
    written: list[int] = []

    @flask_sock.Sock(app).route("/handed")  # type: ignore[misc]
    def handed(ws: simple_websocket.Server) -> None:
        ws.sock.set_writer(lambda data: written.append(ws.sock.raw.send(data, socket.MSG_DONTWAIT)))
        while True:
            ws.send("to the hub: " + ws.receive())

    client = simple_websocket.Client.connect(ws_url(start(app), "/handed"))
    client.send("a")
    assert client.receive(timeout=DEADLINE_S) == "to the hub: a"
    wait_until(lambda: written, "the writer was used")
    client.close()


# --- the end ----------------------------------------------------------------------------------------------------------


def test_stop_lets_a_running_request_finish_and_then_run_returns(start: Start, toy: Toy) -> None:
    running = start(toy)
    idle = running.connect()
    sock = running.connect()
    sock.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    assert toy.reached.wait(DEADLINE_S)
    running.serving.stop(timeout_s=DEADLINE_S)
    assert read_all(idle) == b"", "an idle connection is closed at once"
    with pytest.raises(ConnectionRefusedError):
        running.connect()
    toy.go_on.set()
    assert read_all(sock).endswith(b"/wait ")
    running.thread.join(DEADLINE_S / 2)
    assert not running.thread.is_alive()


def test_stop_does_not_wait_longer_than_told(start: Start, toy: Toy) -> None:
    running = start(toy)
    sock = running.connect()
    sock.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    assert toy.reached.wait(DEADLINE_S)
    began = time.monotonic()
    running.serving.stop(timeout_s=0.3)
    running.thread.join(DEADLINE_S)
    assert not running.thread.is_alive()
    assert 0.3 <= time.monotonic() - began < DEADLINE_S / 2
    toy.go_on.set()
    assert read_all(sock) == b""


def test_stop_ends_websockets_and_their_threads(start: Start) -> None:
    running = start(websocket_app())
    clients = [simple_websocket.Client.connect(ws_url(running, "/echo")) for _ in range(20)]
    running.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("ws-", "http-"))]
    for client in clients:
        with pytest.raises(simple_websocket.ConnectionClosed):
            client.receive(timeout=DEADLINE_S)


def test_stop_leaves_taken_sockets_to_their_handlers(start: Start, toy: Toy) -> None:
    running = start(toy)
    sock = running.connect()
    sock.sendall(b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read_until(sock, b"\n") == b"taken\n"
    wait_until(lambda: toy.taken, "the handler is through")
    running.stop()
    toy.taken[0].send(b"goodbye\n")
    toy.close()
    assert read_all(sock) == b"goodbye\n"


def test_stop_before_run_closes_and_a_second_stop_does_nothing(toy: Toy) -> None:
    before = descriptors()
    serving_ = Serving(toy, listen=[("127.0.0.1", 0)], render_problem=render_problem)
    serving_.stop()
    serving_.run()
    serving_.stop()
    assert descriptors() <= before


def test_a_signal_handler_may_stop_it(toy: Toy) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    before = descriptors()
    serving_ = Serving(toy, listen=[("127.0.0.1", 0)], render_problem=render_problem)
    old = signal.signal(signal.SIGUSR1, lambda *_: serving_.stop())
    try:
        serving_.call_in_worker(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        serving_.run()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert descriptors() <= before


def test_fifty_starts_leave_no_threads_and_no_descriptors(start: Start, toy: Toy) -> None:
    start(toy).stop()
    before = descriptors(), threading.active_count()
    for _ in range(50):
        running = start(toy, threads=4)
        assert running.ask("GET", "/x") == (200, b"/x ")
        running.stop()
    wait_until(lambda: descriptors() <= before[0] and threading.active_count() <= before[1], "nothing is left")


def test_the_descriptor_limit_is_the_hard_one() -> None:
    resource = pytest.importorskip("resource")
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]

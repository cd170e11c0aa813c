"""A receiver of callbacks: mostly it answers 200; every so often 500 at first, and 200 to the repetition."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

#: Of so many new callbacks one is refused at first.
_REFUSED = 6
#: How many callbacks are remembered; a repetition comes soon.
_REMEMBERED = 10_000


class Receiver:
    """Listens on a free loopback port, on one thread, until it is closed."""

    def __init__(self) -> None:
        seen: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_POST(self) -> None:
                size = self.headers.get("Content-Length", "")
                self.rfile.read(int(size) if size.isdigit() else 0)
                name = self.headers.get("webhook-id", "")
                status, text = 200, b"noted\n"
                if name not in seen:
                    if len(seen) >= _REMEMBERED:
                        seen.clear()
                    seen.add(name)
                    if len(seen) % _REFUSED == 0:
                        status, text = 500, b"the board is being restarted, try again\n"
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = TCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/callbacks"
        # An address where nobody is: bound, so that nobody else can come to listen there.
        self._nobody = socket.socket()
        self._nobody.bind(("127.0.0.1", 0))
        self.nobody_url = f"http://127.0.0.1:{self._nobody.getsockname()[1]}/callbacks"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 1.0}, name="demo-receiver", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._nobody.close()

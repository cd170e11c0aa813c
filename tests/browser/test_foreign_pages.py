"""Pages in a real Chromium: one of another origin gets nothing in and nothing out, one that was named does."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from tests.process._relay import Relay, wait_until

CHROMIUM = Path("/usr/bin/chromium")
TOKEN = "a-token-for-the-browser"
#: A name that its owner has pointed to this machine after the page was loaded.
REBOUND = "rebind.example"

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="NOT TESTED: there is no /usr/bin/chromium")

PAGE = b"<!doctype html><meta charset=utf-8><title>A page of somebody else</title><p>hello"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """A web server of somebody else, on its own port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    context = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("chromium"),
        executable_path=CHROMIUM,
        headless=True,
        args=[
            "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            # Nothing but this machine is reached, whatever a page asks for.
            f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP board.example 127.0.0.1, MAP evil.example 127.0.0.1, "
            "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ],
    )  # fmt: skip
    yield context
    context.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    yield page
    page.close()


@pytest.fixture(scope="module", params=[None, TOKEN], ids=["open", "token"])
def relay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, site: int) -> Iterator[Relay]:
    """A relay that opens itself to the pages of one origin: http://board.example."""
    settings: dict[str, object] = {"AGENT_RELAY_CORS_ORIGINS": f"http://board.example:{site}"}
    if request.param:
        settings["AGENT_RELAY_TOKEN"] = request.param
    relay = Relay(tmp_path_factory.mktemp("relay"), db=None, **settings).start()
    relay.http("POST", "/api/agents", {"id": "victim"}, **entry(relay))
    yield relay
    relay.end()
    assert "Traceback" not in relay.log


def entry(relay: Relay) -> dict[str, str]:
    """The headers of who may come in."""
    return {"X_Agent_Relay_Token": TOKEN} if "AGENT_RELAY_TOKEN" in relay.settings else {}


def state(relay: Relay) -> tuple[Any, ...]:
    """All that a page could have changed."""
    stats = relay.ok("GET", "/api/stats", None, **entry(relay))
    agents = relay.ok("GET", "/api/agents", None, **entry(relay))["agents"]
    return stats["messages"], stats["eventSeq"], [(card["id"], card["status"], card["meta"]) for card in agents]


#: Everything a page can try, each with what came of it.
ATTACK = """
async ([api, token]) => {
  const message = JSON.stringify({from: "human", to: "victim", body: "injected"});
  const auth = token ? {"X-Agent-Relay-Token": token} : {};
  const outcomes = {};
  const attempt = async (name, work) => {
    const late = new Promise(resolve => setTimeout(() => resolve("nothing"), 4000));
    try { outcomes[name] = await Promise.race([work(), late]); } catch (error) { outcomes[name] = "blocked"; }
  };
  const read = async (path, init) => {
    const answer = await fetch(api + path, init);
    return answer.type === "opaque" ? "opaque" : `read ${answer.status}`;
  };
  const post = (type, more = {}, headers = {}) =>
    ({method: "POST", body: message, headers: {"Content-Type": type, ...headers}, ...more});
  const silent = {mode: "no-cors"};
  const json = "application/json";
  const inFrame = (name, src) => {
    const frame = document.createElement("iframe");
    if (name) frame.name = name;
    if (src) frame.src = src;
    document.body.append(frame);
    return new Promise(resolve => { frame.onload = () => {
      let seen = "unreadable";
      try { if (frame.contentDocument) seen = "blank"; } catch (error) { /* another origin */ }
      resolve(seen);
    }; });
  };
  const loads = (tag, path) => new Promise((resolve, reject) => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = reject;
    element.src = api + path;
    document.head.append(element);
  });
  const frames = [
    {op: "hello", ref: 1, agentId: null, token: token || undefined},
    {op: "send", ref: 2, from: "human", to: "victim", body: "injected"},
  ];
  await Promise.all([
    attempt("get", () => read("/messages")),
    attempt("get with credentials", () => read("/messages", {credentials: "include"})),
    attempt("get no-cors", () => read("/messages", silent)),
    attempt("get with token", () => read("/messages", {headers: {...auth, "X-Other": "1"}})),
    attempt("get with bearer", () => read("/messages", {headers: {Authorization: "Bearer " + token}})),
    attempt("healthz", () => read("/healthz")),
    attempt("json", () => read("/messages", post(json))),
    attempt("json with token", () => read("/messages", post(json, {}, auth))),
    attempt("text", () => read("/messages", post("text/plain"))),
    attempt("text no-cors", () => read("/messages", post("text/plain", silent))),
    attempt("json no-cors", () => read("/messages", post(json, silent))),
    attempt("form no-cors", () => read("/messages", post("application/x-www-form-urlencoded", silent))),
    attempt("blob no-cors", () => read("/messages", {method: "POST", body: new Blob([message]), ...silent})),
    attempt("empty post no-cors", () => read("/agents/victim/heartbeat", {method: "POST", ...silent})),
    attempt("beacon", async () => { navigator.sendBeacon(api + "/messages", message); return "sent"; }),
    attempt("typed beacon", async () => {
      navigator.sendBeacon(api + "/messages", new Blob([message], {type: json}));
      return "sent";
    }),
    attempt("delete", () => read("/agents/victim", {method: "DELETE"})),
    attempt("patch", () => read("/agents/victim", {...post(json), method: "PATCH", body: '{"meta":{"a":1}}'})),
    attempt("session code", () => read("/session/code", {method: "POST", ...silent})),
    attempt("image", () => loads("img", "/messages?for=victim")),
    attempt("script", () => loads("script", "/messages")),
    attempt("events", () => new Promise((resolve, reject) => {
      const source = new EventSource(api + "/events");
      source.onopen = () => { source.close(); resolve("open"); };
      source.onerror = () => { source.close(); reject(); };
    })),
    attempt("websocket", () => new Promise((resolve, reject) => {
      const socket = new WebSocket(api.replace("http", "ws") + "/ws");
      socket.onopen = () => { frames.forEach(frame => socket.send(JSON.stringify(frame))); resolve("open"); };
      socket.onerror = reject;
    })),
    attempt("form", () => {
      const seen = inFrame("target");
      const form = document.createElement("form");
      Object.assign(form, {method: "POST", target: "target", enctype: "text/plain", action: api + "/messages"});
      const input = document.createElement("input");
      input.name = message.slice(0, -1) + ',"meta":{"a":"';
      input.value = '"}}';
      form.append(input);
      document.body.append(form);
      form.submit();
      return seen;
    }),
    attempt("frame", () => inFrame("", api + "/messages")),
  ]);
  return outcomes;
}
"""
#: What a page may see: that something went wrong, or an answer that it cannot look into.
HARMLESS = {"blocked", "opaque", "nothing", "sent", "unreadable", "blank"}


def attack(page: Page, relay: Relay, *, host: str = "127.0.0.1", token: str | None) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(ATTACK, [f"http://{host}:{relay.port}/api", token])
    assert len(found) == 25
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
@pytest.mark.parametrize("token", [None, TOKEN], ids=["not knowing", "knowing the token"])
def test_a_page_of_another_origin_gets_nothing_in_or_out(
    page: Page, relay: Relay, site: int, host: str, token: str | None
) -> None:
    before = state(relay)
    page.goto(f"http://{host}:{site}/")
    outcomes = attack(page, relay, token=token)
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in HARMLESS} == {}
    assert outcomes["events"] == outcomes["websocket"] == outcomes["json"] == outcomes["get"] == "blocked"
    assert state(relay) == before


def test_a_page_of_no_origin_gets_nothing_in_or_out(page: Page, relay: Relay) -> None:
    before = state(relay)
    page.goto("data:text/html,<p>hello")
    outcomes = attack(page, relay, token=TOKEN)
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in HARMLESS} == {}
    assert state(relay) == before


class _Rebinder(socketserver.BaseRequestHandler):
    """First its owner's page, then, on the same name and port, whatever the relay says."""

    def handle(self) -> None:
        relay: Relay = self.server.relay  # type: ignore[attr-defined]
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.request.recv(1 << 16)
            if not data:
                return
            head += data
        if head.startswith(b"GET /page "):
            self.request.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (len(PAGE), PAGE)
            )
            return
        with contextlib.closing(relay.connect()) as upstream, contextlib.suppress(OSError):
            upstream.sendall(head)
            back = threading.Thread(target=_pump, args=(upstream, self.request))
            back.start()
            _pump(self.request, upstream)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _RebindingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


def test_a_rebound_name_gets_nothing_in_or_out(page: Page, relay: Relay) -> None:
    """The browser takes the relay for the page's own server: only the Host header tells."""
    before = state(relay)
    answer = page.goto(f"http://{REBOUND}:{relay.port}/api/messages")
    assert answer is not None
    assert answer.status == 403
    assert answer.json()["code"] == "host-refused"
    with _RebindingServer(("127.0.0.1", 0), _Rebinder) as server:
        server.relay = relay  # type: ignore[attr-defined]
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            port = server.server_address[1]
            page.goto(f"http://{REBOUND}:{port}/page")
            outcomes: dict[str, str] = page.evaluate(ATTACK, [f"http://{REBOUND}:{port}/api", TOKEN])
            page.goto("about:blank")
        finally:
            server.shutdown()
            serving.join()
    readable = {name: outcome for name, outcome in outcomes.items() if outcome.startswith("read ")}
    assert set(readable.values()) == {"read 403"}, outcomes
    assert len(readable) >= 15, outcomes
    assert not {outcome for outcome in outcomes.values() if outcome in {"open", "loaded"}}, outcomes
    assert state(relay) == before


def test_a_page_that_was_named_gets_in(page: Page, relay: Relay, site: int) -> None:
    token = TOKEN if entry(relay) else None
    page.goto(f"http://board.example:{site}/")
    api = f"http://127.0.0.1:{relay.port}/api"
    said = page.evaluate(
        """async ([api, token]) => {
          const headers = {"Content-Type": "application/json", ...(token ? {Authorization: "Bearer " + token} : {})};
          const body = JSON.stringify({from: "human", to: "victim", body: "from the board"});
          const sent = await fetch(api + "/messages", {method: "POST", headers, body});
          const message = await sent.json();
          const found = await (await fetch(api + "/messages/" + message.id, {headers})).json();
          const socket = new WebSocket(api.replace("http", "ws") + "/ws");
          await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
          const frames = []; let wake = () => {};
          socket.onmessage = event => { frames.push(JSON.parse(event.data)); wake(); };
          socket.send(JSON.stringify({op: "hello", ref: 1, agentId: null, token: token || undefined}));
          socket.send(JSON.stringify({op: "send", ref: 2, from: "human", to: "victim", body: "by socket"}));
          while (!frames.some(f => f.ref === 2)) await new Promise(resolve => { wake = resolve; });
          socket.close();
          return [sent.status, found.body, frames.filter(f => f.ref).map(f => f.ok), sent.headers.get("X-Request-Id")];
        }""",
        [api, token],
    )
    assert said[:3] == [201, "from the board", [True, True]]
    assert said[3]
    if not token:
        # EventSource cannot send a token; with one, a page uses fetch.
        opened = page.evaluate(
            """api => new Promise((resolve, reject) => { const source = new EventSource(api + "/events");
            source.onopen = () => { source.close(); resolve(true); }; source.onerror = reject; })""",
            api,
        )
        assert opened


def test_the_relays_own_page_gets_in(page: Page, relay: Relay) -> None:
    """The same origin, as the dashboard has it, under an address and under a name of this machine."""
    token = TOKEN if entry(relay) else None
    for host in ("127.0.0.1", "localhost"):
        page.goto(f"http://{host}:{relay.port}/explorer")
        status = page.evaluate(
            """async token => {
              const headers = token ? {Authorization: "Bearer " + token} : {};
              return (await fetch("/api/messages", {headers})).status;
            }""",
            token,
        )
        assert status == 200


def test_leaving_the_page_ends_its_streams(page: Page, relay: Relay, site: int) -> None:
    if entry(relay):
        pytest.skip("EventSource cannot send a token")
    page.goto(f"http://board.example:{site}/")
    page.evaluate("api => { window.source = new EventSource(api + '/events'); }", f"http://127.0.0.1:{relay.port}/api")

    def listening() -> int:
        found: int = relay.ok("GET", "/api/stats")["live"]["sse"]
        return found

    wait_until(lambda: listening() == 1, "it listens")
    with contextlib.suppress(Exception):
        page.goto("about:blank")
    wait_until(lambda: listening() == 0, "it is gone")

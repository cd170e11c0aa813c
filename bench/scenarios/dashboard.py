"""The dashboard in a real browser: how soon it is there, how soon it shows what happens, and what it costs at rest."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from bench import stats
from bench.http import Caller, register
from bench.process import Address, Relay
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

AGENTS = 200
BATCH = 1_000
RATE_PER_S = 50
_ARGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

#: When the page can be used: it is connected, and every part of it shows what it has. Then two frames, to be painted.
_INTERACTIVE = """
new Promise(done => {
  const there = () => [".line.is-live", ".tile-value", ".feed-line", ".needs .needs-list, .needs .all-well", "svg.bars"]
    .every(part => document.querySelector(part));
  const wait = () => there()
    ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
    : setTimeout(wait, 4);
  wait();
})
"""
#: Notes when each marked message is on the screen: seen by the observer, then one frame.
_WATCH = """
window.painted = {};
new MutationObserver(() => {
  const found = [...document.querySelectorAll(".feed-line")].slice(0, 60)
    .map(line => /mark-\\d+\\./.exec(line.textContent)?.[0]).filter(mark => mark && !(mark in window.painted));
  if (found.length) requestAnimationFrame(() => setTimeout(() => {
    for (const mark of found) window.painted[mark] ??= Date.now();
  }));
}).observe(document.querySelector("main"), {subtree: true, childList: true, characterData: true});
"""


def run(run: Run) -> list[Figure]:
    """Now, with 200 agents and 100,000 messages behind it."""
    if shutil.which("chromium") is None:
        print("bench: dashboard: NOT MEASURED: there is no chromium (make test installs it)", file=sys.stderr)
        return []
    with run.relay() as relay, sync_playwright() as playwright:
        _fill(relay.address, run.pick(100_000, 5_000))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGS)
        url = f"http://127.0.0.1:{relay.address[1]}/"
        figures = _opening(browser, url, rounds=run.pick(7, 3))
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(url)
        page.evaluate(_INTERACTIVE)
        figures += _delivery(page, relay.address, seconds=run.pick(30, 8))
        figures += _rest(page, seconds=run.pick(20.0, 5.0))
        figures += _memory(page, relay, events=run.pick(20_000, 4_000))
        browser.close()
    return figures


def _fill(address: Address, messages: int) -> None:
    cards = [{"id": name, "tags": ["bench"], "project": "bench", "rig": "script"} for name in agent_ids(AGENTS)]
    register(address, cards)
    with Caller(address) as caller:
        for begin in range(0, messages, BATCH):
            batch = [
                {
                    "from": f"agent-{n % AGENTS}",
                    "to": f"agent-{(n * 7 + 1) % AGENTS}",
                    "subject": f"About {n}",
                    "body": "x" * 200,
                }
                for n in range(begin, begin + BATCH)
            ]
            caller.call("POST", "/api/messages", batch)


def _opening(browser: Any, url: str, *, rounds: int) -> list[Figure]:
    """A fresh profile each time, so that nothing is there from before."""
    bare: list[float] = []
    first: list[float] = []
    again: list[float] = []
    sizes: list[float] = []
    fetched: list[float] = []
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(f"{url}static/vendor/LICENSES.txt")
        bare.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        page.close()
        page = context.new_page()
        with _traffic(page) as loads:
            page.goto(url, wait_until="commit")
            first.append(page.evaluate(_INTERACTIVE))
            sizes.append(sum(size for _, size in loads) / 1000)
        with _traffic(page) as loads:
            page.reload(wait_until="commit")
            again.append(page.evaluate(_INTERACTIVE))
            fetched.append(sum(1 for path, _ in loads if "/static/" in path))
        context.close()
    name = "a text file in the same browser"
    return [
        Figure(
            name="Now, navigation to interactive",
            value=stats.median(first),
            unit="ms",
            target=1_000,
            floor=stats.median(bare),
            floor_name=name,
        ),
        Figure(
            name="the same, reloaded", value=stats.median(again), unit="ms", floor=stats.median(bare), floor_name=name
        ),
        Figure(name="transferred, all in all", value=max(sizes), unit="KB", target=150),
        Figure(name="files fetched again by a reload", value=max(fetched), unit="files", target=0),
    ]


@contextlib.contextmanager
def _traffic(page: Page) -> Iterator[list[tuple[str, float]]]:
    """Path and size on the wire, headers included, of what comes from the network."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    urls: dict[str, str] = {}
    kept: set[str] = set()
    loads: list[tuple[str, float]] = []
    session.on("Network.requestWillBeSent", lambda said: urls.update({said["requestId"]: said["request"]["url"]}))
    session.on("Network.requestServedFromCache", lambda said: kept.add(said["requestId"]))

    def finished(said: dict[str, Any]) -> None:
        if said["requestId"] not in kept and said["encodedDataLength"] > 0:
            loads.append((urls.get(said["requestId"], ""), said["encodedDataLength"]))

    session.on("Network.loadingFinished", finished)
    yield loads
    session.detach()


def _delivery(page: Page, address: Address, *, seconds: int) -> list[Figure]:
    """From the moment before sending to the frame that shows it, at a steady rate."""
    page.evaluate(_WATCH)
    sent: dict[str, float] = {}

    def post() -> None:
        with Caller(address) as caller:
            begun = time.perf_counter()
            for number in range(seconds * RATE_PER_S):
                time.sleep(max(0.0, begun + number / RATE_PER_S - time.perf_counter()))
                mark = f"mark-{number}."
                sent[mark] = time.time() * 1000
                body = {
                    "from": f"agent-{number % AGENTS}",
                    "to": f"agent-{(number + 1) % AGENTS}",
                    "body": f"{mark} hello",
                }
                caller.call("POST", "/api/messages", body)

    poster = threading.Thread(target=post)
    poster.start()
    while poster.is_alive():
        page.wait_for_timeout(200)
    poster.join()
    page.wait_for_timeout(1_000)
    painted: dict[str, float] = page.evaluate("window.painted")
    took = [painted[mark] - at for mark, at in sent.items() if mark in painted]
    return [
        Figure(name=f"event to pixel at {RATE_PER_S}/s, p50", value=stats.median(took), unit="ms"),
        Figure(name=f"event to pixel at {RATE_PER_S}/s, p95", value=stats.percentile(took, 95), unit="ms", target=100),
        Figure(name="of these never shown", value=len(sent) - len(took), unit="events", target=0),
    ]


def _rest(page: Page, *, seconds: float) -> list[Figure]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.wait_for_timeout(3_000)
    before, begun = _metric(session, "TaskDuration"), time.perf_counter()
    page.wait_for_timeout(seconds * 1_000)
    busy = (_metric(session, "TaskDuration") - before) / (time.perf_counter() - begun) * 100
    return [Figure(name=f"page's processor over {seconds:.0f} s of nothing", value=busy, unit="%", target=1.0)]


def _memory(page: Page, relay: Relay, *, events: int) -> list[Figure]:
    """After a quarter of the events, when every list is at its bound, and after all of them."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")
    _post(relay.address, events // 4)
    early = _heap_mb(page, session, marker=events // 4 - 1)
    _post(relay.address, events)
    late = _heap_mb(page, session, marker=events - 1)
    return [
        Figure(
            name=f"heap after {events:,} events, to that after {events // 4:,}",
            value=late,
            unit="MB",
            target=1.15,
            by_ratio=True,
            floor=early,
            floor_name="a quarter of the events",
        )
    ]


def _post(address: Address, events: int) -> None:
    with Caller(address) as caller:
        for begin in range(0, events, 100):
            caller.call(
                "POST",
                "/api/messages",
                [
                    {"from": "human", "to": f"agent-{n % AGENTS}", "body": f"event {n}."}
                    for n in range(begin, begin + 100)
                ],
            )
            time.sleep(0.05)


def _heap_mb(page: Page, session: CDPSession, *, marker: int) -> float:
    page.locator(".feed-line").filter(has_text=f"event {marker}.").first.wait_for()
    page.wait_for_timeout(1_500)
    session.send("HeapProfiler.collectGarbage")
    return _metric(session, "JSHeapUsedSize") / 1e6


def _metric(session: CDPSession, name: str) -> float:
    found: float = next(m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == name)
    return found

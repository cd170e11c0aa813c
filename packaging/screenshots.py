"""Take the pictures in ``docs/images``: the real dashboard over ``agent-relay demo``. Run by ``make screenshots``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
#: So long the pretend agents work before they are looked at: charts need some minutes to have a shape.
REHEARSAL_S = 200
ARGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


def main() -> int:
    """Run the demo, go through the screens."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("make screenshots: there is no chromium; make test installs it", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app", "demo", "--no-browser", "--pace", "1.5"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = address(demo)
        print(f"screenshots: letting the demo run for {REHEARSAL_S} s")
        time.sleep(REHEARSAL_S)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
            take_all(browser, url)
            browser.close()
    finally:
        demo.terminate()
        demo.wait(30)
    return 0


def address(demo: subprocess.Popen[str]) -> str:
    """Where the demo serves."""
    assert demo.stdout is not None  # noqa: S101 - a pipe, above
    for line in demo.stdout:
        found = re.match(r"Dashboard: (\S+)", line)
        if found is not None:
            return found[1]
    raise SystemExit("the demo ended before it began")


def take_all(browser: Browser, url: str) -> None:
    """Each screen as it shows most."""
    thread = busiest(url, "/threads?limit=100", "threads", "count")
    task = busiest(url, "/tasks?limit=100", "tasks", "occurrenceCount")
    agent = busiest(url, "/agents?limit=100", "agents", "unread")
    wide = {"light": open_page(browser, url, theme="light"), "dark": open_page(browser, url, theme="dark")}
    for name, theme, path in (
        ("now", "light", "/"),
        ("now-dark", "dark", "/"),
        ("agents", "light", "/agents"),
        ("agent", "dark", f"/agents/{agent['id']}"),
        ("threads", "light", f"/threads/{thread['id']}"),
        ("tasks", "dark", "/tasks"),
        ("task", "light", f"/tasks/{task['id']}"),
        ("map", "light", "/map?last=1h"),
        ("timeline", "light", f"/timeline/{task['id']}"),
        ("integrations", "light", "/integrations"),
        ("join", "light", "/join"),
        ("system", "dark", "/system"),
    ):
        take(wide[theme], url + path, name)
    wide["light"].keyboard.press("Control+k")
    wide["light"].screenshot(path=IMAGES / "dashboard-palette.png")
    phone = open_page(browser, url, theme="dark", width=390, height=844)
    take(phone, f"{url}/", "phone-now")
    take(phone, f"{url}/threads/{thread['id']}", "phone-thread")


def busiest(url: str, path: str, key: str, by: str) -> dict[str, str]:
    """Of a list the one with most of something."""
    found: list[dict[str, str]] = requests.get(f"{url}/api{path}", timeout=10).json()[key]
    return max(found, key=lambda each: each[by])


def open_page(browser: Browser, url: str, *, theme: str, width: int = 1360, height: int = 850) -> Page:
    """The dashboard in one theme and size."""
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()  # type: ignore[arg-type]
    page.goto(url)
    page.locator(".line.is-live").wait_for(state="attached")
    return page


def take(page: Page, address: str, name: str) -> None:
    """One picture, once everything that the screen asked for is there."""
    page.goto(address, wait_until="load")
    page.locator(".line.is-live").wait_for(state="attached")
    page.locator("main h1").first.wait_for(state="attached")
    page.wait_for_timeout(1_200)
    page.screenshot(path=IMAGES / f"dashboard-{name}.png")
    print(f"screenshots: docs/images/dashboard-{name}.png")


if __name__ == "__main__":
    sys.exit(main())

"""A real Chromium, and pages on which nothing may go wrong unnoticed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, expect, sync_playwright

from tests.conftest import MakeRelay
from tests.factories import Relay

CHROMIUM = shutil.which("chromium")
ARGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip

# A machine that runs all tests at once is slow at times; what waits for a state loses nothing by waiting longer.
expect.set_options(timeout=15_000)

MakePage = Callable[..., Page]

_REPORT_VIOLATIONS = (
    "addEventListener('securitypolicyviolation', e => console.error(`refused: ${e.violatedDirective} ${e.blockedURI}`))"
)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("NOT TESTED: there is no chromium")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests of a process; each test has contexts of its own."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
    yield browser
    browser.close()


@pytest.fixture
def make_page(chromium: Browser, make_relay: MakeRelay) -> Iterator[MakePage]:
    """``make_page(theme="dark", width=390)``: a page on which an error, a warning or a refusal fails the test.

    It closes before any relay ends. ``allow`` is a pattern of what the test provokes; ``beside`` another page whose
    storage it shares, as a tab does.
    """
    made: list[tuple[Page, list[str], str | None]] = []

    def make(
        *,
        theme: Any = "light",
        width: int = 1280,
        height: int = 800,
        allow: str | None = None,
        beside: Page | None = None,
    ) -> Page:
        if beside is None:
            size: Any = {"width": width, "height": height}
            context = chromium.new_context(viewport=size, color_scheme=theme, locale="en-GB", reduced_motion="reduce")
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            context.add_init_script(_REPORT_VIOLATIONS)
        else:
            context = beside.context
        page = context.new_page()
        page.set_default_timeout(15_000)
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        made.append((page, problems, allow))
        return page

    yield make
    for context in {page.context for page, _, _ in made}:
        context.close()
    for _, problems, allow in made:
        assert [text for text in problems if allow is None or not re.search(allow, text)] == []


@pytest.fixture
def page(make_page: MakePage) -> Page:
    return make_page()


def shown(page: Page, relay: Relay, path: str = "/") -> Page:
    """The dashboard at an address, once it listens."""
    page.goto(relay.url + path)
    page.locator(".line.is-live").wait_for(state="attached")
    return page


def toast(page: Page, text: str | re.Pattern[str]) -> Locator:
    """A notice."""
    return page.locator(".toast").filter(has_text=text)

"""Pages and their files: what they may do, how small they are, and how often they are asked for."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from app.server.api.pages import SCREENS
from tests.factories import Relay, make_agent, make_message, unique


@pytest.mark.parametrize(
    "path", ["/", *(f"/{screen}" for screen in SCREENS), "/tasks/8", "/tasks/", "/agents/a.b@c", "/explorer"]
)
def test_a_page_has_the_strict_policy(relay: Relay, path: str) -> None:
    page = relay.get(f"/{path}")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert (page.headers["X-Content-Type-Options"], page.headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert page.headers["Cache-Control"] == "no-cache"
    assert "http://" not in page.text.replace(relay.url, "")
    assert "https://" not in page.text
    again = relay.get(f"/{path}", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_file_that_a_page_names_is_there_and_may_be_kept_for_good(relay: Relay) -> None:
    for screen in ("", *SCREENS):
        page = relay.get(f"//{screen}").text
        names = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
        assert len(names) > 20
        for name in names:
            found = relay.get(f"/{name}")
            assert found.status_code == 200, name
            assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_another_version_of_a_file_is_not_kept(relay: Relay) -> None:
    """A page that was opened before an upgrade goes on with the files that there are."""
    for name in ("/static/v-0123456789abcdef/js/main.js", "/static/js/main.js"):
        found = relay.get(f"/{name}")
        assert (found.status_code, found.headers["Cache-Control"]) == (200, "no-cache")
        again = relay.get(f"/{name}", headers={"If-None-Match": found.headers["ETag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/tasksx", "/static/", "/static/js", "/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml",
        "/static/index.html", "/static/v-0123456789abcdef/../../pyproject.toml", "/static/vendor/preact.d.ts",
    ],
)  # fmt: skip
def test_nothing_else_is_served(relay: Relay, path: str) -> None:
    status, _, body = relay.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert (status, json.loads(body)["code"]) == (404, "not-found")


def test_large_answers_are_compressed_for_who_takes_it(relay: Relay) -> None:
    bob = make_agent(relay, id=unique("bob"))
    for _ in range(20):
        make_message(relay, to=bob, body="again and again " * 50)
    plain = relay.get("/messages", params={"to": bob}, headers={"Accept-Encoding": "identity"})
    small = relay.get("/messages", params={"to": bob}, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in small.headers["Vary"]
    data = small.raw.read(decode_content=False)
    assert gzip.decompress(data) == plain.content
    assert len(data) < len(plain.content) / 5
    assert "Content-Encoding" not in relay.get("/stats", headers={"Accept-Encoding": "gzip"}).headers

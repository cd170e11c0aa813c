"""The docs say what the code does: nothing is missing, nothing is left over, and the examples are true."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask

import app.client  # noqa: F401 - its errors are documented too
from app import config_table, model
from app.config import Settings
from app.errors import catalogue
from app.server import create_app, events
from app.server.clock import Clock
from app.server.hub import Hub
from app.server.services.bus import Bus
from app.server.services.integrations import Integrations
from app.server.services.live import LiveSource
from app.server.services.presence import Presence
from app.server.store.engine import Store
from tests.conftest import MakeRelay
from tests.docs import examples
from tests.factories import ROOT, Relay, answer

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_METHODS = {"get", "post", "put", "patch", "delete"}
_SETTING = re.compile(r"\bAGENT_RELAY_[A-Z_]+[A-Z]\b")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def headings(text: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", prose(text), flags=re.MULTILINE)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,3}} |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert match, heading
    return match[2]


@pytest.fixture
def flask_app(tmp_path: Path) -> Iterator[Flask]:
    clock = Clock()
    store = Store(tmp_path / "relay.db", readers=1)
    settings = Settings(db_path=store.path)
    integrations = Integrations(settings, path=None)
    bus = Bus(settings=settings, store=store, clock=clock, presence=Presence(clock), integrations=integrations)
    hub = Hub(LiveSource(bus), clock=clock, call_in_worker=lambda fn: fn())
    hub.start()
    yield create_app(bus, hub=hub)
    hub.stop()
    store.stop()


@pytest.fixture
def document(relay: Relay) -> dict[str, Any]:
    found: dict[str, Any] = answer(relay.get("/openapi.json"))
    return found


# Nothing is missing, and nothing is left over


def test_every_route_is_documented(flask_app: Flask) -> None:
    routes = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in flask_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    found = [h.split(" ", 1) for h in headings(read("docs/http-api.md"), 3)]
    documented = {(method, re.sub(r"\{[^}]+\}", "{}", path)) for method, path in found}
    assert documented == routes
    assert len(found) == len(documented)


def test_every_query_parameter_is_documented(document: dict[str, Any]) -> None:
    text = read("docs/http-api.md")
    named = {re.sub(r"{[^}]+}", "{}", heading): heading for heading in headings(text, 3)}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            said = section(text, named[f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}"])
            for parameter in operation["parameters"]:
                if parameter["in"] == "query":
                    assert re.search(rf"`{parameter['name']}\b", said), f"{method} {path}: {parameter['name']}"


def test_every_event_is_documented() -> None:
    text = read("docs/events.md")
    documented = [h for h in headings(text, 3) if h != "reset"]
    assert sorted(documented) == sorted(event.type for event in events.all_types())
    for name in [*documented, "reset"]:
        assert "`data" in section(text, name), f"{name}: say what its data is"
        assert f"[`{name}`](#{_anchor(name)})" in text, f"{name}: is not in the table"


@pytest.mark.parametrize(
    ("struct", "title"),
    [
        (model.AgentCard, "The agent card"),
        (model.SentMessage, "The message"),
        (model.Task, "The task"),
        (model.Delivery, "The delivery"),
    ],
)
def test_every_field_is_documented(struct: type[msgspec.Struct], title: str) -> None:
    rows = "".join(line.split("|")[1] for line in section(read("docs/http-api.md"), title).splitlines() if "|" in line)
    documented = set(re.findall(r"`(\w+)`", rows))
    assert documented - {"read"} == model.camel_names(struct)


def test_every_error_is_documented() -> None:
    text = read("docs/errors.md")
    codes = {error.code: error for error in catalogue()}
    assert sorted(headings(text, 3)) == sorted(codes)
    status = ""
    for level, heading in re.findall(r"^(##|###) (.+)$", prose(text), flags=re.MULTILINE):
        if level == "##":
            status = heading
        elif status.isdigit():
            assert codes[heading].status == int(status), heading


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_errors_are_named_with_their_status(page: Path) -> None:
    codes = {error.code: error.status for error in catalogue()}
    for status, code in re.findall(r"\b([45]\d\d) `([a-z-]+)`", prose(page.read_text(encoding="utf-8"))):
        assert codes.get(code) == int(status), f"{status} {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {row.name for row in config_table.SETTINGS}
    for connector in (ROOT / "examples" / "integrations").glob("*.*"):
        known.update(_SETTING.findall(connector.read_text(encoding="utf-8")))
    for name in _SETTING.findall(page.read_text(encoding="utf-8")):
        assert name in known or name.removesuffix("_FILE") in known, name


def test_every_setting_is_documented() -> None:
    text = read("docs/settings.md")
    assert [row.name for row in config_table.SETTINGS if f"| `{row.name}`" not in text] == []


def test_the_explorer_has_an_anchor_for_each_error_and_event(relay: Relay) -> None:
    page = relay.get("/docs").text
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    wanted = {error.code for error in catalogue() if error.__module__ == "app.errors"} - {"start-failed"}
    assert wanted <= set(ids)
    assert {event.type for event in events.all_types()} <= set(ids)
    assert not set(ids) & {"start-failed", "bad-setting"}


# Links


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            text = file.read_text(encoding="utf-8")
            assert anchor in {_anchor(h) for level in range(1, 5) for h in headings(text, level)}, target


# The OpenAPI document


def _refs(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _refs(value)
    elif isinstance(part, list):
        for value in part:
            yield from _refs(value)


def test_the_openapi_document_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= document["info"].keys()
    for ref in _refs(document):
        part: Any = document
        for key in ref.removeprefix("#/").split("/"):
            part = part[key]
    tags = {tag["name"] for tag in document["tags"]}
    seen: set[str] = set()
    for path, operations in document["paths"].items():
        assert path.startswith("/api/")
        assert operations.keys() <= _METHODS
        for operation in operations.values():
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            assert operation["summary"]
            assert set(operation["tags"]) <= tags
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")
            assert all(HTTPStatus(int(code)) and said["description"] for code, said in operation["responses"].items())


def test_the_openapi_document_has_every_call_of_the_api(flask_app: Flask, document: dict[str, Any]) -> None:
    beside = {"/api/ws", "/api/metrics", "/api/openapi.json", "/api/docs"}
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in flask_app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.rule not in beside
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {(method, path) for path, operations in document["paths"].items() for method in operations}


# The examples


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("sh")), reason="the examples are for a shell with curl")
@pytest.mark.parametrize("name", examples.DOCUMENTS)
def test_the_examples_print_what_the_docs_say(name: str, make_relay: MakeRelay) -> None:
    """After a change that is meant: ``python -m tests.docs.examples``."""
    compared = 0
    with examples.running(make_relay) as relay:
        for command, shown, printed in examples.outputs(read(name), relay):
            assert examples.alike(printed) == examples.alike(shown.body), command.body
            compared += 1
    assert compared

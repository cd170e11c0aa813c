"""The settings in force: each value, where it came from, and no secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from app.config_table import SETTINGS
from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, problem
from tests.integrations import bearer, configured, make_integration

SHARED = "shared-token-kept-secret"


def in_force(relay: Relay, **more: object) -> dict[str, Json]:
    return {row["name"]: row for row in answer(relay.get("/settings", **more))["settings"]}


def prepare(folder: Path, **files: str) -> None:
    """Files of the relay that is about to start in this folder, readable by its owner alone."""
    for place, text in files.items():
        path = folder / "home" / place.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text)
        path.chmod(0o600)


def test_every_setting_of_the_relay_is_listed_in_the_tables_order(relay: Relay) -> None:
    rows = answer(relay.get("/settings"))["settings"]
    table = [row for row in SETTINGS if row.group == "server"]
    assert [row["name"] for row in rows] == [row.name for row in table]
    assert [row["meaning"] for row in rows] == [row.help for row in table]
    assert [row["secret"] for row in rows] == [row.secret for row in table]
    fields = {"name", "value", "source", "default", "unit", "meaning", "secret"}
    assert all(set(row) == fields for row in rows)
    found = {row["name"]: row for row in rows}
    assert (found["DB_PATH"]["value"], found["DB_PATH"]["source"]) == (str(relay.db), "flag")
    assert found["DB_PATH"]["default"].endswith("relay.db")
    untouched = [row for row in rows if row["source"] == "default"]
    assert all(row["value"] == row["default"] for row in untouched)
    assert found["STALE_TTL_MS"] | {"meaning": ""} == {
        "name": "STALE_TTL_MS", "value": 120_000, "source": "default", "default": 120_000, "unit": "ms", "meaning": "",
        "secret": False,
    }  # fmt: skip
    assert {found[name]["value"] for name in ("AGENT_RELAY_ALLOW_UNAUTH", "AGENT_RELAY_TAILNET")} == {False}
    assert found["AGENT_RELAY_TOKEN"]["value"] is None


def test_each_source_is_told_and_the_first_of_them_wins(tmp_path: Path, make_relay: MakeRelay) -> None:
    config = "\n".join(
        ["PORT=1", "STALE_TTL_MS=70000", "RETENTION_DAYS=7", "REAP_INTERVAL_MS=9000", "AGENT_RELAY_ALLOWED_HOSTS= "]
    )
    secret = tmp_path / "token"
    secret.write_text(SHARED)
    prepare(tmp_path / "relay-0", **{"config__agent-relay__relay.env": config})
    relay = make_relay(
        STALE_TTL_MS=60_000,
        AGENT_RELAY_TOKEN_FILE=secret,
        AGENT_RELAY_CORS_ORIGINS="https://a.example,https://b.example",
        AGENT_RELAY_ALLOW_UNAUTH="1",
        RETENTION_DAYS="",
    )
    found = in_force(relay, headers={"X-Agent-Relay-Token": SHARED})
    said = {name: (row["value"], row["source"]) for name, row in found.items()}
    assert said["PORT"] == (0, "flag")
    assert said["STALE_TTL_MS"] == (60_000, "environment")
    assert said["AGENT_RELAY_CORS_ORIGINS"] == (["https://a.example", "https://b.example"], "environment")
    assert said["AGENT_RELAY_ALLOW_UNAUTH"] == (True, "environment")
    assert said["AGENT_RELAY_TOKEN"] == ("set", "file")
    assert said["RETENTION_DAYS"] == (7, "env_file")
    assert said["REAP_INTERVAL_MS"] == (9_000, "env_file")
    assert said["AGENT_RELAY_ALLOWED_HOSTS"] == ([], "default")
    assert said["HOST"] == ("127.0.0.1", "default")
    assert (found["STALE_TTL_MS"]["default"], found["RETENTION_DAYS"]["default"]) == (120_000, 30)


def test_a_stored_token_is_told_from_one_that_is_set(tmp_path: Path, make_relay: MakeRelay) -> None:
    digest = hashlib.sha256(SHARED.encode()).hexdigest()
    prepare(tmp_path / "relay-0", **{"state__agent-relay__state.json": json.dumps({"tokenSha256": digest})})
    response = make_relay().get("/settings", headers={"X-Agent-Relay-Token": SHARED})
    row = next(row for row in answer(response)["settings"] if row["name"] == "AGENT_RELAY_TOKEN")
    assert (row["value"], row["source"], row["default"]) == ("set", "state_file", None)
    assert digest not in response.text


def test_an_inherited_manager_is_none(make_relay: MakeRelay) -> None:
    row = in_force(make_relay(AGENT_RELAY_MANAGER="systemd", SYSTEMD_EXEC_PID="1"))["AGENT_RELAY_MANAGER"]
    assert (row["value"], row["source"]) == (None, "default")


@pytest.mark.parametrize("from_file", [False, True])
def test_no_secret_is_anywhere_in_the_answer(tmp_path: Path, make_relay: MakeRelay, from_file: bool) -> None:
    """Also not as part of an example or of a path."""
    entry = make_integration(
        "ci",
        token="ci-token-kept-secret",
        callbackUrl="https://kept:secret-password@hooks.example/secret-path?key=secret-query",
        callbackSecret="whsec_c2VjcmV0LWtlcHQ=",
    )
    settings = configured(entry, AGENT_RELAY_TOKEN=SHARED)
    if from_file:
        for name in ("AGENT_RELAY_TOKEN", "AGENT_RELAY_INTEGRATIONS"):
            path = tmp_path / f"secret-{name}"
            path.write_text(str(settings.pop(name)))
            settings[f"{name}_FILE"] = path
    response = make_relay(**settings).get("/settings", headers={"X-Agent-Relay-Token": SHARED})
    found = {row["name"]: row for row in answer(response)["settings"]}
    assert found["AGENT_RELAY_INTEGRATIONS"]["value"] == ["ci"]
    assert found["AGENT_RELAY_INTEGRATIONS"]["secret"] is True
    source = "file" if from_file else "environment"
    assert {found[n]["source"] for n in ("AGENT_RELAY_INTEGRATIONS", "AGENT_RELAY_TOKEN")} == {source}
    digest = hashlib.sha256(SHARED.encode()).hexdigest()
    for secret in (SHARED, "ci-token", "whsec_", "c2VjcmV0", "hooks.example", "secret-", digest):
        assert secret not in response.text, secret


def test_settings_are_for_whoever_may_do_everything(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration(), AGENT_RELAY_TOKEN=SHARED))
    problem(relay.get("/settings"), 401, "unauthorized")
    problem(relay.get("/settings", headers=bearer()), 403, "out-of-scope")
    shared = {"X-Agent-Relay-Token": SHARED}
    problem(relay.post("/settings", {}, headers=shared), 405, "method-not-allowed")

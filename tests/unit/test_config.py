"""Settings: where values come from, what is refused, and that the docs say the same."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import config, config_values, paths
from app.config import ClientSettings, ConfigError, Settings, load_client_settings, load_settings
from app.config_table import SETTINGS, Setting
from app.integrations import Integration

ROOT = Path(__file__).resolve().parents[2]
HASH = hashlib.sha256(b"stored").hexdigest()
INTEGRATION: dict[str, object] = {
    "name": "ci",
    "token": "ci-token",
    "scopes": ["tasks:create"],
    "targets": ["tag:backend"],
    "channels": ["*"],
}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))


def write_env_file(text: str, *, mode: int = 0o600) -> Path:
    path = paths.env_file()
    paths.atomic_write(path, text.encode(), mode=mode)
    return path


def write_state(content: object, *, mode: int = 0o600) -> Path:
    path = paths.state_file()
    paths.atomic_write(path, content if isinstance(content, bytes) else json.dumps(content).encode(), mode=mode)
    return path


def problem(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ=environ)
    line = str(caught.value)
    assert "\n" not in line
    return line


# Where values come from


def test_the_defaults_of_the_table_are_those_of_the_dataclasses() -> None:
    settings = load_settings(environ={})
    assert settings == Settings(db_path=paths.default_db_path())
    assert set(settings.sources.values()) == {"default"}
    assert load_client_settings({}) == ClientSettings()


def test_every_server_and_client_row_has_its_field() -> None:
    server = {row.field for row in SETTINGS if row.group == "server"}
    assert server | {"token_sha256", "sources"} == {field.name for field in fields(Settings)}
    assert {row.field for row in SETTINGS if row.group == "client"} == {field.name for field in fields(ClientSettings)}


def test_every_example_and_default_of_the_table_is_valid() -> None:
    for row in SETTINGS:
        row.parse(row.example)
        if row.default:
            row.parse(row.default)


def test_flag_goes_before_environment_before_env_file_before_default() -> None:
    write_env_file("PORT=5001\nSTALE_TTL_MS=1000\nRETENTION_DAYS=7\n")
    settings = load_settings(flags={"port": 5003, "db": None}, environ={"PORT": "5002", "STALE_TTL_MS": "2000"})
    assert (settings.port, settings.stale_ttl_ms, settings.retention_days) == (5003, 2000, 7)
    assert settings.sources["port"] == "flag --port"
    assert settings.sources["stale_ttl_ms"] == "environment"
    assert settings.sources["retention_days"] == "env file"
    assert settings.sources["reap_interval_ms"] == "default"


@pytest.mark.parametrize("name", ["db", "db_path"])
def test_a_flag_is_named_by_its_field_or_itself(name: str, tmp_path: Path) -> None:
    assert load_settings(flags={name: tmp_path / "x.db"}, environ={}).db_path == tmp_path / "x.db"


def test_an_unknown_flag_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="prot"):
        load_settings(flags={"prot": 1}, environ={})


def test_a_blank_variable_counts_as_unset() -> None:
    write_env_file("AGENT_RELAY_TOKEN=from-the-file\n")
    settings = load_settings(environ={"AGENT_RELAY_TOKEN": "  ", "PORT": "", "AGENT_RELAY_TOKEN_FILE": ""})
    assert (settings.token, settings.port) == ("from-the-file", 4850)


def test_a_blank_token_alone_leaves_the_relay_without_one() -> None:
    assert load_settings(environ={"AGENT_RELAY_TOKEN": ""}).token is None
    assert "HOST: 0.0.0.0" in problem(AGENT_RELAY_TOKEN="", HOST="0.0.0.0")


def test_a_blank_flag_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^HOST \(from flag --host\)"):
        load_settings(flags={"host": ""}, environ={})


def test_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n", encoding="utf-8")
    settings = load_settings(environ={"AGENT_RELAY_TOKEN_FILE": str(file)})
    assert settings.token == "from-a-file"
    assert settings.sources["token"] == f"file {file}"
    write_env_file(f"AGENT_RELAY_TOKEN_FILE={file}\n")
    assert load_settings(environ={}).token == "from-a-file"


def test_a_secret_file_that_gives_nothing_never_means_unset(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n", encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\xfd")
    assert "is empty" in problem(AGENT_RELAY_TOKEN_FILE=str(empty))
    assert "not UTF-8" in problem(AGENT_RELAY_TOKEN_FILE=str(binary))
    assert problem(AGENT_RELAY_TOKEN_FILE=str(tmp_path / "none")).startswith(
        "AGENT_RELAY_TOKEN_FILE (from environment): "
    )
    assert "cannot read" in problem(AGENT_RELAY_TOKEN_FILE=str(tmp_path))


def test_a_secret_and_its_file_together_are_refused() -> None:
    assert "set one of them" in problem(AGENT_RELAY_TOKEN="a", AGENT_RELAY_TOKEN_FILE="/b")


def test_only_secrets_have_a_file_variable(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1", encoding="utf-8")
    assert load_settings(environ={"PORT_FILE": str(tmp_path / "port")}).port == 4850


def test_unknown_variables_are_ignored() -> None:
    write_env_file("AGENT_RELAY_FUTURE=1\nOTHER=2\n")
    assert load_settings(environ={"AGENT_RELAY_OTHER": "x"}) == Settings(db_path=paths.default_db_path())


# The managed env file


def test_the_env_file_takes_comments_export_and_quotes() -> None:
    write_env_file(
        "\ufeff# a comment\n\n  ; another\nexport PORT=5001\r\nAGENT_RELAY_TOKEN='a#\\b'\n"
        'AGENT_RELAY_ALLOWED_HOSTS="one.example, two" \nSTALE_TTL_MS=1\nSTALE_TTL_MS=2'
    )
    settings = load_settings(environ={})
    assert (settings.port, settings.token, settings.allowed_hosts) == (5001, "a#\\b", ("one.example", "two"))
    assert settings.stale_ttl_ms == 2


def test_double_quotes_take_json_with_escapes() -> None:
    text = json.dumps([INTEGRATION])
    write_env_file('AGENT_RELAY_INTEGRATIONS="' + text.replace("\\", "\\\\").replace('"', '\\"') + '"\n')
    assert load_settings(environ={}).integrations[0].name == "ci"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PORT=1\nhello world\n", "line 2: must be KEY=VALUE"),
        ("PORT = 1\n", "line 1: must be KEY=VALUE"),
        ("AGENT_RELAY_TOKEN='swordfish\n", "line 1: the quoted value must end with '"),
        ('AGENT_RELAY_TOKEN="a" b\n', 'line 1: the quoted value must end with "'),
        ("#\n#\nPORT=\x00\n", "line 3: holds a NUL character"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number_and_not_shown(text: str, message: str) -> None:
    path = write_env_file(text)
    line = problem()
    assert f"env file {path}: {message}" in line
    assert "swordfish" not in line


def test_an_env_file_that_is_not_text_or_cannot_be_read_is_refused() -> None:
    path = write_env_file("")
    path.write_bytes(b"PORT=1\n\xff")
    assert "line 2: is not UTF-8 text" in problem()
    path.unlink()
    path.mkdir()
    assert f"env file {path}: cannot be read" in problem()


def test_a_bad_value_in_the_env_file_says_so() -> None:
    write_env_file("PORT=many\n")
    assert problem() == 'PORT (from env file): must be a whole number from 0 to 65535, not "many"; example: PORT=4850'


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_a_secret_in_an_env_file_that_others_can_read_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write_env_file("PORT=5001\n", mode=0o644)
        load_settings(environ={})
        assert not caplog.records
        path = write_env_file("AGENT_RELAY_TOKEN=secret-text\n", mode=0o640)
        load_settings(environ={})
    assert f"chmod 600 '{path}'" in caplog.text
    assert "secret-text" not in caplog.text


@given(st.text(alphabet=st.characters(exclude_characters="\0\n", exclude_categories=["Cs"])))
def test_any_value_of_one_line_survives_quoting(value: str) -> None:
    from app import envfile

    for quoted in (f"'{value}'" if "'" not in value else "''", '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'):
        assert envfile._value(quoted) == ("" if quoted == "''" else value)


# The token's hash in the state file


def test_the_hash_counts_where_no_token_is_set() -> None:
    write_state({"tokenSha256": HASH, "later": 1})
    settings = load_settings(environ={"HOST": "0.0.0.0"})
    assert (settings.token, settings.token_sha256) == (None, HASH)
    assert settings.sources["token"] == "state file"
    settings = load_settings(environ={"AGENT_RELAY_TOKEN": "set"})
    assert (settings.token, settings.token_sha256) == ("set", None)


def test_a_state_file_without_a_hash_means_no_token() -> None:
    write_state({})
    assert load_settings(environ={}).token_sha256 is None


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"[]", b'"x"', {"tokenSha256": 1}, {"tokenSha256": HASH.upper()}, {"tokenSha256": "ab"}],
)
def test_a_malformed_state_file_stops_the_start(content: object) -> None:
    path = write_state(content)
    assert f"state file {path}: " in problem()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o666])
def test_a_state_file_open_to_others_stops_the_start(mode: int) -> None:
    path = write_state({"tokenSha256": HASH}, mode=mode)
    assert f"chmod 600 '{path}'" in problem()


# Single values


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.group != "client"], ids=lambda row: row.name)
def test_a_bad_value_names_variable_problem_and_example(row: Setting) -> None:
    line = problem(**{row.name: "\x07 bad\nvalue"})
    assert line.startswith(f"{row.name}: ")
    assert line.endswith(f"; example: {row.name}={row.example}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"), ("PORT", "-1"), ("PORT", "4850.0"), ("PORT", "1_000"), ("PORT", "٤"), ("PORT", "9" * 50),
        ("STALE_TTL_MS", "0"), ("OFFLINE_PRUNE_MS", "-5"), ("REAP_INTERVAL_MS", "1e3"), ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "99999"), ("AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE", "0"),
        ("HOST", "http://127.0.0.1"), ("HOST", "127.0.0.1:80"), ("HOST", "a b"), ("HOST", "[::1"), ("HOST", "-x"),
        ("DB_PATH", ":memory:"), ("DB_PATH", "/"), ("DB_PATH", "x/"), ("DB_PATH", "file:x?mode=memory"),
        ("AGENT_RELAY_TOKEN", "two words"), ("AGENT_RELAY_TOKEN", "tokén"), ("AGENT_RELAY_TOKEN", "x" * 1025),
        ("AGENT_RELAY_CORS_ORIGINS", "example.org"), ("AGENT_RELAY_CORS_ORIGINS", "https://a.example/"),
        ("AGENT_RELAY_CORS_ORIGINS", "https://*.example"), ("AGENT_RELAY_CORS_ORIGINS", "null"),
        ("AGENT_RELAY_CORS_ORIGINS", "*,https://a.example"), ("AGENT_RELAY_CORS_ORIGINS", "https://a.example:99999"),
        ("AGENT_RELAY_CORS_ORIGINS", "https://me@a.example"),
        ("AGENT_RELAY_ALLOWED_HOSTS", "*.example"), ("AGENT_RELAY_ALLOWED_HOSTS", "a.example:80"),
        ("AGENT_RELAY_ALLOWED_HOSTS", "http://a.example"), ("AGENT_RELAY_ALLOWED_HOSTS", "a..b"),
        ("AGENT_RELAY_ALLOW_UNAUTH", "maybe"), ("AGENT_RELAY_TAILNET", "2"), ("AGENT_RELAY_MANAGER", "cron"),
        ("AGENT_RELAY_DATABASE_URL", "mysql://x"), ("CODEX_THREAD_MODE", "Auto"),
        ("AGENT_RELAY_CODEX_FALLBACK_THREAD_MODE", "none"), ("AGENT_RELAY_CODEX_HOOK_TIMEOUT_MS", "0"),
        ("CODEX_APP_SERVER_URL", "ws://0.0.0.0:4500"), ("CODEX_APP_SERVER_URL", "ws://127.0.0.1"),
        ("CODEX_APP_SERVER_URL", "ws://127.0.0.1:0"), ("CODEX_APP_SERVER_URL", "wss://127.0.0.1:1"),
        ("AGENT_RELAY_CODEX_RUN_ID", "../x"), ("AGENT_RELAY_AGENT_ID", "human"), ("AGENT_RELAY_AGENT_ID", "a b"),
        ("AGENT_RELAY_URL", "127.0.0.1:4850"), ("AGENT_RELAY_URL", "ftp://x"), ("AGENT_RELAY_URL", "http://x/api"),
        ("AGENT_RELAY_URL", "http://me:pw@x"), ("AGENT_RELAY_URL", "http://x?a=b"), ("AGENT_RELAY_URL", "http://x#a"),
        ("AGENT_RELAY_URL", "http://x:99999"), ("AGENT_RELAY_URL", "http://x:0"), ("AGENT_RELAY_URL", "http://"),
        ("AGENT_RELAY_URL", "http://[::1"), ("AGENT_RELAY_CAPS", "a\x07"), ("AGENT_RELAY_CAPS", "x" * 129),
    ],
)  # fmt: skip
def test_this_value_is_refused(name: str, value: str) -> None:
    assert problem(**{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("PORT", " 0 ", "port", 0),
        ("HOST", "[::1]", "host", "::1"),
        ("HOST", "LocalHost", "host", "LocalHost"),
        ("RETENTION_DAYS", "0", "retention_days", 0),
        ("AGENT_RELAY_ALLOW_UNAUTH", "yes", "allow_unauth", True),
        ("AGENT_RELAY_TAILNET", "0", "tailnet", False),
        ("AGENT_RELAY_MANAGER", "launchd", "manager", "launchd"),
        ("AGENT_RELAY_ALLOWED_HOSTS", " Box., box ,relay.example,", "allowed_hosts", ("box", "relay.example")),
        (
            "AGENT_RELAY_CORS_ORIGINS",
            "HTTPS://Board.example:443, http://[::1]:80,http://localhost:5173, app://x",
            "cors_origins",
            ("https://board.example", "http://[::1]", "http://localhost:5173", "app://x"),
        ),
    ],
)
def test_this_value_is_taken(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load_settings(environ={name: value}), field) == expected


def test_a_database_path_is_made_absolute_and_knows_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={"DB_PATH": "relay.db"}).db_path == tmp_path / "relay.db"
    assert load_settings(environ={"DB_PATH": "~/relay.db"}).db_path == tmp_path / "relay.db"


def test_systemd_is_believed_only_by_its_own_child() -> None:
    environ = {"AGENT_RELAY_MANAGER": "systemd"}
    assert load_settings(environ=environ).manager is None
    assert load_settings(environ=environ | {"SYSTEMD_EXEC_PID": str(os.getppid())}).manager is None
    assert load_settings(environ=environ | {"SYSTEMD_EXEC_PID": str(os.getpid())}).manager == "systemd"


def test_secrets_show_neither_in_errors_nor_in_reprs() -> None:
    secret = "swordfish"
    assert secret not in problem(AGENT_RELAY_TOKEN=f"{secret} x")
    assert secret not in problem(AGENT_RELAY_DATABASE_URL=f"mysql://u:{secret}@h/d")
    assert secret not in problem(AGENT_RELAY_DATABASE_URL=f"postgresql://u:{secret}@h/d")
    assert secret not in problem(AGENT_RELAY_INTEGRATIONS=json.dumps([INTEGRATION | {"token": f"{secret} x"}]))
    settings = load_settings(
        environ={"AGENT_RELAY_TOKEN": secret, "AGENT_RELAY_INTEGRATIONS": json.dumps([INTEGRATION])}
    )
    assert secret not in repr(settings)
    assert "ci-token" not in repr(settings)
    assert secret not in repr(load_client_settings({"AGENT_RELAY_TOKEN": secret}))


@given(st.text(max_size=200))
def test_no_text_breaks_a_parser_or_its_line(text: str) -> None:
    problems = []
    for parse in {row.parse for row in SETTINGS}:
        try:
            parse(text)
        except ValueError as exc:
            problems.append(str(exc))
    assert all(len(line.splitlines()) == 1 for line in problems)


# Rules that span several settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert load_settings(environ={"HOST": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example", "localhost.example", "127.1", "0"])
def test_any_other_bind_needs_a_token_or_the_override(host: str) -> None:
    assert "AGENT_RELAY_TOKEN" in problem(HOST=host)
    assert load_settings(environ={"HOST": host, "AGENT_RELAY_TOKEN": "t"}).host == host
    assert load_settings(environ={"HOST": host, "AGENT_RELAY_ALLOW_UNAUTH": "1"}).token is None
    assert "AGENT_RELAY_TOKEN" in problem(HOST=host, AGENT_RELAY_ALLOW_UNAUTH="0")


def test_every_origin_needs_a_token() -> None:
    assert "there is no token" in problem(AGENT_RELAY_CORS_ORIGINS="*")
    assert "there is no token" in problem(AGENT_RELAY_CORS_ORIGINS="*", AGENT_RELAY_ALLOW_UNAUTH="1")
    assert load_settings(environ={"AGENT_RELAY_CORS_ORIGINS": "*", "AGENT_RELAY_TOKEN": "t"}).cors_origins == ("*",)


def test_the_tailnet_needs_a_token_and_a_later_version() -> None:
    assert "needs a token" in problem(AGENT_RELAY_TAILNET="1")
    line = problem(AGENT_RELAY_TAILNET="1", AGENT_RELAY_TOKEN="t")
    assert line.startswith("AGENT_RELAY_TAILNET: this version cannot")
    assert "set HOST to the tailnet address" in line


def test_postgresql_is_understood_and_refused() -> None:
    assert problem(AGENT_RELAY_DATABASE_URL="postgresql://relay@db/relay") == (
        "AGENT_RELAY_DATABASE_URL: PostgreSQL is not supported by this version;"
        " unset it to use the SQLite file of DB_PATH"
    )


# Integrations


def test_an_integration_comes_out_as_written() -> None:
    given_ = INTEGRATION | {
        "callbackUrl": "http://127.0.0.1:9/x?y=z",
        "callbackSecret": "whsec_c2VjcmV0",
        "scopes": "*",
    }
    (found,) = load_settings(environ={"AGENT_RELAY_INTEGRATIONS": json.dumps([given_])}).integrations
    assert found == Integration(
        name="ci",
        token="ci-token",
        scopes=("*",),
        targets=("tag:backend",),
        channels=("*",),
        callback_url="http://127.0.0.1:9/x?y=z",
        callback_secret="whsec_c2VjcmV0",
    )
    assert "ci-token" not in repr(found)
    assert "c2VjcmV0" not in repr(found)


@pytest.mark.parametrize("key", ["name", "token", "scopes", "targets", "channels"])
def test_an_integration_needs_each_of_its_keys(key: str) -> None:
    entry = {name: value for name, value in INTEGRATION.items() if name != key}
    line = problem(AGENT_RELAY_INTEGRATIONS=json.dumps([entry]))
    assert ("entry 1 lacks name" if key == "name" else f'entry 1 ("ci") lacks {key}') in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"callbackURL": "http://x"}, 'unknown key "callbackURL"'),
        ({"name": ""}, "name must be"), ({"name": " ci"}, "name must be"), ({"name": "a\nb"}, "name must"),
        ({"name": 1}, "name must be"),
        ({"name": "human"}, "name must not be"), ({"name": "system"}, "name must not be"),
        ({"token": "a b"}, "token must be"), ({"token": None}, "token must be"),
        ({"scopes": []}, "scopes must be"), ({"scopes": ["tasks:write"]}, "scopes must be one of"),
        ({"scopes": ["*", "tasks:read"]}, "scopes must be either"),
        ({"scopes": "tasks:create"}, "scopes must be a list"),
        ({"targets": ["team:x"]}, "targets must be"), ({"targets": ["tag:"]}, "targets must be"),
        ({"targets": [{}]}, "targets must be"), ({"channels": [""]}, "channels must be"),
        ({"callbackUrl": "ftp://x"}, "callbackUrl must be"), ({"callbackUrl": "x"}, "callbackUrl must be"),
        ({"callbackSecret": "c2VjcmV0"}, "callbackSecret must be"),
        ({"callbackSecret": "whsec_"}, "callbackSecret must be"),
        ({"callbackSecret": "whsec_***"}, "callbackSecret must be"),
    ],
)  # fmt: skip
def test_a_bad_integration_is_named_by_entry_and_key(change: dict[str, object], message: str) -> None:
    line = problem(AGENT_RELAY_INTEGRATIONS=json.dumps([INTEGRATION, INTEGRATION | change]))
    assert "entry 2 (" in line or not isinstance(change.get("name", ""), str)
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"), ("{}", "must be a JSON array"), ("[1]", "entry 1 must be an object"),
        ("[" * 100_000, "nested too deeply"), ('[{"name":1,"name":2}]', "a key twice"),
        (json.dumps([INTEGRATION, INTEGRATION | {"token": "other"}]), 'two integrations are named "ci"'),
        (json.dumps([INTEGRATION, INTEGRATION | {"name": "other"}]), "the same token"),
    ],
)  # fmt: skip
def test_a_bad_list_of_integrations_is_refused(text: str, message: str) -> None:
    assert message in problem(AGENT_RELAY_INTEGRATIONS=text)


def test_the_shared_token_is_no_integrations_token() -> None:
    text = json.dumps([INTEGRATION])
    assert 'the token of "ci" is the shared token' in problem(
        AGENT_RELAY_INTEGRATIONS=text, AGENT_RELAY_TOKEN="ci-token"
    )
    write_state({"tokenSha256": hashlib.sha256(b"ci-token").hexdigest()})
    assert 'the token of "ci" is the shared token' in problem(AGENT_RELAY_INTEGRATIONS=text)


# Clients


def test_client_settings_come_from_environment_and_env_file() -> None:
    write_env_file("AGENT_RELAY_TOKEN=from-the-file\nAGENT_RELAY_URL=https://relay.example/\n")
    environ = {"AGENT_RELAY_CAPS": "chat, review,chat", "AGENT_RELAY_AGENT_ID": "box-1"}
    assert load_client_settings(environ) == ClientSettings(
        url="https://relay.example", token="from-the-file", capabilities=("chat", "review"), agent_id="box-1"
    )
    assert load_client_settings({"AGENT_RELAY_TOKEN": "own"}).token == "own"


def test_a_client_is_not_stopped_by_the_servers_settings() -> None:
    assert load_client_settings({"PORT": "many"}) == ClientSettings()


# The docs


def test_the_docs_hold_the_table_as_it_is() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    match = re.search(r"<!-- table: python -m app\.config -->\n(.*)<!-- end of table -->", text, re.DOTALL)
    assert match is not None
    assert match[1].strip() == config.render_settings_table().strip(), "put the output of `python -m app.config` there"


def test_agent_ids_are_those_of_the_wire() -> None:
    model = pytest.importorskip("app.model")
    assert config_values.RESERVED_IDS == model.RESERVED_IDS
    assert config_values.AGENT_ID.pattern in model.AGENT_ID_PATTERN

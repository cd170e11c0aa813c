"""The table of settings: one row for each variable drives flags, environment, env file and docs/settings.md.

A new setting is a new row here and, if the server reads it, a field of :class:`app.config.Settings`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app import config_values as values
from app import integrations

Group = Literal["server", "client", "codex"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table."""

    name: str  #: the variable, in the environment and in the env file
    group: Group
    parse: Callable[[str], object]  #: raises ValueError with the problem
    help: str
    example: str
    field: str = ""  #: of Settings or ClientSettings; blank where no program reads it yet
    default: str = ""  #: parsed like any other value; blank = unset
    default_help: str = ""  #: for the docs, where the default is not a fixed text
    unit: str = ""
    secret: bool = False  #: read from NAME_FILE too, and never shown
    flag: str = ""


_MS = values.whole_number(1, values.MAX_MS)
_MODES = values.one_of(*values.THREAD_MODES)

# A table reads best as one: a row or two of text for each setting.
# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting(name="PORT", group="server", field="port", parse=values.whole_number(0, 65535), default="4850",
            example="4850", flag="--port", help="where the relay listens; `0` takes any free port"),
    Setting(name="HOST", group="server", field="host", parse=values.bind_host, default="127.0.0.1",
            example="127.0.0.1", flag="--host", help="address to listen on; one that is not loopback needs a token"),
    Setting(name="DB_PATH", group="server", field="db_path", parse=values.database_file, example="/var/lib/relay.db",
            default_help="`relay.db` in the data folder", flag="--db", help="the SQLite file"),
    Setting(name="AGENT_RELAY_DATABASE_URL", group="server", field="database_url", parse=values.postgres_url,
            example="postgresql://relay@db.example/relay", secret=True,
            help="a PostgreSQL database instead; refused by this version, which has SQLite only"),
    Setting(name="STALE_TTL_MS", group="server", field="stale_ttl_ms", parse=_MS, default="120000", unit="ms",
            example="120000", help="an agent without a sign of life for this long is `stale`, for three times this long"
            " `offline`"),
    Setting(name="OFFLINE_PRUNE_MS", group="server", field="offline_prune_ms", parse=_MS, default="86400000",
            unit="ms", example="86400000", help="agents that have been offline for longer are deleted"),
    Setting(name="REAP_INTERVAL_MS", group="server", field="reap_interval_ms", parse=_MS, default="60000", unit="ms",
            example="60000", help="how often the relay looks for stale, offline and long gone agents"),
    Setting(name="RETENTION_DAYS", group="server", field="retention_days", parse=values.whole_number(0, 36500),
            default="30", unit="days", example="30",
            help="messages, closed tasks and events older than this are deleted; `0` = never"),
    Setting(name="AGENT_RELAY_TOKEN", group="server", field="token", parse=values.token, secret=True,
            example="a-long-random-text", help="the shared token that every call to `/api` must carry"),
    Setting(name="AGENT_RELAY_CORS_ORIGINS", group="server", field="cors_origins", parse=values.origins,
            default_help="same origin only", example="https://board.example,http://localhost:5173",
            help="web origins whose pages may call the API, comma-separated; `*` = all, and needs a token"),
    Setting(name="AGENT_RELAY_ALLOWED_HOSTS", group="server", field="allowed_hosts", parse=values.host_names,
            example="relay.example,build-box", help="further host names that the relay answers to, comma-separated"),
    Setting(name="AGENT_RELAY_ALLOW_UNAUTH", group="server", field="allow_unauth", parse=values.switch, example="1",
            help="`1`: listen beyond loopback without a token"),
    Setting(name="AGENT_RELAY_TAILNET", group="server", field="tailnet", parse=values.switch, example="1",
            help="`1`: also listen on the tailnet address; needs a token; refused by this version, which cannot yet"),
    Setting(name="AGENT_RELAY_INTEGRATIONS", group="server", field="integrations", parse=integrations.parse,
            default="[]", secret=True,
            example='[{"name":"ci","token":"ci-secret","scopes":["tasks:create"],"targets":["*"],"channels":["*"]}]',
            help="outside systems with their own tokens: a JSON array of objects"),
    Setting(name="AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE", group="server",
            field="integration_rate_limit_per_minute", parse=values.whole_number(1, 1_000_000), default="120",
            unit="calls", example="120", help="how often one integration may call in a minute"),
    Setting(name="AGENT_RELAY_MANAGER", group="server", field="manager", parse=values.one_of("systemd", "launchd"),
            example="systemd", help="the service manager that runs the relay; set by the service file, not by hand"),

    Setting(name="AGENT_RELAY_URL", group="client", field="url", parse=values.relay_url,
            default="http://127.0.0.1:4850", example="http://127.0.0.1:4850",
            help="the relay that commands and agents talk to"),
    Setting(name="AGENT_RELAY_TOKEN", group="client", field="token", parse=values.token, secret=True,
            example="a-long-random-text",
            help="the relay's shared token; where it is unset, the OS keyring and then the env file are asked"),
    Setting(name="AGENT_RELAY_CAPS", group="client", field="capabilities", parse=values.capabilities, default="chat",
            example="chat,review", help="what the agent says it can do, comma-separated"),
    Setting(name="AGENT_RELAY_AGENT_ID", group="client", field="agent_id", parse=values.agent_id,
            example="build-box-1", help="in whose name commands speak"),

    Setting(name="CODEX_APP_SERVER_URL", group="codex", parse=values.app_server_url, flag="--listen",
            default_help="a free loopback port", example="ws://127.0.0.1:4500", help="where Codex is made to listen"),
    Setting(name="CODEX_THREAD_MODE", group="codex", parse=_MODES, default="start", flag="--thread-mode",
            example="start", help="which thread to take up when Codex itself starts none"),
    Setting(name="CODEX_MODEL", group="codex", parse=values.word, example="gpt-5-codex", help="the model to ask for"),
    Setting(name="AGENT_RELAY_CODEX_FALLBACK_THREAD_MODE", group="codex", parse=_MODES, example="auto",
            help="goes before the thread mode when no thread came in time"),
    Setting(name="AGENT_RELAY_CODEX_HOOK_TIMEOUT_MS", group="codex", parse=_MS, default="5000", unit="ms",
            example="5000", help="how long to wait for Codex's own thread"),
    Setting(name="AGENT_RELAY_CODEX_ALIAS", group="codex", parse=values.switch, flag="--alias`, `--no-alias",
            example="1", help="`1`: install puts a `codex` command of its own on PATH; `0`: it does not"),
    Setting(name="CODEX_HOME", group="codex", parse=values.path, default_help="`~/.codex`", example="~/.codex",
            help="Codex's own folder"),
    # What the launcher tells the programs that it starts.
    Setting(name="AGENT_RELAY_CODEX_RUN_ID", group="codex", parse=values.run_id, example="run-1",
            help="the run's name; set by the launcher for its children"),
    Setting(name="AGENT_RELAY_CODEX_RUNTIME_DIR", group="codex", parse=values.path,
            example="/home/me/.local/state/agent-relay/codex/runs/run-1",
            help="the run's folder; set by the launcher for its children"),
    Setting(name="CODEX_LIVE_CWD", group="codex", parse=values.path, example="/home/me/project",
            help="the working folder; set by the launcher for its children"),
    Setting(name="CODEX_LIVE_STATE_PATH", group="codex", parse=values.path,
            example="/home/me/.local/state/agent-relay/codex/runs/run-1/live-state.json",
            help="the run's state file; set by the launcher for its children"),
    Setting(name="CODEX_LIVE_APPROVAL_POLICY", group="codex", parse=values.word, example="never",
            help="the resolved approval policy; set by the launcher for its children"),
    Setting(name="CODEX_LIVE_SANDBOX", group="codex", parse=values.word, example="workspace-write",
            help="the resolved sandbox mode; set by the launcher for its children"),
)
# fmt: on

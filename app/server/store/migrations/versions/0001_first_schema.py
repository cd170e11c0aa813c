"""The first schema: agents, messages, receipts, the event log, sessions, full-text search."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reported_status", sa.Text, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.Column("rig", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("wake_paths", sa.Text, nullable=False),
        sa.Column("prompt_chars", sa.BigInteger, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "subscriptions",
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("by_client", sa.Boolean, nullable=False),
        sa.Column("by_human", sa.Boolean, nullable=False),
        sa.Column("since_id", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_subscriptions_topic", "subscriptions", ["topic", "agent_id"])
    op.create_table(
        "messages",
        sa.Column("id", _Id, primary_key=True, autoincrement=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("channel", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("thread_id", sa.BigInteger, nullable=False),
        sa.Column("reply_to", sa.BigInteger),
        sa.Column("claimable", sa.Boolean, nullable=False),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("task_id", sa.BigInteger),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
    )
    open_ = sa.text("claimable AND claimed_by IS NULL")
    held = sa.text("claimed_by IS NOT NULL")
    channelled = sa.text("channel IS NOT NULL")
    for name, columns, where in (
        ("ix_messages_target", ["target", "id"], None),
        ("ix_messages_thread", ["thread_id", "id"], None),
        ("ix_messages_sender", ["sender", "id"], None),
        ("ix_messages_channel", ["channel", "id"], channelled),
        ("ix_messages_open", ["target", "claimed_by", "id"], open_),
        ("ix_messages_held", ["claimed_by", "id"], held),
    ):
        op.create_index(name, "messages", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "receipts",
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("offered_at", sa.BigInteger),
        sa.Column("offered_by", sa.Text),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("delivered_by", sa.Text),
        sa.Column("read_at", sa.BigInteger),
        sa.Column("claimed_at", sa.BigInteger),
    )
    op.create_table(
        "read_marks",
        sa.Column("agent_id", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("up_to", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_read_marks_topic", "read_marks", ["topic", "up_to"])
    op.create_table(
        "events",
        sa.Column("seq", _Id, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("agent_id", sa.Text),
        sa.Column("topic", sa.Text),
        sa.Column("sender", sa.Text),
        sa.Column("data", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("request_sha256", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_idempotency_created", "idempotency", ["created_at"])
    op.create_table(
        "sessions",
        sa.Column("secret_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO counters (name, value) VALUES ('seq', 0), ('floor', 0), ('messages', 0)")
    op.execute(
        "INSERT INTO subscriptions (agent_id, topic, position, by_client, by_human, since_id) "
        "VALUES ('human', 'human', 0, true, false, 0)"
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE_SEARCH:
            op.execute(statement)


#: A migration is history: it spells out what the store's SQLite module said when it was written.
_SQLITE_SEARCH = (
    "CREATE VIRTUAL TABLE messages_fts USING fts5"
    "(subject, body, content='messages', content_rowid='id', tokenize=\"unicode61 remove_diacritics 2\")",
    "CREATE TRIGGER messages_fts_delete BEFORE DELETE ON messages "
    "WHEN old.id <= (SELECT value FROM counters WHERE name = 'searchable') BEGIN "
    "INSERT INTO messages_fts(messages_fts, rowid, subject, body) "
    "VALUES ('delete', old.id, old.subject, old.body); END",
    "INSERT INTO counters(name, value) VALUES ('searchable', 0)",
)

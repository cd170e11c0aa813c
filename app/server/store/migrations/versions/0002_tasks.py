"""Tasks with their history, and the outbox of callbacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _Id, primary_key=True, autoincrement=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("dedupe_key", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("external_url", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("progress", sa.Integer),
        sa.Column("claimed_by", sa.Text),
        sa.Column("occurrence_count", sa.BigInteger, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
    )
    op.create_table(
        "task_events",
        sa.Column("seq", _Id, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("occurrence", sa.Text),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", _Id, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("integration", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("webhook_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("give_up_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("delivered_at", sa.BigInteger),
    )
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("response", sa.Text),
    )
    active, closed = sa.text("closed_at IS NULL"), sa.text("closed_at IS NOT NULL")
    held, pending = sa.text("claimed_by IS NOT NULL"), sa.text("state = 'pending'")
    for name, table, columns, where in (
        ("ux_tasks_active", "tasks", ["source", "dedupe_key"], active),
        ("ix_tasks_active_status", "tasks", ["status"], active),
        ("ix_tasks_status", "tasks", ["status", "id"], None),
        ("ix_tasks_source", "tasks", ["source", "id"], None),
        ("ix_tasks_target", "tasks", ["target", "id"], None),
        ("ix_tasks_claimed_by", "tasks", ["claimed_by", "id"], held),
        ("ix_tasks_closed", "tasks", ["closed_at"], closed),
        ("ix_task_events_task", "task_events", ["task_id", "seq"], None),
        ("ix_deliveries_task", "deliveries", ["task_id", "id"], None),
        ("ix_deliveries_integration", "deliveries", ["integration", "id"], None),
        ("ix_deliveries_due", "deliveries", ["integration", "next_at"], pending),
        ("ix_deliveries_open", "deliveries", ["task_id", "state", "id"], pending),
        ("ix_deliveries_state", "deliveries", ["state", "id"], None),
    ):
        op.create_index(name, table, columns, unique=name.startswith("ux_"), sqlite_where=where, postgresql_where=where)

"""What an overview asks: counts by the minute, who writes to whom, lost claims, and indexes of the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("minute_at", _Id, primary_key=True, autoincrement=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("claims", sa.BigInteger, nullable=False),
        sa.Column("lost_claims", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "traffic",
        sa.Column("bucket_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("receipts", sa.Column("lost_at", sa.BigInteger))
    op.add_column("receipts", sa.Column("lost_to", sa.Text))
    answers, lost = sa.text("sender = 'human'"), sa.text("lost_at IS NOT NULL")
    of_agents = sa.text("type IN ('agent.registered', 'agent.status', 'agent.removed')")
    of_claims = sa.text("type IN ('message.claimed', 'message.released')")
    released = sa.text("type = 'message.released'")
    for name, table, columns, where in (
        ("ix_messages_answers", "messages", ["thread_id", "sender", "id"], answers),
        ("ix_receipts_lost", "receipts", ["agent_id", "lost_at", "message_id"], lost),
        ("ix_events_agent", "events", ["agent_id", "seq"], of_agents),
        ("ix_events_claim", "events", ["message_id", "seq"], of_claims),
        ("ix_events_claimant", "events", ["agent_id", "seq"], of_claims),
        ("ix_events_released", "events", ["type", "seq"], released),
    ):
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    # What was sent before is counted too, as far as it is still held.
    op.execute(
        "INSERT INTO activity (minute_at, messages, claims, lost_claims) "
        "SELECT created_at - created_at % 60000 AS minute, count(*), 0, 0 FROM messages GROUP BY minute"
    )
    op.execute(
        "INSERT INTO activity (minute_at, messages, claims, lost_claims) "
        "SELECT created_at - created_at % 60000 AS minute, 0, count(*), 0 FROM events "
        "WHERE type = 'message.claimed' GROUP BY minute "
        "ON CONFLICT (minute_at) DO UPDATE SET claims = excluded.claims"
    )
    op.execute(
        "INSERT INTO traffic (bucket_at, sender, target, messages) "
        "SELECT created_at - created_at % 600000 AS bucket, sender, target, count(*) FROM messages "
        "GROUP BY bucket, sender, target"
    )

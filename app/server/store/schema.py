"""The tables, as SQLAlchemy Core: the one description that queries and the migration test are held against.

Instants are integers, milliseconds since 1970 UTC. JSON is text: the relay never looks inside it.

A message's id *is* the sequence number of the event that announced it. One number line for both means that a reader who
has seen everything up to N has seen every message up to N too, on any store, whatever the order of commits.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

#: SQLite makes a rowid alias only of the exact type INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

#: Numbers that every transaction shares. ``seq`` hands out event numbers: its row is written before the events are, so
#: numbers are given in commit order. ``floor`` is the newest event that retention has removed.
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),  # what the card shows
    Column("reported_status", Text, nullable=False),  # what the agent said last: it comes back to this
    Column("ready", Boolean, nullable=False),
    Column("rig", Text),
    Column("project", Text),
    Column("host", Text),
    Column("version", Text),
    Column("meta", Text, nullable=False),
    Column("wake_paths", Text, nullable=False),
    Column("prompt_chars", BigInteger, nullable=False),
    Column("secret_sha256", LargeBinary),
    Column("registered_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
)

#: What each agent receives: its own id, ``broadcast``, and its tags, capabilities and labels. ``human`` has one row.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("position", Integer, nullable=False),  # the order in which the card lists it
    Column("by_client", Boolean, nullable=False),
    Column("by_human", Boolean, nullable=False),
    Column("since_id", BigInteger, nullable=False),  # fan-out up to here came before the subscription
    Index("ix_subscriptions_topic", "topic", "agent_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("sender", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("subject", Text),
    Column("body", Text, nullable=False),
    Column("channel", Text),
    Column("kind", Text, nullable=False),
    Column("thread_id", BigInteger, nullable=False),
    Column("reply_to", BigInteger),
    Column("claimable", Boolean, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_at", BigInteger),
    Column("priority", Text, nullable=False),
    Column("meta", Text, nullable=False),
    Column("task_id", BigInteger),
    Column("verified", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)
# Partial on SQLite only, so far: naming PostgreSQL's option here loads that dialect, 0.1 s, at each start.
# In the queries' own words: SQLAlchemy would say "claimable = 1", and SQLite not see that its index serves them.
_open = text("claimable AND claimed_by IS NULL")
_held = messages.c.claimed_by.is_not(None)
_channelled = messages.c.channel.is_not(None)
Index("ix_messages_target", messages.c.target, messages.c.id)
Index("ix_messages_thread", messages.c.thread_id, messages.c.id)
Index("ix_messages_sender", messages.c.sender, messages.c.id)
Index(
    "ix_messages_channel",
    messages.c.channel,
    messages.c.id,
    sqlite_where=_channelled,
)
# claimed_by is always NULL in it, and there only to be named: with (target, id) alone SQLite finds this index no better
# than ix_messages_target and takes whichever was made first, which may mean a walk through all that was ever sent.
Index(
    "ix_messages_open",
    messages.c.target,
    messages.c.claimed_by,
    messages.c.id,
    sqlite_where=_open,
)
Index("ix_messages_held", messages.c.claimed_by, messages.c.id, sqlite_where=_held)
# What people have answered, asked for each message to a human that is unread. The sender is always the same in it, and
# only there to be named: else SQLite takes ix_messages_thread.
Index(
    "ix_messages_answers",
    messages.c.thread_id,
    messages.c.sender,
    messages.c.id,
    sqlite_where=text("sender = 'human'"),
)

#: What happened between one message and one recipient. Rows outlive a pruned agent and go with their message.
receipts = Table(
    "receipts",
    metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("agent_id", Text, primary_key=True),
    Column("offered_at", BigInteger),
    Column("offered_by", Text),
    Column("delivered_at", BigInteger),
    Column("delivered_by", Text),
    Column("read_at", BigInteger),
    Column("claimed_at", BigInteger),
    Column("lost_at", BigInteger),  # when this agent last tried to claim what another held
    Column("lost_to", Text),  # who held it then
)
Index(
    "ix_receipts_lost",
    receipts.c.agent_id,
    receipts.c.lost_at,
    receipts.c.message_id,
    sqlite_where=receipts.c.lost_at.is_not(None),
)

#: The low-water mark: nothing up to ``up_to`` is unread for this agent under this topic. Receipts are the truth; the
#: mark only spares the inbox from walking over what was read long ago. A release lowers it again.
read_marks = Table(
    "read_marks",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("up_to", BigInteger, nullable=False),
    Index("ix_read_marks_topic", "topic", "up_to"),
)

#: The log that everything live is a tail of. ``data`` is the whole payload, or, where ``message_id`` is set, the fields
#: in which the message then differed from its row; the message itself is not stored twice.
events = Table(
    "events",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("message_id", BigInteger),
    Column("agent_id", Text),
    Column("topic", Text),
    Column("sender", Text),
    Column("data", Text),
    Column("created_at", BigInteger, nullable=False),
)
# Partial, so that an announcement, which is most of the log, is in none of them.
_of_agents = text("type IN ('agent.registered', 'agent.status', 'agent.removed')")
_of_claims = text("type IN ('message.claimed', 'message.released')")
Index("ix_events_agent", events.c.agent_id, events.c.seq, sqlite_where=_of_agents)
Index("ix_events_claim", events.c.message_id, events.c.seq, sqlite_where=_of_claims)
Index("ix_events_claimant", events.c.agent_id, events.c.seq, sqlite_where=_of_claims)
Index("ix_events_released", events.c.type, events.c.seq, sqlite_where=text("type = 'message.released'"))

#: How much happened in each minute, counted in the transactions in which it happened.
activity = Table(
    "activity",
    metadata,
    Column("minute_at", _Id, primary_key=True, autoincrement=False),
    Column("messages", BigInteger, nullable=False),
    Column("claims", BigInteger, nullable=False),
    Column("lost_claims", BigInteger, nullable=False),
)

#: Who has sent how much to whom, in stretches of ten minutes. Its key is all there is to it: one B-tree, not two.
traffic = Table(
    "traffic",
    metadata,
    Column("bucket_at", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("messages", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: Work items. A task's id is its message's: who knows one number knows both.
tasks = Table(
    "tasks",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("dedupe_key", Text),
    Column("title", Text, nullable=False),
    Column("body", Text),
    Column("target", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("external_url", Text),
    Column("metadata", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("progress", Integer),
    Column("claimed_by", Text),
    Column("occurrence_count", BigInteger, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
)
_active = text("closed_at IS NULL")
# One active task for each thing that an outside system keeps telling of.
Index("ux_tasks_active", tasks.c.source, tasks.c.dedupe_key, unique=True, sqlite_where=_active)
Index("ix_tasks_active_status", tasks.c.status, sqlite_where=_active)
Index("ix_tasks_status", tasks.c.status, tasks.c.id)
Index("ix_tasks_source", tasks.c.source, tasks.c.id)
Index("ix_tasks_target", tasks.c.target, tasks.c.id)
Index("ix_tasks_claimed_by", tasks.c.claimed_by, tasks.c.id, sqlite_where=tasks.c.claimed_by.is_not(None))
Index("ix_tasks_closed", tasks.c.closed_at, sqlite_where=text("closed_at IS NOT NULL"))

#: A task's history, under the numbers of its events in the log; it lives as long as the task. ``task`` is the task as
#: it then stood, in the wire's JSON: what listeners and callbacks are told.
task_events = Table(
    "task_events",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=False),
    Column("task_id", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text),
    Column("occurrence", Text),  # JSON: what an integration's event gave
    Column("task", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_task_events_task", "task_id", "seq"),
)

#: The outbox of callbacks. A delivery's id is the number of the event that it tells of. ``next_at`` is set for the
#: first pending one of each task, so that a task's callbacks keep their order and no other task waits.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("task_id", BigInteger, nullable=False),
    Column("integration", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("webhook_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("next_at", BigInteger),
    Column("give_up_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),  # what the pauses go by
    Column("created_at", BigInteger, nullable=False),
    Column("delivered_at", BigInteger),
    Index("ix_deliveries_task", "task_id", "id"),
    Index("ix_deliveries_integration", "integration", "id"),
)
_pending = text("state = 'pending'")
Index("ix_deliveries_due", deliveries.c.integration, deliveries.c.next_at, sqlite_where=_pending)
# The state is always the same in it, and only there to be named: else SQLite takes ix_deliveries_task, which knows all.
Index("ix_deliveries_open", deliveries.c.task_id, deliveries.c.state, deliveries.c.id, sqlite_where=_pending)
Index("ix_deliveries_state", deliveries.c.state, deliveries.c.id)

#: What came of each try to deliver a callback.
attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("response", Text),
)

#: Idempotency keys of sends, by SHA-256 of sender and key: what was asked, and what it made.
idempotency = Table(
    "idempotency",
    metadata,
    Column("key_sha256", LargeBinary, primary_key=True),
    Column("request_sha256", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_idempotency_created", "created_at"),
)

#: One-time codes and the sessions they became; only hashes are kept.
sessions = Table(
    "sessions",
    metadata,
    Column("secret_sha256", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),  # code | session
    #: the shared token it was made under: a new token ends every session
    Column("token_sha256", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

#: What a new database holds.
FIRST_ROWS: dict[str, list[dict[str, object]]] = {
    "counters": [{"name": "seq", "value": 0}, {"name": "floor", "value": 0}, {"name": "messages", "value": 0}],
    "subscriptions": [
        {"agent_id": "human", "topic": "human", "position": 0, "by_client": True, "by_human": False, "since_id": 0}
    ],
}

"""Routes: views of the whole bus, for people."""

from __future__ import annotations

from flask import Blueprint

from app.model import (
    Activity,
    ActivityQuery,
    AgentTimeline,
    AgentTimelineQuery,
    Attention,
    AttentionQuery,
    PresenceHistory,
    PresenceQuery,
    ThreadList,
    ThreadListQuery,
    Timeline,
    Traffic,
    TrafficQuery,
)
from app.server.api._http import relay
from app.server.api._spec import route
from app.server.services import overview, timeline

blueprint = Blueprint("overview", __name__, url_prefix="/api")


@route(blueprint, "GET", "/activity", query=ActivityQuery, answer=Activity)
def get_activity(query: ActivityQuery) -> Activity:
    """Messages, claims and lost claims by the minute, oldest first; the last is the minute that runs"""
    return overview.get_activity(relay().bus, query)


@route(blueprint, "GET", "/traffic", query=TrafficQuery, answer=Traffic)
def get_traffic(query: TrafficQuery) -> Traffic:
    """Who wrote to whom how often, the busiest first"""
    return overview.get_traffic(relay().bus, query)


@route(blueprint, "GET", "/threads", query=ThreadListQuery, answer=ThreadList)
def list_threads(query: ThreadListQuery) -> ThreadList:
    """Conversations, the most recently active first

    A thread is listed where one of its messages matches, in the order of the newest that does.
    """
    return overview.list_threads(relay().bus, query)


@route(blueprint, "GET", "/attention", query=AttentionQuery, answer=Attention)
def get_attention(query: AttentionQuery) -> Attention:
    """What waits for a person: unanswered messages, blocked tasks, work given back, dead callbacks"""
    return overview.get_attention(relay().bus, query)


@route(blueprint, "GET", "/presence", query=PresenceQuery, answer=PresenceHistory)
def list_presence(query: PresenceQuery) -> PresenceHistory:
    """The status of each agent over the last minutes"""
    return overview.list_presence(relay().bus, query)


@route(blueprint, "GET", "/messages/<int:message_id>/timeline", answer=Timeline, problems=(404,))
def get_message_timeline(message_id: int) -> Timeline:
    """All that happened in the conversation of a message, oldest first"""
    return timeline.of_message(relay().bus, message_id)


@route(blueprint, "GET", "/tasks/<int:task_id>/timeline", answer=Timeline, problems=(404,))
def get_task_timeline(task_id: int) -> Timeline:
    """All that happened to a task and in its conversation, oldest first"""
    return timeline.of_task(relay().bus, task_id)


@route(blueprint, "GET", "/agents/<agent_id>/timeline", query=AgentTimelineQuery, answer=AgentTimeline, problems=(404,))
def get_agent_timeline(agent_id: str, query: AgentTimelineQuery) -> AgentTimeline:
    """What an agent did, and what came to it alone, newest first"""
    return timeline.of_agent(relay().bus, agent_id, query)

"""Routes: agents."""

from __future__ import annotations

from flask import Blueprint

from app.model import (
    AgentCard,
    AgentList,
    AgentQuery,
    Heartbeat,
    HeartbeatAnswer,
    PatchAgent,
    RegisterAgent,
    RegisteredAgent,
)
from app.server.api._http import agent_secret, relay
from app.server.api._spec import ignored_keys, route
from app.server.services import agents

blueprint = Blueprint("agents", __name__, url_prefix="/api/agents")


@route(
    blueprint,
    "POST",
    "",
    json=RegisterAgent,
    answer=RegisteredAgent,
    status=201,
    also={200: RegisteredAgent},
    problems=(400, 415),
)
def register_agent(body: RegisterAgent) -> tuple[RegisteredAgent, int]:
    """Register an agent, or refresh the one of this id

    Keys given replace, absent ones stay; 201 where it is new, 200 where it was known. Unknown keys are listed in
    `ignored`. With `issueSecret` the answer holds `agentSecret`, once.
    """
    done = agents.register(relay().bus, body, secret=agent_secret(), ignored=ignored_keys(RegisterAgent))
    return done.card, 201 if done.created else 200


@route(blueprint, "GET", "", query=AgentQuery, answer=AgentList)
def list_agents(query: AgentQuery) -> AgentList:
    """List agents by id"""
    return agents.list_agents(relay().bus, query)


@route(blueprint, "GET", "/<agent_id>", answer=AgentCard, problems=(404,))
def get_agent(agent_id: str) -> AgentCard:
    """One agent's card"""
    return agents.get(relay().bus, agent_id)


@route(blueprint, "PATCH", "/<agent_id>", json=PatchAgent, answer=AgentCard, problems=(400, 404, 415))
def patch_agent(agent_id: str, body: PatchAgent) -> AgentCard:
    """Change an agent

    A human's change, or the agent's own where its secret comes with it. `labels` given by a human become the card's
    labels; given by the agent they never remove a human's.
    """
    return agents.patch(relay().bus, agent_id, body, secret=agent_secret())


@route(blueprint, "POST", "/<agent_id>/heartbeat", json=Heartbeat, answer=HeartbeatAnswer, problems=(400, 404, 415))
def heartbeat(agent_id: str, body: Heartbeat) -> HeartbeatAnswer:
    """A sign of life, which may carry what changes most"""
    ignored = ignored_keys(Heartbeat)
    return agents.heartbeat(relay().bus, agent_id, body, secret=agent_secret(), ignored=ignored)


@route(blueprint, "DELETE", "/<agent_id>", status=204, problems=(404,))
def remove_agent(agent_id: str) -> tuple[None, int]:
    """The agent leaves; its claims are released"""
    agents.remove(relay().bus, agent_id, secret=agent_secret())
    return None, 204

"""Routes: tasks."""

from __future__ import annotations

from flask import Blueprint

from app.model import AgentRef, SetTaskStatus, Task, TaskEventList, TaskEventQuery, TaskList, TaskQuery
from app.server.api._http import agent_secret, caller, relay
from app.server.api._spec import route
from app.server.services import agents, claims, tasks

blueprint = Blueprint("tasks", __name__, url_prefix="/api/tasks")


@route(blueprint, "GET", "", query=TaskQuery, answer=TaskList)
def list_tasks(query: TaskQuery) -> TaskList:
    """Tasks, newest first

    An integration with the scope `tasks:read` sees those within its targets and channels.
    """
    return tasks.list_tasks(relay().bus, query, reader=caller())


@route(blueprint, "GET", "/<int:task_id>", answer=Task, problems=(404,))
def get_task(task_id: int) -> Task:
    """One task"""
    return tasks.get(relay().bus, task_id, reader=caller())


@route(blueprint, "GET", "/<int:task_id>/events", query=TaskEventQuery, answer=TaskEventList, problems=(404,))
def list_task_events(task_id: int, query: TaskEventQuery) -> TaskEventList:
    """A task's history, oldest first"""
    return tasks.list_history(relay().bus, task_id, query, reader=caller())


@route(blueprint, "POST", "/<int:task_id>/claim", json=AgentRef, answer=Task, problems=(400, 404, 409, 410, 415))
def claim_task(task_id: int, body: AgentRef) -> Task:
    """Claim a task, and with it its message: 200 to exactly one agent, and to that one again"""
    bus = relay().bus
    task = claims.claim_task(bus, task_id, agent_id=body.agent_id, secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return task


@route(blueprint, "POST", "/<int:task_id>/release", json=AgentRef, answer=Task, problems=(400, 404, 409, 415))
def release_task(task_id: int, body: AgentRef) -> Task:
    """The claimant gives a task back: it is open again, and its message is announced anew"""
    bus = relay().bus
    task = claims.release_task(bus, task_id, agent_id=body.agent_id, secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return task


@route(blueprint, "PATCH", "/<int:task_id>/status", json=SetTaskStatus, answer=Task, problems=(400, 404, 409, 415))
def set_task_status(task_id: int, body: SetTaskStatus) -> Task:
    """Move a task; with the status that it has, note progress

    By its claimant (`agentId`), else as a human.
    """
    bus = relay().bus
    task = tasks.set_status(bus, task_id, body, agent_secret=agent_secret())
    if body.agent_id is not None:
        agents.sign_of_life(bus, body.agent_id)
    return task

"""The client's calls about tasks, the events that make them, and the callbacks that tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from app.client_calls import PAGE, Calls
from app.client_http import Query
from app.model import (
    AgentRef,
    Delivery,
    DeliveryList,
    DeliveryState,
    IngestAnswer,
    IntegrationEvent,
    SetTaskStatus,
    Severity,
    Task,
    TaskEvent,
    TaskEventList,
    TaskList,
    TaskStatus,
)


class TaskCalls(Calls):
    """Look, claim, move, and what integrations do."""

    def list_tasks(
        self,
        *,
        status: TaskStatus | Iterable[TaskStatus] | None = None,
        source: str | None = None,
        target: str | None = None,
        severity: Severity | None = None,
        claimed_by: str | None = None,
        q: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> TaskList:
        """A page of tasks, newest first; ``next`` is the following page's ``before``.

        :param status: one, or any of several; :data:`app.model.ACTIVE` are those that are not closed.
        :param q: full text.
        """
        statuses = [status] if isinstance(status, TaskStatus) else sorted(status or ())
        query: Query = {
            "status": ",".join(statuses) or None,
            "source": source,
            "target": target,
            "severity": severity,
            "claimedBy": claimed_by,
            "q": q,
            "before": before,
            "limit": limit,
        }
        return self._get("/tasks", TaskList, query=query)

    def get_task(self, task_id: int) -> Task:
        """One task.

        :raises TaskNotFound: there is none.
        """
        return self._get(f"/tasks/{task_id:d}", Task)

    def task_history(self, task_id: int) -> Iterator[TaskEvent]:
        """All that happened to a task, oldest first, fetched page by page.

        :raises TaskNotFound: there is none.
        """
        since: int | UnsetType = 0
        while not isinstance(since, UnsetType):
            page = self._get(f"/tasks/{task_id:d}/events", TaskEventList, query={"since": since, "limit": PAGE})
            yield from page.events
            since = page.next

    def claim_task(self, task_id: int, *, agent_id: str) -> Task:
        """Claim a task, and its message with it; to the agent that holds it, the same answer again.

        :raises TaskNotFound: there is none.
        :raises ClaimConflict: another agent holds it: ``extras["claimedBy"]``.
        :raises NotARecipient: its target does not include this agent.
        :raises MessageClosed: it is closed.
        """
        return self._post(f"/tasks/{task_id:d}/claim", Task, body=AgentRef(agent_id=agent_id))

    def release_task(self, task_id: int, *, agent_id: str) -> Task:
        """Give a task back. Not tried again after a lost connection: by then another may hold it.

        :raises TaskNotFound: there is none.
        :raises NotClaimant: the agent does not hold it.
        :raises StatusConflict: it is closed.
        """
        path = f"/tasks/{task_id:d}/release"
        return self._post(path, Task, body=AgentRef(agent_id=agent_id), repeatable=False)

    def set_task_status(
        self,
        task_id: int,
        *,
        status: TaskStatus,
        agent_id: str | None = None,
        result: Any | UnsetType = UNSET,
        progress: int | UnsetType = UNSET,
        note: str | None = None,
    ) -> Task:
        """Move a task; with the status that it has, note progress.

        Tried again after a lost connection: the same change again changes nothing, but a note may then stand twice in
        the history.

        :param agent_id: its claimant; without it the change is a human's.
        :param result: any JSON, at most 64 KiB.
        :param progress: 0-100.
        :raises TaskNotFound: there is none.
        :raises NotClaimant: the agent does not hold it.
        :raises StatusConflict: it cannot move there: ``extras["taskStatus"]`` is where it stands, ``["allowed"]`` where
            it can go.
        :raises Invalid: the result is too large, or something else is not valid.
        """
        request = SetTaskStatus(status=status, agent_id=agent_id, result=result, progress=progress, note=note)
        return self._call("PATCH", f"/tasks/{task_id:d}/status", Task, body=request)

    def send_event(self, event: IntegrationEvent) -> IngestAnswer:
        """Say, as an integration, that something is, or that it is over. The client's token is the integration's own.

        With a ``dedupe_key`` it is tried again after a lost connection, and the task may then count it twice; without
        one it is not, for it could make two tasks.

        :raises Unauthorized: the relay does not know the token.
        :raises IntegrationTokenRequired: the token is the shared one.
        :raises OutOfScope: target, channel or the call itself is not open to this integration: ``extras["allowed"]``.
        :raises RateLimited: it calls too often; ``headers["Retry-After"]`` says when to try again, in seconds.
        :raises Invalid: a field is missing or not valid.
        """
        return self._post("/integrations/events", IngestAnswer, body=event, repeatable=event.dedupe_key is not None)

    def callbacks(
        self,
        *,
        state: DeliveryState | None = None,
        integration: str | None = None,
        task_id: int | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> DeliveryList:
        """A page of callbacks with their attempts, newest first; ``next`` is the following page's ``before``."""
        query: Query = {
            "state": state,
            "integration": integration,
            "task": task_id,
            "before": before,
            "limit": limit,
        }
        return self._get("/callbacks", DeliveryList, query=query)

    def redeliver(self, delivery_id: int) -> Delivery:
        """Try a callback again now, whatever became of it; its receiver knows repetitions by their ``webhook-id``.

        :raises DeliveryNotFound: there is none.
        """
        return self._post(f"/callbacks/{delivery_id:d}/redeliver", Delivery)

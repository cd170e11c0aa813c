"""The client's calls about agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec import UNSET, UnsetType

from app.client_calls import PAGE, Calls
from app.model import (
    AgentCard,
    AgentList,
    Heartbeat,
    HeartbeatAnswer,
    PatchAgent,
    RegisterAgent,
    RegisteredAgent,
    ReportedStatus,
    Status,
    WakePath,
)

T = TypeVar("T")


class AgentCalls(Calls):
    """Register, look up, change, keep alive, remove."""

    def register(
        self,
        agent_id: str,
        *,
        labels: Sequence[str] | UnsetType = UNSET,
        tags: Sequence[str] | UnsetType = UNSET,
        capabilities: Sequence[str] | UnsetType = UNSET,
        status: ReportedStatus | UnsetType = UNSET,
        ready: bool | UnsetType = UNSET,
        rig: str | None | UnsetType = UNSET,
        project: str | None | UnsetType = UNSET,
        host: str | None | UnsetType = UNSET,
        version: str | None | UnsetType = UNSET,
        meta: Mapping[str, Any] | UnsetType = UNSET,
        wake_paths: Sequence[WakePath] | UnsetType = UNSET,
        prompt_chars: int | UnsetType = UNSET,
        issue_secret: bool = False,
    ) -> RegisteredAgent:
        """Register an agent or refresh it: what is given replaces, what is not stays.

        :param issue_secret: ask for an agent secret; the answer holds it, and a client with it must be made for further
            calls. Not tried again after a lost connection: the secret would be lost with the first answer.
        """
        request = RegisterAgent(
            id=agent_id,
            labels=_listed(labels),
            tags=_listed(tags),
            capabilities=_listed(capabilities),
            status=status,
            ready=ready,
            rig=rig,
            project=project,
            host=host,
            version=version,
            meta=meta if isinstance(meta, UnsetType) else dict(meta),
            wake_paths=_listed(wake_paths),
            prompt_chars=prompt_chars,
            issue_secret=issue_secret,
        )
        return self._post("/agents", RegisteredAgent, body=request, repeatable=not issue_secret)

    def get_agent(self, agent_id: str) -> AgentCard:
        """One agent's card.

        :raises AgentNotFound: there is none.
        """
        return self._get(_agent(agent_id), AgentCard)

    def list_agents(
        self,
        *,
        status: Status | None = None,
        tag: str | None = None,
        cap: str | None = None,
        label: str | None = None,
        ready: bool | None = None,
    ) -> Iterator[AgentCard]:
        """All agents by id, fetched page by page."""
        query: dict[str, str | int | bool | None]
        query = {"status": status, "tag": tag, "cap": cap, "label": label, "ready": ready, "limit": PAGE}
        while True:
            page = self._get("/agents", AgentList, query=query)
            yield from page.agents
            if isinstance(page.next, UnsetType):
                return
            query["after"] = page.next

    def patch_agent(
        self,
        agent_id: str,
        *,
        labels: Sequence[str] | UnsetType = UNSET,
        tags: Sequence[str] | UnsetType = UNSET,
        capabilities: Sequence[str] | UnsetType = UNSET,
        status: ReportedStatus | UnsetType = UNSET,
        ready: bool | UnsetType = UNSET,
        meta: Mapping[str, Any] | UnsetType = UNSET,
    ) -> AgentCard:
        """Change an agent as a human, or, with its secret, as the agent itself. Lists replace the whole list."""
        request = PatchAgent(
            labels=_listed(labels),
            tags=_listed(tags),
            capabilities=_listed(capabilities),
            status=status,
            ready=ready,
            meta=meta if isinstance(meta, UnsetType) else dict(meta),
        )
        return self._call("PATCH", _agent(agent_id), AgentCard, body=request)

    def heartbeat(
        self,
        agent_id: str,
        *,
        status: ReportedStatus | UnsetType = UNSET,
        ready: bool | UnsetType = UNSET,
        wake_paths: Sequence[WakePath] | UnsetType = UNSET,
        prompt_chars: int | UnsetType = UNSET,
    ) -> HeartbeatAnswer:
        """A sign of life, and what it carries."""
        request = Heartbeat(status=status, ready=ready, wake_paths=_listed(wake_paths), prompt_chars=prompt_chars)
        return self._post(f"{_agent(agent_id)}/heartbeat", HeartbeatAnswer, body=request)

    def remove_agent(self, agent_id: str) -> None:
        """The agent leaves; its claims are released."""
        self._caller.call("DELETE", _agent(agent_id))


def _listed(values: Sequence[T] | UnsetType) -> list[T] | UnsetType:
    return values if isinstance(values, UnsetType) else list(values)


def _agent(agent_id: str) -> str:
    return f"/agents/{quote(agent_id, safe='')}"

"""The integrations in force: those of the environment, and those of the file as it stands."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app import integrations as files
from app.config import Settings
from app.errors import OutOfScope, StartError
from app.integrations import Integration, includes
from app.logs import redact
from app.model import IntegrationInForce, IntegrationList
from app.server.clock import rfc3339, rfc3339_or_none
from app.server.services.tally import Tally
from app.server.store import integrations as store
from app.server.store.integrations import Figures

if TYPE_CHECKING:
    from app.server.services.bus import Bus

logger = logging.getLogger(__name__)


class Integrations:
    """A look-up by token and by name. Safe to use from any thread."""

    def __init__(self, settings: Settings, *, path: Path | None) -> None:
        """:param path: the file, which need not exist; None: there is none.

        :raises StartError: the file is bad, or does not go with the settings.
        """
        self._settings = settings
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._by_token: Mapping[bytes, Integration] = {}
        self._by_name: Mapping[str, Integration] = {}
        self._stamp = self._look()
        try:
            self._take()
        except ValueError as exc:
            raise StartError(str(exc)) from None

    def find(self, token_sha256: bytes) -> Integration | None:
        """Whose token this is."""
        self.refresh()
        return self._by_token.get(token_sha256)

    def named(self, name: str) -> Integration | None:
        """The integration of this name."""
        self.refresh()
        return self._by_name.get(name)

    def in_force(self) -> list[Integration]:
        """All of them, by name."""
        self.refresh()
        return [entry for _, entry in sorted(self._by_name.items())]

    def refresh(self) -> None:
        """Read the file again if it has changed. A broken edit keeps the old set, and is said in the log."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        with self._lock:
            if stamp == self._stamp:
                return
            try:
                self._take()
            except ValueError as exc:
                logger.warning(
                    "%s; the integrations from before stay in force", exc, extra={"action": "integrations.broken"}
                )
            else:
                extra = {"action": "integrations.read", "names": ", ".join(sorted(self._by_name))}
                logger.info("integrations read", extra=extra)
            finally:
                self._stamp = stamp  # only now: until then whoever else comes has to wait for the new set

    def _look(self) -> tuple[int, ...] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _take(self) -> None:
        own = () if self._path is None else files.read(self._path)
        everyone = (*self._settings.integrations, *own)
        try:
            files.check_apart(everyone)
            files.check_shared_token(own, token=self._settings.token, token_sha256=self._settings.token_sha256)
        except ValueError as exc:
            raise ValueError(f"{self._path}: together with AGENT_RELAY_INTEGRATIONS: {exc}") from None
        for entry in everyone:
            for secret in entry.secrets:
                redact(secret)
        self._by_name = {entry.name: entry for entry in everyone}
        self._by_token = {hashlib.sha256(entry.token.encode()).digest(): entry for entry in everyone}


def list_integrations(bus: Bus, tally: Tally) -> IntegrationList:
    """The integrations in force, and how they fare."""
    with bus.store.read() as connection:
        dead = store.count_dead(connection)
        return IntegrationList(
            integrations=[
                _shown(entry, tally, store.figures(connection, entry.name), dead=dead.get(entry.name, 0))
                for entry in bus.integrations.in_force()
            ]
        )


def _shown(entry: Integration, tally: Tally, figures: Figures, *, dead: int) -> IntegrationInForce:
    seen = [at for at in (tally.last_event_ms(entry.name), figures.last_seen_at) if at is not None]
    return IntegrationInForce(
        name=entry.name,
        scopes=list(entry.scopes),
        targets=list(entry.targets),
        channels=list(entry.channels),
        callback_url=entry.shown_callback_url,
        signed=entry.callback_secret is not None,
        counts=tally.counts(entry.name),
        counts_since=rfc3339(tally.since_ms),
        tasks=figures.tasks,
        pending_callbacks=figures.pending_callbacks,
        dead_callbacks=dead,
        last_event_at=rfc3339_or_none(max(seen, default=None)),
    )


def check_scope(integration: Integration, scope: str | None) -> None:
    """Hold a call against what an integration may do.

    :param scope: that the call needs; None: no integration may make it.
    :raises OutOfScope: it may not.
    """
    if scope is None or not integration.may(scope):
        allowed = list(integration.scopes)
        needed = f"needs the scope {scope}" if scope else "is not for integrations"
        raise OutOfScope(
            f"This call {needed}; the token of {integration.name} has: {', '.join(allowed)}.", allowed=allowed
        )


def check_reach(integration: Integration, *, target: str, channel: str | None, prefix: str = "") -> None:
    """Hold a target and a channel against those of an integration.

    :raises OutOfScope: one is not among them; ``allowed`` names those that are.
    """
    for field, value, allowed in (("target", target, integration.targets), ("channel", channel, integration.channels)):
        if not includes(allowed, value):
            said = "is needed" if value is None else f"{value} is not open to it"
            raise OutOfScope(
                f"{prefix}{field}: {said}; the integration {integration.name} may use: {', '.join(allowed)}.",
                errors=[{"field": f"{prefix}{field}", "message": f"must be one of: {', '.join(allowed)}"}],
                allowed=list(allowed),
            )

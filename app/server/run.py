"""One run of the relay, from opening the database to the last goodbye."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from app import __version__, paths
from app.config import Settings
from app.errors import StartError
from app.server import create_app
from app.server.api.problems import render_problem
from app.server.clock import Clock
from app.server.hub import Hub
from app.server.services.bus import Bus
from app.server.services.integrations import Integrations
from app.server.services.live import LiveSource
from app.server.services.presence import Presence
from app.server.serving import Serving
from app.server.store import agents as agent_store
from app.server.store.engine import Store
from app.server.workers.callbacks import Courier
from app.server.workers.losses import LossRecorder
from app.server.workers.periodic import Worker
from app.server.workers.reaper import make_reaper
from app.server.workers.retention import make_indexer, make_retention

logger = logging.getLogger(__name__)

#: Requests that run at once. A send waits for the disk in one of them, so this also bounds a group commit.
WORKERS = 16


def serve(settings: Settings) -> int:
    """Run the relay in the foreground until SIGTERM or SIGINT.

    :returns: the process's exit status.
    :raises StartError: the database or the port cannot be used.
    """
    clock = Clock()
    store = Store(settings.db_path, readers=WORKERS)
    try:
        bus = Bus(
            settings=settings,
            store=store,
            clock=clock,
            presence=Presence(clock),
            integrations=Integrations(settings, path=paths.integrations_file()),
        )
        return _serve(bus)
    finally:
        store.stop()


def _serve(bus: Bus) -> int:
    settings = bus.settings
    with bus.store.read() as connection:
        bus.presence.load(agent_store.presence(connection))
    hub = Hub(LiveSource(bus), clock=bus.clock, call_in_worker=lambda fn: serving.call_in_worker(fn))
    app = create_app(bus, hub=hub)
    try:
        serving = Serving(app, listen=[(settings.host, settings.port)], threads=WORKERS, render_problem=render_problem)
    except OSError as exc:
        raise StartError(
            f"{settings.host}:{settings.port} cannot be listened on: {exc.strerror or exc}. Another relay may "
            "run there already; stop it, or choose another PORT"
        ) from exc

    def on_commit() -> None:
        hub.committed()
        bus.outbox.committed()

    bus.store.on_commit = on_commit
    bus.store.soon = serving.call_in_worker
    hub.start()
    workers: list[Worker] = [
        make_reaper(bus, live_agents=hub.live_agents),
        make_retention(bus),
        make_indexer(bus),
        Courier(bus),
        LossRecorder(bus.losses),
    ]
    for worker in workers:
        worker.start()
    stopping = _stop_on_signal(serving, hub)
    runtime_file = _write_runtime_file(bus, port=serving.addresses[0][1])
    host, port = serving.addresses[0]
    sys.stderr.write(f"agent-relay {__version__} listening on http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stderr.flush()
    # What lives now lives to the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        serving.run()
    finally:
        _remove_runtime_file(runtime_file, bus.instance)
        for worker in workers:
            worker.stop(timeout_s=0.5)
        hub.stop(timeout_s=1.0)
    logger.info("stopped", extra={"action": "stop", "signal": stopping.get("signal")})
    return 0


def _stop_on_signal(serving: Serving, hub: Hub) -> dict[str, str]:
    seen: dict[str, str] = {}

    def wind_down() -> None:
        hub.stop(timeout_s=1.0)  # says goodbye to every stream, while its connection is still there
        serving.stop()

    def stop(number: int, _frame: FrameType | None) -> None:
        seen["signal"] = signal.Signals(number).name
        # Not here: a signal handler interrupts the serving loop, which may hold a lock that the hub waits for.
        threading.Thread(target=wind_down, name="stop", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return seen


def _write_runtime_file(bus: Bus, *, port: int) -> Path:
    """Where other programs of this user find the relay; they never guess its configuration."""
    path = paths.runtime_file()
    what = {
        "pid": os.getpid(),
        "port": port,
        "instance": bus.instance,
        "version": __version__,
        "manager": bus.settings.manager,
    }
    try:
        paths.atomic_write(path, json.dumps(what).encode() + b"\n")
    except OSError as exc:
        logger.warning("no runtime file at %s: %s", path, exc.strerror, extra={"action": "start.runtime_file"})
    return path


def _remove_runtime_file(path: Path, instance: str) -> None:
    try:
        if json.loads(path.read_bytes()).get("instance") == instance:
            path.unlink()
    except (OSError, ValueError):
        logger.debug("the runtime file is not ours any more", extra={"action": "stop.runtime_file"})

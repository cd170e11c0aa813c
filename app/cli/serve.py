"""``agent-relay`` without a command: serve in the foreground."""

from __future__ import annotations

import gc


def serve(*, host: str | None, port: int | None, db: str | None) -> int:
    """Run the relay until SIGTERM or SIGINT.

    :raises ConfigError: a setting is bad.
    :raises StartError: the database or the port cannot be used.
    """
    gc.enable()  # app/__main__.py turned it off for commands that end soon
    from app.config import load_settings
    from app.logs import redact, setup_logging

    setup_logging()
    settings = load_settings(flags={"host": host, "port": port, "db": db})
    if settings.token is not None:
        redact(settings.token)

    from app.server import run

    return run.serve(settings)

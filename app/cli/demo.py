"""``agent-relay demo``: a lively relay on a temporary database, to look at and to play with."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from app.demo.child import Child

#: Agents that talk as much as two hundred keep a laptop busy enough.
MAX_AGENTS = 200


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes any free one.  [default: 0]")
@click.option("--no-browser", is_flag=True, help="Do not open the dashboard.")
@click.option("--agents", type=click.IntRange(1, MAX_AGENTS), default=12, show_default=True, help="How many agents.")
@click.option(
    "--messages", type=click.IntRange(0, 1_000_000), default=240, show_default=True, help="How many went before."
)
@click.option("--pace", type=click.FloatRange(0.1, 50), default=1.0, show_default=True, help="Times as fast as usual.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another course of things.")
@click.option("--serve-in", hidden=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(
    *, port: int, no_browser: bool, agents: int, messages: int, pace: float, seed: int, serve_in: Path | None
) -> int:
    """Show a lively relay with pretend agents, on a temporary database. Ctrl-C ends it, and nothing stays.

    Your own relay, its data, its token and its settings are not touched.
    """
    if serve_in is not None:
        return _serve(serve_in, port=port)
    gc.enable()  # app/__main__.py turned it off for commands that end soon
    ends = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ends.set())
    from app.demo.child import Child

    child = Child(port=port)
    try:
        return _show(child, ends, no_browser=no_browser, agents=agents, messages=messages, pace=pace, seed=seed)
    finally:
        child.close()
        click.echo("The demo is over; its data is gone.")


def _show(
    child: Child, ends: threading.Event, *, no_browser: bool, agents: int, messages: int, pace: float, seed: int
) -> int:
    from app.demo.opening import Opening
    from app.demo.show import Show
    from app.demo.stage import Stage
    from app.errors import StartError

    click.echo(f"A demo on a temporary database in {child.folder}; your own relay and its data are not touched.")
    child.start(wait=ends.wait)
    if ends.is_set():
        return 0
    stage = Stage(child.url, config_dir=child.config_dir, agents=agents, seed=seed)
    try:
        opening = Opening(stage, say=click.echo, stopped=ends.is_set)
        opening.fill(messages=messages)
        click.echo(f"Dashboard: {child.url}\nCtrl-C ends the demo, and all of it is gone.")
        if not no_browser and not ends.is_set():
            _open(child.url)

        def wait(seconds: float) -> bool:
            if child.ended is not None:
                raise StartError(f"The demo's relay ended by itself: {child.last_words()}")
            return ends.wait(seconds)

        Show(stage, opening, pace=pace).run(wait=wait)
    finally:
        stage.close()
    return 0


def _open(url: str) -> None:
    """Open the dashboard where somebody is there to see it."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import webbrowser

    webbrowser.open(url)


def _serve(folder: Path, *, port: int) -> int:
    """The relay itself, in the child. It ends with the demo, however that ends: then this pipe is closed."""
    from app.cli import serve

    threading.Thread(target=_end_with_parent, name="demo-parent", daemon=True).start()
    return serve.serve(host=None, port=port, db=str(folder / "data" / "demo.db"))


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

"""``agent-relay demo``: a lively relay on a temporary database, to look at and to play with."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from app.demo.child import Child

#: Agents that talk as much as two hundred keep a laptop busy enough.
MAX_AGENTS = 200
#: How long a relay whose demo is gone may take to end.
_ORPHAN_S = 10.0


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
    ends = _Ending()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ends.come())
    from app.demo.child import Child

    child = Child(port=port)
    try:
        return _show(child, ends, no_browser=no_browser, agents=agents, messages=messages, pace=pace, seed=seed)
    finally:
        child.close()
        click.echo("The demo is over; its data is gone.")


def _show(child: Child, ends: _Ending, *, no_browser: bool, agents: int, messages: int, pace: float, seed: int) -> int:
    from app.client_http import RelayUnreachable
    from app.demo.opening import Opening
    from app.demo.show import Show
    from app.demo.stage import Stage
    from app.errors import StartError

    click.echo(f"A demo on a temporary database in {child.folder}; your own relay and its data are not touched.")
    child.start(wait=ends.wait)
    if ends.has_come():
        return 0
    stage = Stage(child.url, config_dir=child.config_dir, agents=agents, seed=seed)
    try:
        opening = Opening(stage, say=click.echo, stopped=ends.has_come)
        opening.fill(messages=messages)
        click.echo(f"Dashboard: {child.url}\nCtrl-C ends the demo, and all of it is gone.")
        if not no_browser and not ends.has_come():
            _open(child.url)

        def wait(seconds: float) -> bool:
            if child.ended is not None:
                raise StartError(f"The demo's relay ended by itself, with exit status {child.ended}.")
            return ends.wait(seconds)

        Show(stage, opening, pace=pace).run(wait=wait)
    except RelayUnreachable as exc:
        ends.wait(0.2)  # what has just died is seen to have ended a moment later
        if child.ended is None:
            raise
        raise StartError(f"The demo's relay ended by itself, with exit status {child.ended}.") from exc
    finally:
        stage.close()
    return 0


def _open(url: str) -> None:
    """Open the dashboard where somebody is there to see it."""
    if not sys.stdout.isatty():
        return
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import webbrowser

    webbrowser.open(url)


def _serve(folder: Path, *, port: int) -> int:
    """The relay itself, in the child. It ends with the demo, however that ends: then this pipe is closed."""
    from app.cli import serve
    from app.demo.child import PREFIX

    orphaned = threading.Event()
    threading.Thread(target=_end_with_parent, args=(orphaned,), name="demo-parent", daemon=True).start()
    try:
        return serve.serve(host="127.0.0.1", port=port, db=str(folder / "data" / "demo.db"))
    finally:
        if orphaned.is_set() and folder.name.startswith(PREFIX):
            import shutil

            shutil.rmtree(folder, ignore_errors=True)  # nobody else is left to do it


def _end_with_parent(orphaned: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
    # What does not end in good order is ended all the same: nobody is left to see to it.
    threading.Event().wait(_ORPHAN_S)
    os._exit(1)


class _Ending:
    """Whether the demo is to end. A signal may say so at any moment: of all that threads can wait for, only a
    ``SimpleQueue`` may be written to while it is being waited for in the same thread."""

    def __init__(self) -> None:
        self._signals: SimpleQueue[None] = SimpleQueue()

    def come(self) -> None:
        self._signals.put(None)

    def has_come(self) -> bool:
        return not self._signals.empty()

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or until it has come; whether it has."""
        try:
            self._signals.get(timeout=seconds)
        except Empty:
            return False
        self._signals.put(None)
        return True

"""The command line: one group of commands per file, each imported only when it is used.

Here are the main group, what it shows when something goes wrong, and nothing of what commands do. Whatever happens, a
user gets one clear line; ``AGENT_RELAY_DEBUG=1`` brings the traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from app import __version__
from app.errors import RelayError

PROG = "agent-relay"

#: Whether the process may end without taking the interpreter apart; a relay that served has threads to look after.
end_quickly = True

#: Command -> module below this package; the function has the command's name. In the order of ``--help``.
COMMANDS = {
    "send": "messages",
    "inbox": "messages",
    "show": "messages",
    "read": "messages",
    "thread": "messages",
    "watch": "watch",
    "claim": "messages",
    "release": "messages",
    "tasks": "tasks",
    "task": "tasks",
    "done": "tasks",
    "fail": "tasks",
    "progress": "tasks",
    "integrations": "integrations",
    "agents": "agents",
    "label": "agents",
    "backup": "storage",
    "restore": "storage",
    "demo": "demo",
}


class LazyGroup(click.Group):
    """Knows its commands' names, and imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        found = getattr(import_module(f"app.cli.{module}"), cmd_name)
        assert isinstance(found, click.Command)  # noqa: S101 - the table above and the modules belong together
        return found


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from flags, the environment and the env file, in that order; see docs/settings.md.",
)
@click.version_option(__version__, prog_name=PROG, message="%(prog)s %(version)s")
@click.option("--host", metavar="HOST", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(0, 65535), help="Port; 0 takes any free one.  [default: 4850]"
)
@click.option("--db", metavar="FILE", help="The SQLite file.  [default: relay.db in the data folder]")
@click.pass_context
def cli(ctx: click.Context, *, host: str | None, port: int | None, db: str | None) -> int:
    """A message bus for coding agents.

    Without a command it serves in the foreground: agents and commands find it at http://127.0.0.1:4850.
    """
    if ctx.invoked_subcommand is None:
        from app.cli.serve import serve

        global end_quickly
        end_quickly = False
        return serve(host=host, port=port, db=db)
    given = [name for name, value in (("--host", host), ("--port", port), ("--db", db)) if value is not None]
    if given:
        raise click.UsageError(f"{given[0]} is for serving, without a command; commands go where AGENT_RELAY_URL says.")
    return 0


def run(args: Sequence[str]) -> int:
    """Run a command and turn whatever it raises into a line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets every line
    code = 1
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as exc:
        _say(f"cannot write: {exc.strerror or exc}")
        return 1
    return code


def _run(args: Sequence[str]) -> int:
    try:
        result = cli.main(list(args), prog_name=PROG, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
        return 130  # as shells say of a program that Ctrl-C ended
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except SystemExit:
        # Without standalone mode click raises this for one thing alone, a broken pipe.
        raise BrokenPipeError from None
    except BrokenPipeError:
        raise
    except RelayError as exc:
        _debug()
        _say(detail_of(exc))
        return 1
    except UnicodeEncodeError:
        _say("what was given is not UTF-8 text")  # bytes of an argument that Python carries along as lone surrogates
        return 1
    except Exception as exc:  # noqa: BLE001 - the last stop before a user
        if not _debug():
            what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
            _say(f"unexpected error: {what} (set AGENT_RELAY_DEBUG=1 for the traceback)")
        return 1


def detail_of(exc: RelayError) -> str:
    """What a user is told of an error."""
    if exc.status == 401 and exc.code == "unauthorized":
        return "the relay wants a token: set AGENT_RELAY_TOKEN or AGENT_RELAY_TOKEN_FILE to its shared token"
    further = [f"{error['field']}: {error['message']}" for error in exc.errors]
    return "; ".join([exc.detail, *(text for text in further if text not in exc.detail)])


def _say(text: str) -> None:
    from app.cli.text import one_line

    click.echo(f"{PROG}: {one_line(text)}", err=True)


def _debug() -> bool:
    """Print the traceback if it is wanted."""
    if not os.environ.get("AGENT_RELAY_DEBUG"):
        return False
    import traceback

    traceback.print_exc()
    return True

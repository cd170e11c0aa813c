"""``agent-relay integrations``: outside systems and their tokens.

A secret is printed once, by the command that made it, and by no other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import click

from app import config_values, paths
from app import integrations as store
from app.cli import integration_file as file
from app.cli.session import print_json, standard_input
from app.integrations import ALL, Integration

_as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
_name_argument = click.argument("name", metavar="NAME")


def _checked_list(check: Callable[[str], str]) -> Callable[..., tuple[str, ...]]:
    """An option that may be repeated, or hold commas; ``*`` is all."""

    def checked(_ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
        words = config_values.comma_list(",".join(value))
        if not words:
            asked = {"targets": "whom its tasks may go to", "channels": "which channels they may be in"}
            what = asked.get(param.name or "", "what it may do")
            raise click.BadParameter(f"say {what}: one or more, with commas between, or '*' for all")
        try:
            return store.entries(list(words), check)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from None

    return checked


def _checked_url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return store.callback_url(standard_input().strip() if value == "-" else value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None


def _checked_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return store.name(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None


class _Group(click.Group):
    """Lists its commands in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group)
def integrations() -> None:
    """Manage outside systems that make tasks, and their tokens.

    They stand in integrations.json in the config folder, which the relay reads again by itself when it changes, and in
    AGENT_RELAY_INTEGRATIONS, which these commands read but never change.
    """


@integrations.command("list")
@_as_json
def list_(*, json_: bool) -> None:
    """List them, without their secrets."""
    given, where = file.from_environment()
    found = [(entry, file.VARIABLE) for entry in given] + [(entry, file.NAME) for entry in file.read()]
    if json_:
        print_json({"integrations": [_shown(entry, source) for entry, source in found]})
    else:
        _print_table(found)
    try:
        store.check_apart([entry for entry, _ in found])
    except ValueError as exc:
        # Each place is sound by itself, and the relay refuses the two together.
        raise click.ClickException(f"{paths.integrations_file()} with {file.VARIABLE} ({where}): {exc}") from None


def _print_table(found: Sequence[tuple[Integration, str]]) -> None:
    from app.cli.text import one_line, table

    if not found:
        click.echo("There are no integrations yet: agent-relay integrations add NAME")
        return
    rows = [
        (
            one_line(entry.name),
            _list_text(entry.scopes),
            _list_text(entry.targets),
            _list_text(entry.channels),
            _callback_text(entry),
            source,
        )
        for entry, source in sorted(found, key=lambda each: each[0].name)
    ]
    click.echo("\n".join(table(("NAME", "SCOPES", "TARGETS", "CHANNELS", "CALLBACK", "FROM"), rows)))


@integrations.command()
@click.argument("name", metavar="NAME", callback=_checked_name)
@click.option(
    "--scope",
    "scopes",
    metavar="S",
    multiple=True,
    default=("tasks:create",),
    callback=_checked_list(store.scope),
    help=f"What it may do: {', '.join(store.SCOPES)}, or '*'.  [default: tasks:create]",
)
@click.option(
    "--target",
    "targets",
    metavar="T",
    multiple=True,
    callback=_checked_list(store.target),
    help="Whom its tasks may go to: an agent id, tag:X, cap:X, label:X, broadcast, or '*'.  [required]",
)
@click.option(
    "--channel",
    "channels",
    metavar="C",
    multiple=True,
    callback=_checked_list(store.channel),
    help="Which channels they may be in, or '*'.  [required]",
)
@click.option(
    "--callback-url",
    metavar="URL|-",
    callback=_checked_url,
    help="Where it is told of its tasks; - reads it from standard input, for one that holds a password.",
)
@click.option("--no-secret", is_flag=True, help="Leave callbacks unsigned.")
@_as_json
def add(
    *,
    name: str,
    scopes: tuple[str, ...],
    targets: tuple[str, ...],
    channels: tuple[str, ...],
    callback_url: str | None,
    no_secret: bool,
    json_: bool,
) -> None:
    """Make an integration, with a token of its own that is shown once.

    Options may be repeated, or hold several values with commas between. A target or channel that stands alone is taken
    where an event names none. Callbacks are signed as Standard Webhooks are, with a secret that is shown once too.
    """
    if no_secret and callback_url is None:
        raise click.UsageError("--no-secret is about callbacks: give --callback-url as well, or neither.")
    made = Integration(
        name=name,
        token=_new_token(),
        scopes=scopes,
        targets=targets,
        channels=channels,
        callback_url=callback_url,
        callback_secret=None if callback_url is None or no_secret else _new_callback_secret(),
    )
    with file.changing() as found:
        file.refuse_known(name, found)
        found.append(made)
    if json_:
        print_json(_shown(made, file.NAME) | _secrets(token=made.token, callback_secret=made.callback_secret))
        return
    click.echo(f"{name} is in {paths.integrations_file()}")
    _print_secrets(token=made.token, callback_secret=made.callback_secret)
    click.echo(f"The relay takes it up by itself. Try it: agent-relay integrations test {file.quoted(name)}")


@integrations.command()
@_name_argument
@click.option("--callback-secret", "of_callbacks", is_flag=True, help="Make a new callback secret; the token stays.")
@_as_json
def rotate(*, name: str, of_callbacks: bool, json_: bool) -> None:
    """Give an integration a new token, or a new callback secret. The old one stops working at once."""
    with file.changing() as found:
        index = file.index_of(name, found)
        before = found[index]
        if of_callbacks and before.callback_url is None:
            raise click.ClickException(f"{name} has no callback URL, so there is nothing to sign")
        token = None if of_callbacks else _new_token()
        callback_secret = _new_callback_secret() if of_callbacks else None
        found[index] = after = (
            replace(before, token=token) if token is not None else replace(before, callback_secret=callback_secret)
        )
    if json_:
        print_json(_shown(after, file.NAME) | _secrets(token=token, callback_secret=callback_secret))
        return
    if token is not None:
        click.echo(f"{name} has a new token; the old one stops working now.")
    elif before.callback_secret is None:
        click.echo(f"{name} has a callback secret now; its callbacks are signed from now on.")
    else:
        click.echo(f"{name} has a new callback secret; the old one signs nothing from now on.")
    _print_secrets(token=token, callback_secret=callback_secret)


@integrations.command()
@_name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(*, name: str, yes: bool) -> None:
    """Remove an integration: its token stops working at once. Its tasks stay."""
    if not yes:
        file.index_of(name, list(file.read()))  # what is not there is not asked about
        if not sys.stdin.isatty():
            raise click.ClickException("this is no terminal to ask at: give --yes to remove it")
        if not click.confirm(f"Remove {name}? Its token stops working, and it hears no more of its tasks."):
            raise click.ClickException(f"{name} stays as it is")
    with file.changing() as found:
        del found[file.index_of(name, found)]
    click.echo(f"{name} is removed; its token stops working now.")


@integrations.command()
@_name_argument
@click.option("--target", metavar="T", help="Where the test task goes; else the first that it may, or human.")
@click.option("--channel", metavar="C", help="The channel it is in; else the first that it may, or test.")
@_as_json
def test(*, name: str, target: str | None, channel: str | None, json_: bool) -> int:
    """Make a test task in an integration's name, and close it again.

    It is a real one: agents that listen to the target see it for a moment. Where there is a callback URL, this waits up
    to 15 s for the callbacks' outcome. Exit code 1 if anything failed.
    """
    from app.cli.integration_trial import Trial

    given, where = file.from_environment()
    own = file.read()
    entry = next((each for each in (*given, *own) if each.name == name), None)
    if entry is None:
        file.say_unknown(name, (*given, *own))
    origin = f"{file.VARIABLE} ({where})" if entry in given else str(paths.integrations_file())
    return Trial(entry, origin=origin, target=target, channel=channel, quiet=json_).run()


# -- secrets and words -------------------------------------------------------------------------------------------------


def _new_token() -> str:
    import secrets

    return f"art_{secrets.token_urlsafe(32)}"


def _new_callback_secret() -> str:
    """As Standard Webhooks have it: base64 of 24 to 64 random bytes."""
    import base64
    import secrets

    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def _secrets(*, token: str | None, callback_secret: str | None) -> dict[str, object]:
    made = {"token": token, "callbackSecret": callback_secret}
    return {name: value for name, value in made.items() if value is not None}


def _print_secrets(*, token: str | None, callback_secret: str | None) -> None:
    click.echo("")
    if token is not None:
        click.echo(f"    token            {token}")
    if callback_secret is not None:
        click.echo(f"    callback secret  {callback_secret}")
    both = token is not None and callback_secret is not None
    one = "It is shown only now: copy it to where it belongs."
    several = "They are shown only now: copy them to where they belong."
    click.echo(f"\n{several if both else one}")


def _shown(entry: Integration, source: str) -> dict[str, object]:
    """What may be told of an integration."""
    return {
        "name": entry.name,
        "scopes": list(entry.scopes),
        "targets": list(entry.targets),
        "channels": list(entry.channels),
        "callbackHost": _callback_host(entry),
        "signed": entry.callback_secret is not None,
        "source": source,
    }


def _callback_host(entry: Integration) -> str | None:
    """Scheme, host and port alone: user, path and query may all be secrets."""
    if entry.callback_url is None:
        return None
    parts = config_values.web_url(entry.callback_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _callback_text(entry: Integration) -> str:
    host = _callback_host(entry)
    return "" if host is None else host + ("" if entry.callback_secret else ", unsigned")


def _list_text(entries: tuple[str, ...]) -> str:
    from app.cli.text import one_line

    return "all" if entries == ALL else ", ".join(map(one_line, entries))

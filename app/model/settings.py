"""The wire: the relay's settings."""

from __future__ import annotations

from enum import StrEnum

from app.model.common import Wire


class SettingSource(StrEnum):
    """Where the value of a setting came from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"  # the one that NAME_FILE names
    ENV_FILE = "env_file"  # relay.env in the config folder
    STATE_FILE = "state_file"  # the stored hash of the shared token
    DEFAULT = "default"


class SettingInForce(Wire):
    """One setting as the relay runs with it."""

    name: str
    #: null where it is unset; of a secret ``set`` at most, of the integrations their names
    value: str | int | bool | list[str] | None
    source: SettingSource
    default: str | int | bool | list[str] | None
    #: of a number: ms, days, calls
    unit: str | None
    #: a sentence, with code between backticks
    meaning: str
    #: never shown
    secret: bool


class SettingList(Wire):
    settings: list[SettingInForce]

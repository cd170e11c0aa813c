"""The settings in force, without their secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import paths
from app.config import SETTINGS, Setting, Settings
from app.model import SettingInForce, SettingList, SettingSource

#: By the first word of what :attr:`Settings.sources` says, which may go on with a flag's name or a path.
_SOURCES = {
    "flag": SettingSource.FLAG,
    "environment": SettingSource.ENVIRONMENT,
    "file": SettingSource.FILE,
    "env": SettingSource.ENV_FILE,
    "state": SettingSource.STATE_FILE,
    "default": SettingSource.DEFAULT,
}


def list_settings(settings: Settings) -> SettingList:
    """What the relay runs with, in the order of the table."""
    defaults = Settings(db_path=paths.default_db_path())
    return SettingList(
        settings=[
            SettingInForce(
                name=row.name,
                value=_shown(row, settings),
                source=_SOURCES[settings.sources.get(row.field, "default").partition(" ")[0]],
                default=_shown(row, defaults),
                unit=row.unit or None,
                meaning=row.help,
                secret=row.secret,
            )
            for row in SETTINGS
            if row.group == "server"
        ]
    )


def _shown(row: Setting, settings: Settings) -> Any:
    if row.field == "integrations":
        return [entry.name for entry in settings.integrations]
    value = getattr(settings, row.field)
    if row.secret:
        known = value or (row.field == "token" and settings.token_sha256)
        return "set" if known else None
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value

"""Routes: the relay's settings."""

from __future__ import annotations

from flask import Blueprint

from app.model import SettingList
from app.server.api._http import relay
from app.server.api._spec import route
from app.server.services import settings

blueprint = Blueprint("settings", __name__, url_prefix="/api/settings")


@route(blueprint, "GET", "", answer=SettingList)
def list_settings() -> SettingList:
    """The settings in force, and where each came from; of a secret only whether it is set"""
    return settings.list_settings(relay().bus.settings)

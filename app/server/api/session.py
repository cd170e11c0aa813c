"""Routes: sessions of browsers."""

from __future__ import annotations

from flask import Blueprint, request

from app.model import RedeemCode, Session, SessionCode
from app.server.api._http import relay
from app.server.api._spec import route
from app.server.api.door import presented_token
from app.server.services import sessions
from app.server.services.bus import sha256

blueprint = Blueprint("session", __name__, url_prefix="/api/session")


@route(blueprint, "POST", "/code", answer=SessionCode, status=201)
def create_code() -> tuple[SessionCode, int]:
    """A code for 30 s and one use, to be put in the dashboard's URL fragment"""
    here = relay()
    return sessions.create_code(here.bus, token_sha256=here.door.token_sha256), 201


@route(blueprint, "POST", "/redeem", json=RedeemCode, answer=Session, status=201, problems=(400, 415))
def redeem_code(body: RedeemCode) -> tuple[Session, int]:
    """Change a code for a session token, used like the shared one; needs no token"""
    here = relay()
    return sessions.redeem(here.bus, body.code, token_sha256=here.door.token_sha256), 201


@route(blueprint, "DELETE", "", status=204)
def sign_out() -> tuple[None, int]:
    """End the session whose token comes with the call, and its streams"""
    token = presented_token(request.environ)
    here = relay()
    if token is not None and sessions.sign_out(here.bus, token):
        here.hub.end_of_token(sha256(token))
    return None, 204

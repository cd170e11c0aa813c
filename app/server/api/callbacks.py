"""Routes: callbacks."""

from __future__ import annotations

from flask import Blueprint

from app.model import Delivery, DeliveryList, DeliveryQuery
from app.server.api._http import relay
from app.server.api._spec import route
from app.server.services import callbacks

blueprint = Blueprint("callbacks", __name__, url_prefix="/api/callbacks")


@route(blueprint, "GET", "", query=DeliveryQuery, answer=DeliveryList)
def list_callbacks(query: DeliveryQuery) -> DeliveryList:
    """Callbacks with their attempts, newest first"""
    return callbacks.list_callbacks(relay().bus, query)


@route(blueprint, "POST", "/<int:delivery_id>/redeliver", answer=Delivery, problems=(404,))
def redeliver(delivery_id: int) -> Delivery:
    """Try a callback again now, whatever became of it"""
    return callbacks.redeliver(relay().bus, delivery_id)

"""Routes: the database as a file."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.wsgi import wrap_file

from app.server.api._http import relay
from app.server.api._spec import route
from app.server.services import backup

blueprint = Blueprint("backup", __name__, url_prefix="/api/backup")

MEDIA_TYPE = "application/vnd.sqlite3"


@route(blueprint, "GET", "", media=MEDIA_TYPE, problems=(409, 503, 507))
def get_backup() -> Response:
    """A verified copy of the database as it stands, while the relay runs

    What `agent-relay restore` takes. One at a time: until the last byte is on its way, another call answers 409.
    """
    made = backup.make(relay().bus)
    # In waitress's own wrapper the file is sent by the main loop: no worker waits for a slow reader.
    response = Response(wrap_file(request.environ, made), content_type=MEDIA_TYPE, direct_passthrough=True)
    response.content_length = made.size
    response.headers["Content-Disposition"] = f'attachment; filename="{made.file_name}"'
    return response

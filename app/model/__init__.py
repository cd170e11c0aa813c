"""The wire: one Struct for every request and answer of the HTTP API and the WebSocket.

One file for each noun; all names stand here.

Field names are snake_case here and camelCase in JSON. Requests refuse unknown keys (:class:`Request`), except those
that a newer client must be able to send to an older relay (:class:`TolerantRequest`). Only msgspec and the standard
library are imported: the command line needs these types too.
"""

from __future__ import annotations

from app.model.agents import *
from app.model.common import *
from app.model.frames import *
from app.model.integrations import *
from app.model.messages import *
from app.model.overview import *
from app.model.settings import *
from app.model.system import *
from app.model.tasks import *

"""Answers as small as their readers take them."""

from __future__ import annotations

import gzip
from functools import lru_cache

from flask import Response, request

#: Below this a packet is a packet.
MIN_BYTES = 1_400
#: A data answer below this costs more to compress than to send, even to a neighbour on the network.
MIN_DATA_BYTES = 8_192


def compress_file(response: Response) -> Response:
    """For what is sent again and again: as small as it gets, and made once."""
    if len(response.get_data()) >= MIN_BYTES and response.mimetype != "image/png":
        _compress(response, level=9)
    return response


def compress_data(response: Response) -> Response:
    """For answers of the API, each of which is another: quickly, and only where it is worth it."""
    if response.status_code == 200 and response.mimetype == "application/json" and not response.is_streamed:
        length = response.content_length
        if length is not None and length >= MIN_DATA_BYTES:
            _compress(response, level=1)
    return response


def _compress(response: Response, *, level: int) -> None:
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"]:
        data = response.get_data()
        response.set_data(_kept(data) if level == 9 else gzip.compress(data, level, mtime=0))
        response.headers["Content-Encoding"] = "gzip"


@lru_cache(maxsize=128)
def _kept(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)

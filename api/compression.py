"""Compression: text of a kilobyte and more goes out as gzip, where its length gives nothing away.

How far an answer can be compressed tells whether something stands in it twice. Somebody who can put words into an
answer, have it asked for again and see its length on the wire could so guess the rest of it (BREACH). So what may be
compressed is named here, and a new view is not: files and the contract, which are everybody's; one job; what was said
in one chat, whose readers are its writers. Never where a credential stands, and never where several conversations stand
side by side. Streams are not touched: an event has to leave at once.

Decision 0016 says why this is not a library, and why nginx leaves it to us.
"""

from __future__ import annotations

import zlib
from http import HTTPStatus

from flask import Flask, Response, request

OF_EVERYBODY = frozenset(
    {
        "api-docs.openapi_json",
        "pages.dashboard",
        "pages.docs",
        "pages.favicon",
        "pages.index",
        "pages.jobs",
        "pages.keys",
        "pages.worker",
        "static",
    }
)
OF_ONE_CONVERSATION = frozenset(
    {
        "jobs.show_job",
        "messages.list_changes",
        "messages.list_messages",
        "seed.show_chat",
        "summaries.show_summary",
    }
)
TEXT = frozenset(
    {
        "application/json",
        "application/manifest+json",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
    }
)
LEAST_BYTES = 1024
"""Below that it saves no packet."""
LEVEL = 5
"""50 messages: 25 kB become 6 kB within 0.4 ms. Level 6 takes 0.1 ms more for 1 % less."""
_GZIP = 16 + zlib.MAX_WBITS


def add_to(app: Flask) -> None:
    """Compress what may be, for whoever asks for it (``Accept-Encoding``)."""
    files: dict[str, bytes] = {}  # by ETag, so one for each file: compressed when it is first asked for

    @app.after_request
    def compress(response: Response) -> Response:
        is_file = request.endpoint in OF_EVERYBODY
        if not is_file and request.endpoint not in OF_ONE_CONVERSATION:
            return response
        is_large = (response.content_length or 0) >= LEAST_BYTES
        if response.mimetype not in TEXT or not (is_file or is_large):
            return response
        response.vary.add("Accept-Encoding")
        tag = _weakened(response) if is_file else None
        if is_large and response.status_code == HTTPStatus.OK and request.accept_encodings["gzip"] > 0:
            packed = files.get(tag or "") or _packed(response)
            if tag is not None:
                files[tag] = packed
            _send(response, packed)
        return response


def _weakened(response: Response) -> str | None:
    """The file's ETag, weak from now on: the same file, not the same bytes. A 304 is right whichever form one has."""
    tag, _ = response.get_etag()
    if tag is not None:
        response.set_etag(tag, weak=True)
    return tag


def _packed(response: Response) -> bytes:
    response.direct_passthrough = False
    return zlib.compress(response.get_data(), LEVEL, wbits=_GZIP)


def _send(response: Response, packed: bytes) -> None:
    opened = response.response
    if hasattr(opened, "close"):
        response.call_on_close(opened.close)
    response.direct_passthrough = False
    response.set_data(packed)
    response.content_encoding = "gzip"

"""Malformed requests: what gunicorn answers, and logs, where no request came about that Flask could see.

Its own page has none of our headers and repeats what was sent; so does its log line,
which may then hold a token or somebody's message. Ours says that much only.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from http import HTTPStatus

from gunicorn import util

from api.headers import ALWAYS, OF_NOBODY, STRICT_TRANSPORT
from models import logs
from models.settings import Settings

_REFUSED = re.compile(r"Invalid request from ip=([0-9a-fA-F.:]*)")
_CODES = {414: "address_too_long", 431: "headers_too_large"}

log = logs.logger()


def take_over(settings: Settings) -> None:
    """Answer and log them in place of gunicorn; once in each worker."""
    fixed = [OF_NOBODY, *ALWAYS, *([STRICT_TRANSPORT] if settings.environment == "production" else [])]
    head = "".join(f"{name}: {value}\r\n" for name, value in (*fixed, ("Cache-Control", "no-store")))

    def write_error(sock: socket.socket, status: int, _reason: str, _message: str) -> None:
        util.write_nonblock(sock, answer(status, head=head))

    util.write_error = write_error
    logging.getLogger("gunicorn.error").addFilter(without_words)


def answer(status: int, *, head: str) -> bytes:
    """A whole response, problem+json."""
    code, phrase = _CODES.get(status, "malformed_request"), HTTPStatus(status).phrase
    body = json.dumps({"type": f"urn:parley:problem:{code}", "title": phrase, "status": status, "code": code}).encode()
    first = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    return f"{first}{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def without_words(record: logging.LogRecord) -> bool:
    """Of gunicorn's line only what we say ourselves; any other line as it is, less queries of addresses."""
    message = record.getMessage()
    refused = _REFUSED.match(message)
    if refused is not None:
        log.warning("request_malformed", address=refused[1])
        return False
    if message.startswith("Error handling request"):
        record.msg, record.args = message.partition("?")[0], ()
    return True

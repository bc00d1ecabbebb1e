"""Long polls: a GET that is answered when there is something to say, or when its time is up."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from werkzeug.datastructures import ETags

from api import access
from api.callers import caller
from api.reader import Reader
from api.waiters import Waiters
from models.states import FINISHED
from models.versions import version_of


def answer_to(job_id: str, *, seconds: float) -> tuple[Mapping[str, Any], bool]:
    """The job when it has finished, or no longer has the ``ETag`` the client knows; and whether that was waited for.

    Nobody waits when too many do already, or when this process stops.

    Raises:
        JobNotFound: there is none that the caller may see.
        Unauthorized, Forbidden: it might have when it began to wait.
    """
    waiters: Waiters = current_app.extensions["parley"]["waiters"]
    reader: Reader = current_app.extensions["parley"]["reader"]
    known, until = request.if_none_match, time.monotonic() + seconds
    with waiters.parked(job_id, for_the_end=not known) as waiter:
        job, woken = reader.read(job_id, reader=caller().reader), waiter is not None
        while waiter is not None and woken and not _says_something(job, known):
            waiter.seen = version_of(job)
            woken = waiter.wait(until - time.monotonic()) and not waiters.stopping()
            job = reader.read(job_id, reader=access.still().reader)
    if waiters.stopping():
        hang_up()
    return job, waiter is not None


def _says_something(job: Mapping[str, Any], known: ETags) -> bool:
    return job["status"] in FINISHED or bool(known and not known.contains_weak(version_of(job)))


def hang_up() -> None:
    """Close the connection after this answer: gunicorn would keep it, and a stop would wait for it."""
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RD)

"""Events: a job as it changes, and what the model says while it says it, as server-sent events.

An event's id holds all that is needed to go on from there: the job, how much of
which attempt's text was sent, and the version of the job that was. So nothing
is kept for those who may come back, and they may come back to any process, for
as long as the job is kept.

What was sent in `text` events since the last `reset` is, put together, always
the beginning of the reply, and all of it before the final `status`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, current_app, json, request, stream_with_context
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, Forbidden, Unauthorized

from api import access, oversight
from api.callers import caller
from api.jobs import JOB_ID, as_wire, known_form
from api.long_polls import hang_up
from api.openapi import Noun, problems
from api.reader import Reader
from api.waiters import Waiter, Waiters
from models import jobs, logs
from models.api_keys import Scope
from models.base import bare, is_outage
from models.errors import Refusal
from models.states import FINISHED, JobStatus
from models.versions import version_of

bp = Noun("events", __name__, url_prefix="/api/jobs", description="A job as it changes.")
log = logs.logger()

RETRY_MS = 2000
HEARTBEAT_SECONDS = 15.0
"""Between two signs of life; proxies close what is silent for a minute."""
LONGEST_SECONDS = 900.0
"""Then the stream ends, and the client goes on from where it was."""
OUTAGE_SECONDS = 1.0
_ID = re.compile(r"(?P<job_id>[0-9a-f-]{36})\.(?P<attempt>\d{1,9})\.(?P<offset>\d{1,9})\.(?P<version>[0-9a-z-]{0,60})")
_LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string"},
    "description": "The `id` of the last event that was received: go on after it.",
}


@dataclass
class Cursor:
    """Where a client is."""

    job_id: str
    attempt: int = 0
    """Whose text was sent."""
    offset: int = 0
    """How many bytes of it."""
    version: str = ""
    """Of the job, when last sent."""

    def __str__(self) -> str:
        return f"{self.job_id}.{self.attempt}.{self.offset}.{self.version}"

    @classmethod
    def from_id(cls, event_id: str | None, *, job_id: str) -> Cursor:
        """Where the client says that it is; the beginning, if it says nothing.

        Raises:
            BadRequest: it is no id of ours, or another job's.
        """
        if not event_id:
            return cls(job_id)
        found = _ID.fullmatch(event_id)
        if found is None or found["job_id"] != job_id:
            error = BadRequest("Last-Event-ID must be the id of an event of this job.")
            error.data = {"code": "invalid_event_id"}  # type: ignore[attr-defined]
            raise error
        return cls(job_id, int(found["attempt"]), int(found["offset"]), found["version"])

    def news(self, job: Mapping[str, Any]) -> Iterator[str]:
        """Events that bring the client up to this row of the job."""
        result = (job["result"] or "").encode() if job["status"] == JobStatus.COMPLETED else None
        if self.attempt != job["attempt"] or (result is not None and self.offset > len(result)):
            had_text, self.attempt, self.offset = self.offset > 0, job["attempt"], 0
            if had_text:
                yield self._event("reset", {"attempt": self.attempt})
        yield from self.text((result or b"")[self.offset :])
        if self.version != version_of(job):
            self.version = version_of(job)
            yield self._event("status", as_wire(job))

    def text(self, more: bytes) -> Iterator[str]:
        """The event of more text, if there is any."""
        if more:
            self.offset += len(more)
            yield self._event("text", {"attempt": self.attempt, "text": more.decode(errors="replace")})

    def _event(self, name: str, body: dict[str, Any]) -> str:
        return f"id: {self}\nevent: {name}\ndata: {json.dumps(body)}\n\n"


@bp.route("/<string:job_id>/events", parameters=[JOB_ID, _LAST_EVENT_ID])
@bp.response(200, {"type": "string"}, content_type="text/event-stream", description="Until the job has finished.")
@bp.alt_response(204, description="The final status was that very event: there is nothing to come.")
@problems(bp, 400, 404, 410, 503)
@access.anybody(Scope.JOBS_READ)
def watch_job(job_id: str) -> Response:
    """Server-sent events: `status` (the job), `text` (more of the reply), `reset` (the reply begins anew)."""
    known = known_form(job_id)
    cursor = Cursor.from_id(request.headers.get("Last-Event-ID"), job_id=known)
    with bare() as session:
        job = jobs.shown(session, known, reader=caller().reader)
    oversight.looked_at(f"job:{known}", job["owner"])
    if job["status"] in FINISHED and cursor.version == version_of(job):
        return current_app.response_class(status=204)
    # nginx would hold events back until its buffer is full.
    headers = {"X-Accel-Buffering": "no"}
    events = stream_with_context(_events(cursor))
    return current_app.response_class(events, mimetype="text/event-stream", headers=headers)


def _events(cursor: Cursor) -> Iterator[str]:
    waiters: Waiters = current_app.extensions["parley"]["waiters"]
    reader: Reader = current_app.extensions["parley"]["reader"]
    yield f"retry: {RETRY_MS}\n\n"
    with waiters.parked(cursor.job_id, for_text=True) as waiter:
        if waiter is None:  # Sent as it stands; the client comes back after `retry`.
            yield from cursor.news(reader.read(cursor.job_id, reader=caller().reader))
        else:
            yield from _until_the_end(cursor, waiter, waiters, reader)
    if waiters.stopping():
        hang_up()


def _until_the_end(cursor: Cursor, waiter: Waiter, waiters: Waiters, reader: Reader) -> Iterator[str]:
    until = time.monotonic() + LONGEST_SECONDS
    status, is_first, is_in_chat = None, True, False
    while time.monotonic() < until and not waiters.stopping():
        try:
            job = _moved_job(reader, waiter, always=is_in_chat)
        except (Unauthorized, Forbidden, Refusal):
            return  # Whoever comes back is told why.
        if job is not None:
            waiter.seen, status, is_in_chat = version_of(job), job["status"], job["chat_id"] is not None
            yield from cursor.news(job)
        if status in FINISHED:
            return
        if is_first:
            waiters.partial.watch([cursor.job_id])
            is_first = False
        if status == JobStatus.ANALYZING:
            yield from cursor.text(waiters.partial.since(cursor.job_id, attempt=cursor.attempt, offset=cursor.offset))
        if not waiter.wait(OUTAGE_SECONDS if waiter.moved else HEARTBEAT_SECONDS):
            yield ": still here\n\n"


def _moved_job(reader: Reader, waiter: Waiter, *, always: bool = False) -> Mapping[str, Any] | None:
    """The job, if it has moved, or who may read it has, or ``always``: somebody may have been taken out of its chat.

    None also while the database is away: a browser would never come back after a stream that ended with an error.

    Raises:
        Unauthorized, Forbidden, Refusal: it is not for the caller any more.
    """
    has_moved, waiter.moved = waiter.moved, False
    try:
        before, allowed = caller().reader, access.still().reader
        # Whose right to it is another than at first may have none any more.
        is_wanted = has_moved or always or allowed != before
        return reader.read(waiter.job_id, reader=allowed) if is_wanted else None
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        log.warning("database_unavailable", error=type(error).__name__)
        waiter.moved = waiter.moved or has_moved
        return None

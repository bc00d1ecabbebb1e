"""Dead letters: jobs that were given up. For the operator: list, look, redrive."""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from typing import Any

from flask import Response, current_app
from werkzeug.exceptions import UnprocessableEntity

from api.jobs import as_wire, json_response, known_form, wire_time
from api.openapi import Noun, problems
from api.operator import require_operator
from api.schemas import DeadLetterDetailSchema, DeadLetterPageSchema, JobSchema, PageSchema
from models import jobs, logs
from models.base import Autocommit, Session
from models.errors import DeadLetterNotFound
from models.jobs import Job

bp = Noun(
    "dead-letters", __name__, url_prefix="/api/dead-letters", description="Jobs that were given up; for the operator."
)
bp.before_request(require_operator)
log = logs.logger()


@bp.route("")
@bp.doc(security=[{"operator": []}])
@bp.arguments(PageSchema, location="query")
@bp.response(200, DeadLetterPageSchema)
@problems(bp, 401, 403, 503)
def list_dead_letters(page: dict[str, Any]) -> Response:
    """Dead letters, the latest first."""
    with Autocommit() as session:
        found = jobs.dead_letters(session, limit=page["limit"] + 1, before=_position(page["cursor"]))
    shown, more = found[: page["limit"]], len(found) > page["limit"]
    return json_response({"items": [_letter(job) for job in shown], "nextCursor": _cursor(shown[-1]) if more else None})


@bp.route("/<string:job_id>")
@bp.doc(security=[{"operator": []}])
@bp.response(200, DeadLetterDetailSchema)
@problems(bp, 401, 403, 404, 503)
def show_dead_letter(job_id: str) -> Response:
    """One dead letter, with the message that could not be answered."""
    with Autocommit() as session:
        job = jobs.dead_letter(session, _letter_id(job_id))
    return json_response({**_letter(job), "message": job.message})


@bp.route("/<string:job_id>/redrive", methods=["POST"])
@bp.doc(security=[{"operator": []}])
@bp.response(200, JobSchema)
@problems(bp, 401, 403, 404, 503)
def redrive(job_id: str) -> Response:
    """Try it again from the start: failures at 0, a new deadline. Its attempts stay on record."""
    known = _letter_id(job_id)
    with Session.begin() as session:
        jobs.redrive(session, known)
        job = jobs.shown(session, known)
    current_app.extensions["parley"]["waker"].wake()
    log.info("job_redriven", job_id=job["id"])
    return json_response(as_wire(job))


def _letter_id(job_id: str) -> str:
    return known_form(job_id, refusal=DeadLetterNotFound)


def _letter(job: Job) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "type": job.type,
        "error": {"code": job.error_code, "message": job.error_message},
        "attempt": job.attempt,
        "failures": job.failures,
        "maxAttempts": job.max_attempts,
        "lostCount": job.lost_count,
        "createdAt": wire_time(job.created_at),
        "finishedAt": wire_time(_finished(job)),
    }


def _finished(job: Job) -> dt.datetime:
    assert job.finished_at is not None
    return job.finished_at


def _cursor(job: Job) -> str:
    """Where a page ended. Opaque to clients, so that its inside may change."""
    return base64.urlsafe_b64encode(f"{_finished(job).isoformat()} {job.id}".encode()).decode()


def _position(cursor: str | None) -> tuple[dt.datetime, str] | None:
    if cursor is None:
        return None
    try:
        at, _, job_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        moment = dt.datetime.fromisoformat(at)
        position = moment.astimezone(dt.UTC), str(uuid.UUID(job_id))
    except (ValueError, OverflowError):
        position = None
    if position is None or moment.tzinfo is None:
        error = UnprocessableEntity("The query is not valid.")
        error.data = {"messages": {"query": {"cursor": ["invalid_cursor: Send nextCursor of the page before."]}}}  # type: ignore[attr-defined]
        raise error
    return position

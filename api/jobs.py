"""Jobs: accept a message, show how far its reply is."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, json, request
from werkzeug.exceptions import BadRequest

from api.openapi import Noun, problems
from api.schemas import JobCreatedSchema, JobSchema, NewJobSchema
from models import jobs, logs
from models.base import bare
from models.errors import DeadLetterNotFound, JobNotFound
from models.jobs import JobType
from models.settings import Settings
from models.states import FINISHED, WAITING

bp = Noun("jobs", __name__, url_prefix="/api/jobs", description="One AI reply each.")
log = logs.logger()

POLL_SECONDS = 1
LONGEST_POLL_SECONDS = 30
KEY_LENGTH = 255
UUID_LENGTH = 36
_HEADER = {"schema": {"type": "string"}}
_KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[ -~]+$"},
    "description": "Any string of yours. The same key and input within 24 hours make one job.",
}


@bp.route("", methods=["POST"], parameters=[_KEY_PARAMETER])
@bp.arguments(NewJobSchema())  # of a class webargs would make a new one for each request
@bp.response(201, JobCreatedSchema, headers={"Location": _HEADER, "Retry-After": _HEADER})
@bp.alt_response(
    200, schema=JobCreatedSchema, description="Made before, by the same key", headers={"Idempotency-Replayed": _HEADER}
)
@problems(bp, 400, 413, 415, 503)
def create_job(new_job: dict[str, Any]) -> Response:
    """Accept a job. Poll its `Location` until `status` is final."""
    key, job = _idempotency_key(), jobs.NewJob(owner=caller(), **new_job, **_limits(new_job["type"]))
    with bare() as session:
        job_id, is_new = (jobs.create(session, job), True) if key is None else jobs.create_once(session, job, key=key)
    if is_new:
        current_app.extensions["parley"]["waker"].wake()
        log.info("job_created", job_id=job_id, type=new_job["type"].value, message_length=len(new_job["message"]))
    return _created(job_id, is_new=is_new)


def caller() -> str:
    """Whose job it is: the scope of idempotency keys and of fairness. Until accounts exist, an address."""
    return f"address:{request.remote_addr or 'local'}"


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LENGTH or not (key.isascii() and key.isprintable()):
        error = BadRequest(f"Idempotency-Key must be 1 to {KEY_LENGTH} printable ASCII characters.")
        error.data = {"code": "invalid_idempotency_key"}  # type: ignore[attr-defined]
        raise error
    return key


def _limits(job_type: JobType) -> dict[str, Any]:
    settings: Settings = current_app.config["SETTINGS"]
    deadlines = {JobType.CHAT: settings.chat_deadline_seconds, JobType.SUMMARIZE: settings.summarize_deadline_seconds}
    return {"max_attempts": settings.max_attempts, "deadline_seconds": deadlines[job_type]}


def _created(job_id: str, *, is_new: bool) -> Response:
    body = {"jobId": job_id, "status": "created", "message": "Job created successfully"}
    response = json_response(body, status=201 if is_new else 200)
    response.headers["Location"] = f"/api/jobs/{job_id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@bp.route(
    "/<string:job_id>", parameters=[{"in": "path", "name": "job_id", "schema": {"type": "string"}, "required": True}]
)
@bp.response(200, JobSchema, headers={"Retry-After": {**_HEADER, "description": "Seconds; absent once finished."}})
@problems(bp, 404, 503)
def show_job(job_id: str) -> Response:
    """A job as it stands."""
    with bare() as session:
        job = jobs.shown(session, known_form(job_id))
    response = json_response(as_wire(job))
    if job["status"] not in FINISHED:
        response.headers["Retry-After"] = str(min(LONGEST_POLL_SECONDS, max(POLL_SECONDS, job["due_in"])))
    return response


def known_form(job_id: str, *, refusal: type[JobNotFound | DeadLetterNotFound] = JobNotFound) -> str:
    """The id in its one spelling.

    Raises:
        JobNotFound: or ``refusal``; nothing can have such an id, so nobody needs to look.
    """
    try:
        canonical = str(uuid.UUID(job_id))
    except ValueError:
        raise refusal from None
    if len(job_id) != UUID_LENGTH:  # braces, "urn:uuid:", missing hyphens
        raise refusal
    return canonical


def as_wire(job: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `JobSchema`, built by hand: this route is polled, and marshmallow costs a third of it.

    The schema documents it, and tests hold the two together.
    """
    attempts = job["newest_attempts"] or []
    tokens = [attempt.pop("tokens") for attempt in attempts]
    return {
        "jobId": job["id"],
        "status": job["status"],
        "type": job["type"],
        "createdAt": wire_time(job["created_at"]),
        "updatedAt": wire_time(job["updated_at"]),
        "result": job["result"],
        "truncated": job["truncated"],
        "error": {"code": job["error_code"], "message": job["error_message"]} if job["error_code"] else None,
        "attempt": job["attempt"],
        "failures": job["failures"],
        "maxAttempts": job["max_attempts"],
        "nextAttemptAt": wire_time(job["next_attempt_at"]) if job["status"] in WAITING else None,
        "model": job["model"],
        "usage": _usage(*tokens[0]) if job["status"] == "completed" else None,
        "attempts": attempts[::-1],
    }


def wire_time(moment: dt.datetime) -> str:
    """ISO 8601 with ``Z``; sessions are in UTC."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _usage(prompt: int | None, completion: int | None) -> dict[str, int] | None:
    if prompt is None or completion is None:
        return None
    return {"promptTokens": prompt, "completionTokens": completion, "totalTokens": prompt + completion}


def json_response(body: dict[str, Any], *, status: int = 200) -> Response:
    """``body`` as JSON."""
    return current_app.response_class(json.dumps(body), status=status, mimetype="application/json")

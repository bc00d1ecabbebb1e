"""Jobs: show how far a reply is, or stop it. (`api.new_jobs` accepts them.)"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, current_app, json, request

from api import access, long_polls, oversight, preferences
from api.callers import caller
from api.job_schemas import JobSchema
from api.openapi import Noun, problems
from api.queue import NOWHERE, Queue
from api.waiters import Waiters
from models import jobs, logs, prices, stops, versions
from models.api_keys import Scope
from models.base import Session, bare
from models.errors import JobNotFound, Refusal
from models.states import FINISHED, WAITING, JobStatus

bp = Noun("jobs", __name__, url_prefix="/api/jobs", description="One AI reply each.")
log = logs.logger()

POLL_SECONDS = 1
LONGEST_POLL_SECONDS = 30
UUID_LENGTH = 36
HEADER = {"schema": {"type": "string"}}
JOB_ID = {"in": "path", "name": "job_id", "schema": {"type": "string"}, "required": True}
_CONDITIONS = [
    {
        "in": "header",
        "name": "Prefer",
        "schema": {"type": "string"},
        "description": "`wait=N`: answer when the job has finished (with `If-None-Match`: when it has changed), "
        f"or after N seconds. More than {preferences.LONGEST_WAIT_SECONDS} count as that.",
    },
    {
        "in": "header",
        "name": "If-None-Match",
        "schema": {"type": "string"},
        "description": "An `ETag` of before: 304 while it still holds.",
    },
]
_POLLED = {"ETag": HEADER, "Retry-After": {**HEADER, "description": "Seconds; absent once finished."}}


def _queue() -> Queue:
    queue: Queue = current_app.extensions["parley"]["queue"]
    return queue


@bp.route("/<string:job_id>", parameters=[JOB_ID, *_CONDITIONS])
@bp.response(200, JobSchema, headers={**_POLLED, "Preference-Applied": HEADER})
@bp.alt_response(304, description="Nothing has changed since that `ETag`.", headers=_POLLED)
@problems(bp, 404, 410, 503)
@access.anybody(Scope.JOBS_READ)
def show_job(job_id: str) -> Response:
    """A job as it stands, or, with `Prefer: wait`, as soon as there is something to say about it."""
    known, seconds = known_form(job_id), preferences.wait_seconds(request.headers.get("Prefer"))
    if seconds:
        job, has_waited = long_polls.answer_to(known, seconds=seconds)
    else:
        has_waited = False
        with bare() as session:
            job = jobs.shown(session, known, reader=caller().reader)
    oversight.looked_at(f"job:{known}", job["owner"])
    is_known = request.if_none_match.contains_weak(versions.version_of(job))
    response = current_app.response_class(status=304) if is_known else json_response(as_wire(job))
    if has_waited:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return _polled(response, job)


def _polled(response: Response, job: Mapping[Any, Any]) -> Response:
    """With what the next poll needs to know."""
    # Weak: the place in the queue and the time left move without it.
    response.headers["ETag"] = f'W/"{versions.version_of(job)}"'
    if job["status"] not in FINISHED:
        eta = _queue().place(job)["etaSeconds"] if job["status"] in WAITING else None
        wait = max(POLL_SECONDS, job["due_in"], (eta or 0) // 2)
        response.headers["Retry-After"] = str(min(LONGEST_POLL_SECONDS, wait))
    return response


@bp.route("/<string:job_id>", methods=["DELETE"])
@bp.response(200, JobSchema)
@problems(bp, 404, 409, 410, 503)
@access.anybody(Scope.JOBS_WRITE)
def cancel_job(job_id: str) -> Response:
    """Stop a job for good. One that waits never runs; a running one has its call to the model broken off."""
    job = stopped(known_form(job_id), reader=caller().reader)
    return _polled(json_response(as_wire(job)), job)


def stopped(job_id: str, *, reader: str) -> Mapping[Any, Any]:
    """The job, cancelled; what the AI had said by then stays in its chat, if it is for one.

    Raises:
        JobNotFound, JobGone, AlreadyFinished: as for `models.jobs.cancel`.
    """
    with bare() as session:
        before = jobs.shown(session, job_id, reader=reader)
    said = ""
    if before["chat_id"] is not None and before["status"] == JobStatus.ANALYZING:
        waiters: Waiters = current_app.extensions["parley"]["waiters"]
        said = waiters.partial.since(job_id, attempt=before["attempt"], offset=0).decode(errors="ignore")
    with Session.begin() as session:
        is_new = stops.stop(session, job_id, reader=reader, attempt=before["attempt"], said=said)
        job = jobs.shown(session, job_id, reader=reader)
        oversight.acted_on("cancel_other", f"job:{job_id}", job["owner"], session=session)
    if is_new:
        log.info("job_cancelled", job_id=job_id)
    return job


@bp.route("/<string:job_id>/cancel", methods=["POST"])
@bp.response(200, JobSchema)
@problems(bp, 404, 409, 410, 503)
@access.anybody(Scope.JOBS_WRITE)
def cancel_job_by_post(job_id: str) -> Response:
    """The same as DELETE, for clients that cannot send it."""
    response: Response = cancel_job(job_id)
    return response


def known_form(job_id: str, *, refusal: Callable[[], Refusal] = JobNotFound) -> str:
    """The id in its one spelling.

    Raises:
        JobNotFound: or ``refusal``; nothing can have such an id, so nobody needs to look.
    """
    try:
        canonical = str(uuid.UUID(job_id))
    except ValueError:
        raise refusal() from None
    if len(job_id) != UUID_LENGTH:  # braces, "urn:uuid:", missing hyphens
        raise refusal()
    return canonical


def as_wire(job: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `JobSchema`, built by hand: this route is polled, and marshmallow costs a third of it.

    The schema documents it, and tests hold the two together.
    """
    attempts = job["newest_attempts"] or []
    waits = job["status"] in WAITING
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
        "nextAttemptAt": wire_time(job["next_attempt_at"]) if waits else None,
        "deadlineAt": wire_time(job["deadline_at"]),
        "runAt": wire_time(job["run_at"]) if job["run_at"] else None,
        "discardedAt": wire_time(job["discarded_at"]) if job["discarded_at"] else None,
        "priority": job["priority"],
        **(_queue().place(job) if waits else NOWHERE),
        "note": job["note"] if job["status"] == "analyzing" else None,
        "batchId": job["batch_id"],
        "customId": job["custom_id"],
        "chatId": job["chat_id"],
        "purpose": job["purpose"],
        "model": job["model"],
        "degraded": job["degraded"],
        "cached": job["cached"],
        "cost": prices.wire(job["cost"]),
        "usage": usage(*attempts[0]["tokens"]) if job["status"] == "completed" else None,
        # The row may be another request's too, so it is copied, not changed.
        "attempts": [{name: value for name, value in one.items() if name != "tokens"} for one in attempts[::-1]],
    }


def wire_time(moment: dt.datetime) -> str:
    """ISO 8601 with ``Z``; sessions are in UTC."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def usage(prompt: int | None, completion: int | None) -> dict[str, int] | None:
    """Tokens of one call; None if the model's server did not count them."""
    if prompt is None or completion is None:
        return None
    return {"promptTokens": prompt, "completionTokens": completion, "totalTokens": prompt + completion}


def json_response(body: dict[str, Any], *, status: int = 200) -> Response:
    """``body`` as JSON."""
    return current_app.response_class(json.dumps(body), status=status, mimetype="application/json")

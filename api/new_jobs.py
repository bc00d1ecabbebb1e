"""New jobs: accept a message, for a job of its own or into a chat."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from flask import Response, current_app, request
from werkzeug.exceptions import BadRequest

from api import access, calls, limits
from api.auth import settings
from api.callers import caller
from api.job_schemas import JobCreatedSchema, NewJobOrCallSchema
from api.jobs import HEADER, POLL_SECONDS, json_response
from api.openapi import Noun, problems
from api.queue import Queue
from models import jobs, logs
from models.api_keys import Scope
from models.base import bare
from models.errors import ChatNotFound, IdempotencyKeyReused
from models.kinds import limits_of

bp = Noun("new-jobs", __name__, url_prefix="/api/jobs", description="Hand in a message.")
log = logs.logger()

KEY_LENGTH = 255
KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[ -~]+$"},
    "description": "Any string of yours. The same key and input within 24 hours make one job.",
}
CREATED_HEADERS = {"Location": HEADER, "Retry-After": HEADER, **limits.HEADERS}


@bp.route("", methods=["POST"], parameters=[KEY_PARAMETER])
@limits.by_owner("create")
@bp.arguments(NewJobOrCallSchema())  # of a class webargs would make a new one for each request
@bp.response(201, JobCreatedSchema, headers=CREATED_HEADERS)
@bp.alt_response(
    200,
    schema=JobCreatedSchema,
    description="Made before, by the same key",
    headers={"Idempotency-Replayed": HEADER, **limits.HEADERS},
)
@problems(bp, 400, 402, 403, 404, 409, 413, 415, 429, 503)
@access.anybody(Scope.JOBS_WRITE)
def create_job(new_job: dict[str, Any]) -> Response:
    """Accept a job. Poll its `Location` until `status` is final."""
    key = idempotency_key()
    if "chat_id" in new_job:
        return _call(new_job, key=key)
    job = jobs.NewJob(owner=caller().owner, **{**limits_of(settings(), new_job["type"]), **new_job})
    queue: Queue = current_app.extensions["parley"]["queue"]
    queue.admit(job.owner)
    with bare() as session:
        if key is None:
            job_id, is_new = jobs.create(session, job), True
        else:
            job_id, is_new = jobs.create_once(session, job, key=key, said=new_job)
    if is_new:
        current_app.extensions["parley"]["waker"].wake()
        log.info("job_created", job_id=job_id, type=new_job["type"].value, message_length=len(new_job["message"]))
    return created(job_id, is_new=is_new)


def _call(new_job: dict[str, Any], *, key: str | None) -> Response:
    """The message said in a chat, by the caller, and the job in which the AI answers it there.

    The key is the message's client id: it holds for as long as the message is there.
    """
    if caller().user_id is None:
        raise ChatNotFound
    options = {name: new_job[name] for name in ("priority", "deadline_seconds", "ttl_seconds") if name in new_job}
    said = calls.say(
        new_job["chat_id"],
        content=new_job["message"],
        client_msg_id=hashlib.sha256(key.encode()).hexdigest() if key else uuid.uuid4().hex,
        explicitly=True,
        **options,
    )
    if said.posted.differs or said.job_id is None:
        raise IdempotencyKeyReused
    return created(said.job_id, is_new=said.posted.is_new)


def idempotency_key() -> str | None:
    """The caller's name for this request, if it has one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LENGTH or not (key.isascii() and key.isprintable()):
        error = BadRequest(f"Idempotency-Key must be 1 to {KEY_LENGTH} printable ASCII characters.")
        error.data = {"code": "invalid_idempotency_key"}  # type: ignore[attr-defined]
        raise error
    return key


def created(job_id: str, *, is_new: bool) -> Response:
    """Where to poll."""
    body = {"jobId": job_id, "status": "created", "message": "Job created successfully"}
    response = json_response(body, status=201 if is_new else 200)
    response.headers["Location"] = f"/api/jobs/{job_id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response

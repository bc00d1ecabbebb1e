"""Batches: accept many prompts at once, show how far they are, hand out what has been answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, current_app, request, stream_with_context

from api import access, limits, oversight, results, uploads
from api.batch_schemas import PROMPT, BatchCreatedSchema, BatchSchema, NewBatchSchema, ResultSchema, WhichResultsSchema
from api.callers import caller
from api.jobs import HEADER, LONGEST_POLL_SECONDS, POLL_SECONDS, json_response, known_form, wire_time
from api.new_jobs import KEY_PARAMETER, idempotency_key
from api.openapi import Noun, problems
from api.queue import Queue
from models import base, batches, idempotency, logs, owners
from models.api_keys import Scope
from models.base import Autocommit, Session, bare
from models.batches import Prompt
from models.errors import BatchNotFound
from models.jobs import QueueClass
from models.kinds import limits_of
from models.settings import Settings
from models.states import FINISHED, JobStatus

bp = Noun("batches", __name__, url_prefix="/api/batches", description="Many prompts handed in together.")
log = logs.logger()

STORE_SECONDS = 20.0
"""Ten thousand rows take one; behind another upload, or on a busy disk, some more."""
_BODY = {
    "required": True,
    "content": {
        uploads.JSON: {"schema": NewBatchSchema},
        uploads.NDJSON: {"schema": PROMPT},  # of each line; the document has no word for lines
    },
}


@bp.url_value_preprocessor
def _allow_more(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # Runs before anything looks at the body's length.
    if endpoint == "batches.create_batch":
        request.max_content_length = uploads.MOST_BYTES.get(request.mimetype, request.max_content_length)


@bp.route("", methods=["POST"], parameters=[KEY_PARAMETER])
@limits.by_owner("batch")
@bp.doc(requestBody=_BODY)
@bp.response(201, BatchCreatedSchema, headers={"Location": HEADER, "Retry-After": HEADER, **limits.HEADERS})
@bp.alt_response(
    200,
    schema=BatchCreatedSchema,
    description="Made before, by the same key",
    headers={"Idempotency-Replayed": HEADER, **limits.HEADERS},
)
@problems(bp, 400, 402, 408, 413, 415, 422, 429, 503)
@access.anybody(Scope.JOBS_WRITE)
def create_batch() -> Response:
    """Accept up to 10,000 prompts, all of them or none."""
    key = idempotency_key()
    with uploads.room(request):
        prompts = uploads.read(request, _make)
        batch_id, is_new = _stored(prompts, key=key)
    if is_new:
        current_app.extensions["parley"]["waker"].wake()
        log.info("batch_created", batch_id=batch_id, total=len(prompts.accepted))
    response = json_response({"batchId": batch_id, "total": len(prompts.accepted)}, status=201 if is_new else 200)
    response.headers["Location"] = f"/api/batches/{batch_id}"
    response.headers["Retry-After"] = str(POLL_SECONDS)
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _make(said: dict[str, Any]) -> Prompt:
    settings: Settings = current_app.config["SETTINGS"]
    usual = {**limits_of(settings, said["type"]), "deadline_seconds": settings.batch_deadline_seconds}
    return Prompt(owner=caller().owner, **{**usual, **said})


def _stored(prompts: uploads.Prompts, *, key: str | None) -> tuple[str, bool]:
    owner, request_hash = caller().owner, prompts.request_hash
    if key is not None:
        # Before the backlog is asked: what was accepted once is not refused now.
        with bare() as lone:
            made = idempotency.made_by(lone, scope=owner, key=key, request_hash=request_hash)
        if made is not None:
            return made, False
    _queue().admit(owner, jobs=len(prompts.accepted))
    with Session.begin() as session:
        base.take_time(session, seconds=STORE_SECONDS)
        if key is None:
            return batches.create(session, prompts.accepted), True
        return batches.create_once(session, prompts.accepted, key=key, request_hash=request_hash)


def _queue() -> Queue:
    queue: Queue = current_app.extensions["parley"]["queue"]
    return queue


@bp.route("/<string:batch_id>")
@bp.response(200, BatchSchema, headers={"Retry-After": {**HEADER, "description": "Seconds; absent once finished."}})
@problems(bp, 404, 410, 503)
@access.anybody(Scope.JOBS_READ)
def show_batch(batch_id: str) -> Response:
    """A batch as it stands."""
    return _shown(_known(batch_id))


@bp.route("/<string:batch_id>/results")
@bp.arguments(WhichResultsSchema, location="query")
@bp.response(200, ResultSchema, content_type=uploads.NDJSON, description="Lines like this")
@problems(bp, 404, 410, 422, 503)
@access.anybody(Scope.JOBS_READ)
def show_results(which: dict[str, Any], batch_id: str) -> Response:
    """What has been answered, one line for each prompt. May end at any time: go on behind the last `cursor`."""
    known = _known(batch_id)
    place = results.place(known, order=which["order"], after=which["after"])
    with Autocommit() as session:
        batch = batches.shown(session, known, reader=caller().reader)
        first = place.page(session, reader=caller().reader)
    oversight.looked_at(f"batch:{known}", batch["owner"])
    stream = results.stream(place, first, reader=lambda: access.still().reader, seconds=which["wait"])
    # A proxy that gathers the whole answer before it hands it on would make nothing of it live.
    headers = {"X-Accel-Buffering": "no"}
    return current_app.response_class(stream_with_context(stream), mimetype=uploads.NDJSON, headers=headers)


@bp.route("/<string:batch_id>", methods=["DELETE"])
@bp.response(200, BatchSchema)
@problems(bp, 404, 410, 503)
@access.anybody(Scope.JOBS_WRITE)
def cancel_batch(batch_id: str) -> Response:
    """Cancel what is not finished. What is, stays."""
    known = _known(batch_id)
    _put_on_record("cancel_other", known)
    _through(batches.cancel_some, known)
    log.info("batch_cancelled", batch_id=known)
    return _shown(known)


@bp.route("/<string:batch_id>/cancel", methods=["POST"])
@bp.response(200, BatchSchema)
@problems(bp, 404, 410, 503)
@access.anybody(Scope.JOBS_WRITE)
def cancel_batch_by_post(batch_id: str) -> Response:
    """The same as DELETE, for clients that cannot send it."""
    response: Response = cancel_batch(batch_id)
    return response


@bp.route("/<string:batch_id>/retry-failed", methods=["POST"])
@limits.by_owner("batch")
@bp.response(200, BatchSchema, headers=limits.HEADERS)
@problems(bp, 402, 404, 409, 410, 429, 503)
@access.anybody(Scope.JOBS_WRITE)
def retry_failed(batch_id: str) -> Response:
    """Try what failed again from the start: failures at 0, a new deadline."""
    known = _known(batch_id)
    with bare() as session:
        batch = batches.shown(session, known, reader=caller().reader)
    _put_on_record("retry_other", known)
    _queue().admit(batch["owner"], jobs=(batch["counts"] or {}).get(JobStatus.FAILED, 0))
    _through(batches.retry_some, known)
    current_app.extensions["parley"]["waker"].wake()
    log.info("batch_retried", batch_id=known)
    return _shown(known)


def _put_on_record(action: str, batch_id: str) -> None:
    """Before it is begun, for it is not one transaction."""
    if caller().reader == owners.ANYONE:
        with Session.begin() as session:
            batch = batches.shown(session, batch_id, reader=owners.ANYONE)
            oversight.acted_on(action, f"batch:{batch_id}", batch["owner"], session=session)


def _through(some: Callable[..., int | None], batch_id: str) -> None:
    """Go through the batch once, piece by piece, each its own transaction."""
    position: int | None = -1
    while position is not None:
        with Session.begin() as session:
            position = some(session, batch_id, reader=caller().reader, after=position)


def _known(batch_id: str) -> str:
    return known_form(batch_id, refusal=BatchNotFound)


def _shown(batch_id: str) -> Response:
    with bare() as session:
        batch = batches.shown(session, batch_id, reader=caller().reader)
    oversight.looked_at(f"batch:{batch_id}", batch["owner"])
    counts = {status.value: (batch["counts"] or {}).get(status, 0) for status in JobStatus}
    left = sum(number for status, number in counts.items() if status not in FINISHED)
    eta = _queue().eta(QueueClass.BATCH, left) if left else None
    response = json_response(_as_wire(batch, counts=counts, left=left, eta=eta))
    if left:
        response.headers["Retry-After"] = str(min(LONGEST_POLL_SECONDS, max(POLL_SECONDS, (eta or 0) // 10)))
    return response


def _as_wire(batch: Mapping[Any, Any], *, counts: dict[str, int], left: int, eta: int | None) -> dict[str, Any]:
    return {
        "batchId": batch["id"],
        "total": batch["total"],
        "counts": counts,
        # Jobs that were removed after their time are in no count; they had finished.
        "progress": (batch["total"] - left) / batch["total"],
        "etaSeconds": eta,
        "createdAt": wire_time(batch["created_at"]),
        "cancelledAt": wire_time(batch["cancelled_at"]) if batch["cancelled_at"] else None,
    }

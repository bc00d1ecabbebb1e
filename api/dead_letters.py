"""Dead letters: jobs that were given up. For the operator: list, look, redrive, discard."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flask import Response, current_app
from sqlalchemy import Row

from api import access, oversight, trail
from api.callers import caller
from api.cursors import cursor_of, position_of
from api.dead_letter_schemas import (
    DeadLetterDetailSchema,
    DeadLetterPageSchema,
    DeadLetterQuerySchema,
    DiscardedSchema,
    DiscardSchema,
    RedrivenSchema,
    RedriveSchema,
)
from api.job_schemas import JobSchema
from api.jobs import as_wire, json_response, known_form, usage, wire_time
from api.openapi import Noun, problems
from models import dead_letters, jobs, logs, prices
from models.base import Autocommit, Session
from models.dead_letters import Filter, Limits, Redrive
from models.errors import DeadLetterNotFound

bp = Noun(
    "dead-letters", __name__, url_prefix="/api/dead-letters", description="Jobs that were given up; for the operator."
)
log = logs.logger()


@bp.route("")
@bp.doc(security=[{"operator": []}])
@bp.arguments(DeadLetterQuerySchema, location="query")
@bp.response(200, DeadLetterPageSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_dead_letters(page: dict[str, Any]) -> Response:
    """Dead letters, the latest first."""
    limit, before = page.pop("limit"), position_of(page.pop("cursor"))
    with Autocommit() as session:
        found = dead_letters.page(session, Filter(**page), limit=limit + 1, before=before)
    oversight.listed("dead_letters_listed")
    shown, more = found[:limit], len(found) > limit
    cursor = cursor_of(shown[-1].finished_at, shown[-1].id) if more else None
    return json_response({"items": [_letter(row) for row in shown], "nextCursor": cursor})


@bp.route("/<string:job_id>")
@bp.doc(security=[{"operator": []}])
@bp.response(200, DeadLetterDetailSchema)
@problems(bp, 401, 403, 404, 410, 503)
@access.operator
def show_dead_letter(job_id: str) -> Response:
    """One dead letter, with the message that could not be answered and what was tried."""
    known = _letter_id(job_id)
    with Autocommit() as session:
        letter, attempts = dead_letters.one(session, known), dead_letters.ledger(session, known)
    oversight.looked_at(f"job:{known}", letter.owner)
    return json_response(
        {
            **_letter(letter),
            "message": letter.message,
            "attempts": [as_ledger_entry(attempt) for attempt in reversed(attempts)],
            "usage": usage(attempts[0].all_prompt_tokens, attempts[0].all_completion_tokens) if attempts else None,
        }
    )


@bp.route("/<string:job_id>/redrive", methods=["POST"])
@bp.doc(security=[{"operator": []}])
@bp.response(200, JobSchema)
@problems(bp, 401, 403, 404, 410, 503)
@access.operator
def redrive(job_id: str) -> Response:
    """Try it again from the start: failures at 0, a new deadline. Its attempts stay on record."""
    known = _letter_id(job_id)
    with Session.begin() as session:
        dead_letters.redrive(session, known)
        job = jobs.shown(session, known, reader=caller().reader)
        trail.note("dead_letter_redriven", subject=f"job:{known}", session=session)
    current_app.extensions["parley"]["waker"].wake()
    log.info("job_redriven", job_id=job["id"])
    return json_response(as_wire(job))


@bp.route("/redrive", methods=["POST"])
@bp.doc(security=[{"operator": []}])
@bp.arguments(RedriveSchema())
@bp.response(200, RedrivenSchema)
@problems(bp, 400, 401, 403, 408, 413, 415, 503)
@access.operator
def redrive_many(order: dict[str, Any]) -> Response:
    """Try many again, the oldest first; they come due one after the other."""
    most, per_second = order.pop("most"), order.pop("per_second")
    settings = current_app.config["SETTINGS"]
    limits = Limits(most_waiting=settings.most_waiting, most_waiting_per_owner=settings.most_waiting_per_owner)
    with Session.begin() as session:
        many = Redrive(session, Filter(**order), most=most, per_second=per_second, limits=limits)
    may_be_more = True
    while may_be_more:
        before = many.done
        with Session.begin() as session:
            may_be_more = many.some(session)
            if many.done > before:
                trail.note("dead_letters_redriven", session=session, jobs=many.done - before)
    current_app.extensions["parley"]["waker"].wake()
    log.info("jobs_redriven", jobs=many.done)
    return json_response(
        {
            "redriven": many.done,
            "spreadSeconds": max(0, many.done - 1) / per_second,
            "ownersAtLimit": len(many.full),
        }
    )


@bp.route("/<string:job_id>/discard", methods=["POST"])
@bp.doc(security=[{"operator": []}])
@bp.response(200, JobSchema)
@problems(bp, 401, 403, 404, 410, 503)
@access.operator
def discard(job_id: str) -> Response:
    """Show it no more. Its job stays as it is; a redrive brings it back."""
    known = _letter_id(job_id)
    with Session.begin() as session:
        dead_letters.discard(session, known)
        job = jobs.shown(session, known, reader=caller().reader)
        trail.note("dead_letter_discarded", subject=f"job:{known}", session=session)
    log.info("job_discarded", job_id=job["id"])
    return json_response(as_wire(job))


@bp.route("/discard", methods=["POST"])
@bp.doc(security=[{"operator": []}])
@bp.arguments(DiscardSchema())
@bp.response(200, DiscardedSchema)
@problems(bp, 400, 401, 403, 408, 413, 415, 503)
@access.operator
def discard_many(order: dict[str, Any]) -> Response:
    """Show many no more, the oldest first."""
    most, done = order.pop("most"), 0
    number = None
    while number != 0 and done < most:
        with Session.begin() as session:
            number = dead_letters.discard_some(session, Filter(**order), most=most - done)
            if number:
                trail.note("dead_letters_discarded", session=session, jobs=number)
        done += number
    log.info("jobs_discarded", jobs=done)
    return json_response({"discarded": done})


def _letter_id(job_id: str) -> str:
    return known_form(job_id, refusal=DeadLetterNotFound)


def _letter(row: Row[Any]) -> dict[str, Any]:
    return {
        "jobId": row.id,
        "owner": row.owner,
        "type": row.type,
        "error": {"code": row.error_code, "message": row.error_message},
        "attempt": row.attempt,
        "failures": row.failures,
        "maxAttempts": row.max_attempts,
        "lostCount": row.lost_count,
        "model": row.model,
        "createdAt": wire_time(row.created_at),
        "finishedAt": wire_time(row.finished_at),
        "discardedAt": _time(row.discarded_at),
    }


def as_ledger_entry(row: Row[Any]) -> dict[str, Any]:
    """The form of `LedgerEntrySchema`."""
    return {
        "attempt": row.attempt,
        "worker": row.worker,
        "startedAt": wire_time(row.started_at),
        "askedAt": _time(row.asked_at),
        "finishedAt": _time(row.finished_at),
        "outcome": row.outcome,
        "errorCode": row.error_code,
        "cost": prices.wire(row.cost),
        "model": row.model,
        "usage": usage(row.prompt_tokens, row.completion_tokens),
    }


def _time(moment: dt.datetime | None) -> str | None:
    return None if moment is None else wire_time(moment)

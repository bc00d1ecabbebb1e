"""Dashboard lists: everybody's jobs and batches, and the processes that work on them. For operators."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import access, oversight
from api.cursors import cursor_of, position_of
from api.dashboard_list_schemas import (
    EverybodysBatchesQuerySchema,
    EverybodysBatchesSchema,
    EverybodysJobDetailSchema,
    EverybodysJobsQuerySchema,
    EverybodysJobsSchema,
    ProcessesSchema,
)
from api.dead_letters import as_ledger_entry
from api.jobs import JOB_ID, json_response, known_form, wire_time
from api.openapi import Noun, problems
from models import base, dead_letters, everybodys, heartbeats
from models.base import Autocommit, Session
from models.everybodys import Ended, Filter, Row
from models.states import JobStatus

bp = Noun("dashboard-lists", __name__, url_prefix="/api/dashboard", description="Everybody's; for the operator.")

LOOK_SECONDS = 10.0
"""All that waits is sorted."""
MOST_PROCESSES = 100


@bp.route("/jobs")
@bp.doc(security=[{"operator": []}])
@bp.arguments(EverybodysJobsQuerySchema, location="query")
@bp.response(200, EverybodysJobsSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_everybodys_jobs(query: dict[str, Any]) -> Response:
    """Jobs of all owners, in brief: neither message nor reply."""
    limit, before, status = query.pop("limit"), position_of(query.pop("cursor")), query.pop("status")
    which = Filter(status=Ended(status) if status in set(Ended) else JobStatus(status), **query)
    oversight.listed("jobs_listed")
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        page = everybodys.page(session, which, limit=limit, before=before)
    cursor = cursor_of(*page.end) if page.end else None
    return json_response({"items": [_job(row) for row in page.jobs], "nextCursor": cursor})


@bp.route("/jobs/<string:job_id>", parameters=[JOB_ID])
@bp.doc(security=[{"operator": []}])
@bp.response(200, EverybodysJobDetailSchema)
@problems(bp, 401, 403, 404, 410, 503)
@access.operator
def show_everybodys_job(job_id: str) -> Response:
    """One job, and what was tried."""
    known = known_form(job_id)
    with Autocommit() as session:
        row, attempts = everybodys.one(session, known), dead_letters.ledger(session, known)
    oversight.looked_at(f"job:{known}", row["owner"])
    return json_response({**_job(row), "attempts": [as_ledger_entry(attempt) for attempt in reversed(attempts)]})


@bp.route("/batches")
@bp.doc(security=[{"operator": []}])
@bp.arguments(EverybodysBatchesQuerySchema, location="query")
@bp.response(200, EverybodysBatchesSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_everybodys_batches(query: dict[str, Any]) -> Response:
    """Batches of all owners, the latest first."""
    limit, before = query["limit"], position_of(query["cursor"])
    oversight.listed("batches_listed")
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        found = everybodys.batches(session, limit=limit + 1, before=before)
    shown, more = found[:limit], len(found) > limit
    cursor = cursor_of(shown[-1]["created_at"], shown[-1]["id"]) if more else None
    return json_response({"items": [_batch(row) for row in shown], "nextCursor": cursor})


@bp.route("/processes")
@bp.doc(security=[{"operator": []}])
@bp.response(200, ProcessesSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_processes() -> Response:
    """Dispatchers and workers: when each was heard of, and how many jobs it holds."""
    with Autocommit() as session:
        found = heartbeats.all_of_them(session, most=MOST_PROCESSES)
    return json_response(
        {
            "items": [
                {
                    "kind": row["kind"],
                    "instance": row["instance"],
                    "queueClass": row["queue_class"] or None,
                    "slots": row["slots"],
                    "running": row["running"],
                    "seenSeconds": row["age"],
                    "live": row["age"] <= heartbeats.LIVE_SECONDS,
                }
                for row in found
            ]
        }
    )


def _job(row: Row) -> dict[str, Any]:
    return {
        "jobId": row["id"],
        "owner": row["owner"],
        "status": row["status"],
        "type": row["type"],
        "queueClass": row["queue_class"],
        "priority": row["priority"],
        "createdAt": wire_time(row["created_at"]),
        "updatedAt": wire_time(row["updated_at"]),
        "finishedAt": row["finished_at"] and wire_time(row["finished_at"]),
        "attempt": row["attempt"],
        "failures": row["failures"],
        "maxAttempts": row["max_attempts"],
        "lostCount": row["lost_count"],
        "error": {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None,
        "model": row["model"],
        "batchId": row["batch_id"],
        "worker": row["leased_by"],
    }


def _batch(row: Row) -> dict[str, Any]:
    return {
        "batchId": row["id"],
        "owner": row["owner"],
        "total": row["total"],
        "counts": {status.value: row["counts"].get(status, 0) for status in JobStatus},
        "createdAt": wire_time(row["created_at"]),
        "cancelledAt": row["cancelled_at"] and wire_time(row["cancelled_at"]),
    }

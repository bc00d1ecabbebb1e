"""Own jobs: what the caller has handed in."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import access
from api.callers import caller, no_token
from api.cursors import cursor_of, position_of
from api.jobs import json_response, wire_time
from api.openapi import Noun, problems
from api.own_job_schemas import OwnJobsPageSchema, OwnJobsQuerySchema
from models import own_jobs, owners
from models.api_keys import Scope
from models.base import bare
from models.own_jobs import Filter

bp = Noun("own-jobs", __name__, url_prefix="/api/jobs", description="What one has handed in.")


@bp.route("")
@bp.arguments(OwnJobsQuerySchema, location="query")
@bp.response(200, OwnJobsPageSchema)
@problems(bp, 401, 403, 503)
@access.anybody(Scope.JOBS_READ)
def list_jobs(query: dict[str, Any]) -> Response:
    """The caller's own jobs, the latest first. Not for the guest of an address, which many may share."""
    limit, before = query.pop("limit"), position_of(query.pop("cursor"))
    if owners.is_address(caller().owner):
        raise no_token()
    with bare() as session:
        page = own_jobs.page(session, caller().owner, Filter(**query), limit=limit, before=before)
    return json_response(
        {"items": [_in_brief(job) for job in page.jobs], "nextCursor": cursor_of(*page.end) if page.end else None}
    )


def _in_brief(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "jobId": job["id"],
        "status": job["status"],
        "type": job["type"],
        "createdAt": wire_time(job["created_at"]),
        "updatedAt": wire_time(job["updated_at"]),
        "finishedAt": wire_time(job["finished_at"]) if job["finished_at"] else None,
        "batchId": job["batch_id"],
        "error": {"code": job["error_code"], "message": job["error_message"]} if job["error_code"] else None,
        "model": job["model"],
    }

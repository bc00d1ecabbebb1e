"""Audit: who did what, for the operator. That somebody looked is on record, too."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import access, trail
from api.audit_schemas import AuditPageSchema, AuditQuerySchema
from api.jobs import json_response, wire_time
from api.openapi import Noun, problems
from models import audit, base
from models.audit import Filter
from models.base import Session

bp = Noun("audit", __name__, url_prefix="/api/audit", description="Who did what; for the operator.")

LOOK_SECONDS = 10.0
"""A year of notes, searched for something that hardly ever happens."""


@bp.route("")
@bp.doc(security=[{"operator": []}])
@bp.arguments(AuditQuerySchema, location="query")
@bp.response(200, AuditPageSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_notes(query: dict[str, Any]) -> Response:
    """Notes of the audit log, the newest first."""
    limit, cursor = query.pop("limit"), query.pop("cursor")
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        found = audit.page(session, Filter(**query), limit=limit + 1, below=cursor and int(cursor))
        trail.note("audit_read", session=session, notes=min(limit, len(found)))
    shown, more = found[:limit], len(found) > limit
    return json_response(
        {
            "items": [
                {
                    "at": wire_time(row.at),
                    "actor": row.actor,
                    "action": row.action,
                    "subject": row.subject,
                    "requestId": row.request_id,
                    "facts": row.facts,
                }
                for row in shown
            ],
            "nextCursor": str(shown[-1].id) if more else None,
        }
    )

"""Invariants: whether what is stored is as it must be. For the operator."""

from __future__ import annotations

from flask import Response

from api import access
from api.jobs import json_response
from api.openapi import Noun, problems
from api.schemas import InvariantsSchema
from models import base, invariants
from models.base import Session

bp = Noun(
    "invariants",
    __name__,
    url_prefix="/api/invariants",
    description="Whether what is stored is as it must be; for the operator.",
)


@bp.route("")
@bp.doc(security=[{"operator": []}])
@bp.response(200, InvariantsSchema)
@problems(bp, 401, 403, 503)
@access.operator
def check_invariants() -> Response:
    """Ask the database for jobs that break an invariant. Reads whole tables, for at most twenty seconds."""
    with Session.begin() as session:
        base.take_time(session, seconds=invariants.SECONDS_IN_ALL)
        checked = invariants.check(session)
    return json_response(
        {
            "ok": all(each.holds for each in checked),
            "checked": [{"name": each.name, "count": each.count, "violations": each.violations} for each in checked],
        }
    )

"""Me: the account of whoever calls."""

from __future__ import annotations

from flask import Response

from api import access
from api.account_schemas import UserSchema
from api.auth import as_wire
from api.callers import caller
from api.jobs import json_response
from api.openapi import Noun, problems
from models import users
from models.api_keys import Scope
from models.base import bare

bp = Noun("me", __name__, url_prefix="/api/me", description="Your account.")


@bp.route("")
@bp.doc(security=[{"bearer": []}, {"guest": []}, {}])
@bp.response(200, UserSchema)
@problems(bp, 401, 403, 503)
@access.anybody(Scope.JOBS_READ)
def show_me() -> Response:
    """Who you are."""
    user_id = caller().user_id
    if user_id is None:
        nobody = {"userId": None, "username": None, "createdAt": None}
        name, role = ("Operator", caller().role) if caller().is_operator else ("Guest", "guest")
        return json_response({**nobody, "displayName": name, "role": role})
    with bare() as session:
        return json_response(as_wire(users.one(session, user_id)))

"""Users: who has an account and which role, and invitations to make one. For admins."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from api import access, trail
from api.auth import as_wire, callers
from api.callers import caller
from api.cursors import cursor_of, position_of
from api.jobs import json_response, known_form, wire_time
from api.openapi import Noun, problems
from api.user_schemas import InvitationSchema, ListedUserSchema, RoleSchema, UsersPageSchema, UsersQuerySchema
from models import invitations, owners, sessions, users
from models.account_errors import UserNotFound
from models.base import Autocommit, Session

bp = Noun("users", __name__, url_prefix="/api", description="Accounts; for admins.")
_ADMINS: list[dict[str, list[str]]] = [{"bearer": []}, {"operator": []}]


@bp.route("/users")
@bp.doc(security=_ADMINS)
@bp.arguments(UsersQuerySchema, location="query")
@bp.response(200, UsersPageSchema)
@problems(bp, 401, 403, 503)
@access.admin
def list_users(page: dict[str, Any]) -> Response:
    """Users, the latest first."""
    limit, before = page.pop("limit"), position_of(page.pop("cursor"))
    with Autocommit() as session:
        found = users.page(session, limit=limit + 1, before=before, **page)
        trail.note("users_listed", session=session, users=min(limit, len(found)))
    shown, more = found[:limit], len(found) > limit
    cursor = cursor_of(shown[-1]["created_at"], shown[-1]["id"]) if more else None
    return json_response({"items": [_listed(user) for user in shown], "nextCursor": cursor})


@bp.route("/users/<string:user_id>", methods=["PATCH"])
@bp.doc(security=_ADMINS)
@bp.arguments(RoleSchema())
@bp.response(200, ListedUserSchema)
@problems(bp, 400, 401, 403, 404, 413, 415, 503)
@access.admin
def change_role(said: dict[str, Any], user_id: str) -> Response:
    """Give somebody a role. It holds 10 seconds later, everywhere."""
    known, role = known_form(user_id, refusal=UserNotFound), said["role"]
    with Session.begin() as session:
        user = users.set_role(session, known, role)
        trail.note("role_changed", subject=owners.of_user(known), session=session, role=role)
    callers().forget(known)
    return json_response(_listed(user))


@bp.route("/users/<string:user_id>/logout-all", methods=["POST"])
@bp.doc(security=_ADMINS)
@bp.response(204)
@problems(bp, 401, 403, 404, 503)
@access.admin
def log_out_everywhere(user_id: str) -> Response:
    """End all sessions of somebody, as they may themselves. Their API keys stay: those are theirs to revoke."""
    known = known_form(user_id, refusal=UserNotFound)
    with Session.begin() as session:
        users.one(session, known)
        ended = sessions.revoke_all(session, known)
        subject = owners.of_user(known)
        trail.note("user_logged_out_everywhere", subject=subject, session=session, sessions=ended)
    callers().forget(known)
    return current_app.response_class(status=204)


@bp.route("/invitations", methods=["POST"])
@bp.doc(security=_ADMINS)
@bp.response(201, InvitationSchema)
@problems(bp, 401, 403, 503)
@access.admin
def invite() -> Response:
    """Make an invitation: a code for one account, good for seven days."""
    with Session.begin() as session:
        code, expires_at = invitations.create(session, by=caller().owner)
        trail.note("invitation_made", session=session)
    return json_response({"code": code, "expiresAt": wire_time(expires_at)}, status=201)


def _listed(user: Any) -> dict[str, Any]:
    return {**as_wire(user), "lastActiveAt": wire_time(user["last_active_at"])}

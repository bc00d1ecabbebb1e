"""Me: the account of whoever calls."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from api import access, cookies, exports, limits, trail
from api.account_schemas import ChangesSchema, FarewellSchema, UserSchema
from api.auth import as_wire, callers, hashing, own_id, reject_weak, settings
from api.callers import caller
from api.jobs import HEADER, json_response
from api.openapi import Noun, problems
from models import erasures, logs, sessions, users
from models.account_errors import UserNotFound, WrongPassword
from models.api_keys import Scope
from models.base import Autocommit, Session, bare

bp = Noun("me", __name__, url_prefix="/api/me", description="Your account.")
log = logs.logger()
_SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}]


@bp.route("")
@bp.doc(security=[*_SIGNED_IN, {"guest": []}, {}])
@bp.response(200, UserSchema)
@problems(bp, 401, 403, 404, 503)
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


@bp.route("", methods=["PATCH"])
@bp.doc(security=_SIGNED_IN)
@bp.arguments(ChangesSchema())
@bp.response(200, UserSchema)
@problems(bp, 400, 401, 403, 404, 413, 415, 429, 503)
@access.user()
def change_me(said: dict[str, Any]) -> Response:
    """Change what is kept of you. A new password ends your other sessions; API keys stay."""
    user_id, changes, verified = own_id(), {}, None
    if "display_name" in said:
        changes["display_name"] = said["display_name"]
    if "phone_number" in said:
        changes["phone_hash"] = users.phone_hash(said["phone_number"], key=settings().phone_key)
    if "password" in said:
        verified = _verified(user_id, said["current_password"])
        changes["password_hash"] = _new_password(user_id, said["password"])
    with Session.begin() as session:
        user = users.change(session, user_id, verified=verified, **changes)
        if user is None:
            raise WrongPassword if verified else UserNotFound
        if verified:
            ended = sessions.revoke_all(session, user_id, but=caller().session_id)
            trail.note("password_changed", session=session, sessions=ended)
    if verified:
        callers().forget(user_id)
    return json_response(as_wire(user))


def _verified(user_id: str, password: str) -> str:
    """The hash that this password fits.

    Raises:
        WrongPassword: it is not the caller's.
        RateLimited: it has been tried too often.
    """
    limits.count("password")
    with bare() as lone:
        user = users.credentials(lone, user_id=user_id)
    kept: str | None = None if user is None else user["password_hash"]
    if not hashing().fits(password, kept) or kept is None:
        trail.refusal("password_refused")
        raise WrongPassword
    return kept


def _new_password(user_id: str, password: str) -> str:
    with bare() as lone:
        user = users.one(lone, user_id)
    reject_weak(password, known=[user["username"], user["display_name"]])
    return hashing().hashed(password)


@bp.route("", methods=["DELETE"])
@bp.doc(security=_SIGNED_IN)
@bp.arguments(FarewellSchema())
@bp.response(204, headers={"Set-Cookie": HEADER})
@problems(bp, 400, 401, 403, 413, 415, 429, 503)
@access.user()
def delete_me(said: dict[str, Any]) -> Response:
    """End your account for good: your names, sessions, keys, jobs and batches are erased; what runs is cancelled."""
    user_id = own_id()
    verified = _verified(user_id, said["password"])
    with Session.begin() as session:
        if not erasures.account(session, user_id, verified=verified):
            raise WrongPassword
        trail.note("user_deleted", session=session)
    callers().forget(user_id)
    log.info("user_deleted", user_id=user_id)
    response = current_app.response_class(status=204)
    cookies.clear_refresh_token(response)
    return response


@bp.route("/export")
@bp.doc(security=_SIGNED_IN)
@bp.response(200, {"type": "object"}, headers={"Content-Disposition": HEADER})
@problems(bp, 401, 403, 404, 503)
@access.user()
def export_me() -> Response:
    """All that is stored of you, as one JSON object. It is made while it is sent: cut off, it is no JSON."""
    user_id = own_id()
    with Autocommit() as session:
        profile = exports.beginning(session, user_id)
        trail.note("user_exported", session=session)
    headers = {"Content-Disposition": 'attachment; filename="parley-export.json"', "X-Accel-Buffering": "no"}
    return current_app.response_class(exports.stream(user_id, profile), mimetype="application/json", headers=headers)

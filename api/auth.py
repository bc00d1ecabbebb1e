"""Auth: make an account, sign in, stay signed in, sign out.

The access token is in the body and lives a quarter of an hour; a page keeps it in
memory. The refresh token is only ever in a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Response, current_app
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from api import access, cookies, limits, tokens, trail
from api.account_schemas import LoginSchema, RegistrationSchema, SessionSchema
from api.callers import Callers, caller
from api.hashing import Hashing
from api.jobs import HEADER, json_response, wire_time
from api.openapi import Noun, problems
from api.tokens import Tokens
from models import adoptions, invitations, logs, owners, sessions, users
from models.account_errors import (
    InvitationRequired,
    RegistrationClosed,
    SessionEnded,
    UsernameTaken,
    WeakPassword,
    WrongCredentials,
)
from models.base import Session, bare
from models.sessions import Refused, Renewed
from models.settings import Settings

bp = Noun("auth", __name__, url_prefix="/api/auth", description="Accounts: sign in and out.")
log = logs.logger()

_COOKIE = {"Set-Cookie": {**HEADER, "description": "`parley_refresh`"}, **limits.HEADERS}


@bp.route("/register", methods=["POST"])
@limits.by_address("register")
@bp.doc(security=[{}])
@bp.arguments(RegistrationSchema())
@bp.response(201, SessionSchema, headers=_COOKIE)
@problems(bp, 400, 403, 409, 413, 415, 429, 503)
@access.public
def register(said: dict[str, Any]) -> Response:
    """Make an account, and sign in. What the same browser did as a guest becomes the account's."""
    code = _admitted(said.get("invitation"))
    password, username = said["password"], said["username"]
    name = said.get("display_name") or username
    with bare() as lone:
        if users.credentials(lone, username=username) is not None:
            raise UsernameTaken  # said again below; here it spares the hash
    reject_weak(password, known=[username, name])
    kept, token = hashing().hashed(password), tokens.fresh_refresh_token()
    phone = users.phone_hash(said.get("phone_number"), key=settings().phone_key)
    with Session.begin() as session:
        user = users.create(session, username=username, display_name=name, password_hash=kept, phone_hash=phone)
        if code is not None:
            invitations.use(session, code, user_id=user["id"])
        session_id = sessions.start(session, user["id"], token=token, days=settings().session_days)
        trail.note("user_registered", actor=owners.of_user(user["id"]), session=session)
    return _adopting(user, _session(user, session_id, token, status=201))


def _adopting(user: Mapping[Any, Any], response: Response) -> Response:
    """Hand the guest's things over to whoever has just signed in. Should it break off, the next sign-in goes on."""
    secret = cookies.guest_secret()
    if secret is None:
        return response
    guest, owner, adopted, number = owners.of_guest(secret), owners.of_user(user["id"]), 0, None
    while number != 0:
        with Session.begin() as session:
            number = adoptions.some(session, guest, owner=owner)
        adopted += number
    log.info("guest_adopted", user_id=user["id"], things=adopted)
    cookies.clear_guest(response)
    return response


def _admitted(invitation: str | None) -> str | None:
    """The code that has to be used up, if one is needed."""
    who_may = settings().registration
    if who_may == "open":
        return None
    if who_may == "closed":
        raise RegistrationClosed
    if not invitation:
        raise InvitationRequired
    with bare() as lone:
        invitations.check(lone, invitation)
    return invitation


def reject_weak(password: str, *, known: list[str]) -> None:
    """Pass a password that is hard to guess.

    Raises:
        WeakPassword: it is not.
    """
    if (why := hashing().weakness(password, known=known)) is not None:
        raise WeakPassword(why)


@bp.route("/login", methods=["POST"])
@limits.by_address("login-address")
@bp.doc(security=[{}])
@bp.arguments(LoginSchema())
@limits.by_login
@bp.response(200, SessionSchema, headers=_COOKIE)
@problems(bp, 400, 401, 413, 415, 429, 503)
@access.public
def login(said: dict[str, Any]) -> Response:
    """Sign in. What the same browser did as a guest becomes the account's."""
    password = said["password"]
    with bare() as lone:
        user = users.credentials(lone, username=said["username"])
    if not hashing().fits(password, None if user is None else user["password_hash"]) or user is None:
        _refuse(user)
    token, better = tokens.fresh_refresh_token(), hashing().better(password, user["password_hash"])
    with Session.begin() as session:
        if users.signed_in(session, user["id"], verified=user["password_hash"], better=better):
            session_id = sessions.start(session, user["id"], token=token, days=settings().session_days)
            trail.note("user_logged_in", actor=owners.of_user(user["id"]), session=session)
        else:
            user = None
    if user is None:
        _refuse(user)
    return _adopting(user, _session(user, session_id, token))


def _refuse(user: Mapping[Any, Any] | None) -> NoReturn:
    trail.refusal("login_failed", subject=None if user is None else owners.of_user(user["id"]))
    raise WrongCredentials


@bp.route("/refresh", methods=["POST"])
@limits.by_address("refresh")
@bp.doc(security=[{"session": []}])
@bp.response(200, SessionSchema, headers=_COOKIE)
@problems(bp, 401, 429, 503)
@access.public
def refresh() -> Response:
    """Exchange the cookie for another, and get an access token. An old cookie that comes back ends the session."""
    token = cookies.refresh_token()
    if token is None:
        raise _no_refresh_token()
    successor = _tokens().successor(token)
    with Session.begin() as session:
        outcome = sessions.renew(session, token, successor=successor, days=settings().session_days)
        reused_by = None if isinstance(outcome, Renewed) or outcome[0] is not Refused.REUSED else str(outcome[1])
        if reused_by is not None:
            trail.note("refresh_reused", subject=owners.of_user(reused_by), session=session)
    if isinstance(outcome, Renewed):
        return _session(outcome.user, outcome.session_id, successor)
    if reused_by is not None:
        callers().forget(reused_by)
    raise SessionEnded


@bp.route("/logout", methods=["POST"])
@limits.by_address("logout")
@bp.doc(security=[{"session": []}])
@bp.response(204, headers=_COOKIE)
@problems(bp, 429, 503)
@access.public
def logout() -> Response:
    """End this session. Without one nothing is to be done."""
    token = cookies.refresh_token()
    if token is not None:
        with Session.begin() as session:
            session_id = sessions.of_token(session, token)
            user_id = session_id and sessions.revoke(session, session_id)
            if user_id:
                trail.note("user_logged_out", actor=owners.of_user(user_id), session=session)
        if user_id:
            callers().forget(user_id)
    return signed_out()


@bp.route("/logout-all", methods=["POST"])
@bp.doc(security=[{"bearer": []}])
@bp.response(204, headers=_COOKIE)
@problems(bp, 401, 403, 503)
@access.user()
def logout_all() -> Response:
    """End all your sessions, wherever they are. API keys stay."""
    user_id = own_id()
    with Session.begin() as session:
        ended = sessions.revoke_all(session, user_id)
        trail.note("user_logged_out_everywhere", session=session, sessions=ended)
    callers().forget(user_id)
    return signed_out()


def own_id() -> str:
    """The id of the account that calls.

    Raises:
        Forbidden: it is the operator of ``ADMIN_TOKEN``, who has none.
    """
    user_id = caller().user_id
    if user_id is None:
        raise _no_account()
    return user_id


def signed_out() -> Response:
    """Nothing more to say, and no cookie left."""
    response = current_app.response_class(status=204)
    cookies.clear_refresh_token(response)
    return response


def _session(user: Mapping[Any, Any], session_id: str, token: str, *, status: int = 200) -> Response:
    body = {
        "accessToken": _tokens().sign(user_id=user["id"], session_id=session_id),
        "tokenType": "Bearer",
        "expiresIn": int(_tokens().seconds),
        "user": as_wire(user),
    }
    response = json_response(body, status=status)
    cookies.set_refresh_token(response, token)
    return response


def as_wire(user: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `UserSchema`."""
    return {
        "userId": user["id"],
        "username": user["username"],
        "displayName": user["display_name"],
        "role": user["role"],
        "createdAt": wire_time(user["created_at"]),
    }


def hashing() -> Hashing:
    """This process's."""
    found: Hashing = current_app.extensions["parley"]["hashing"]
    return found


def callers() -> Callers:
    """This process's."""
    found: Callers = current_app.extensions["parley"]["callers"]
    return found


def _tokens() -> Tokens:
    found: Tokens = current_app.extensions["parley"]["tokens"]
    return found


def settings() -> Settings:
    """This process's."""
    found: Settings = current_app.config["SETTINGS"]
    return found


def _no_account() -> Forbidden:
    refusal = Forbidden("The operator of ADMIN_TOKEN has no account.")
    refusal.data = {"code": "no_account"}  # type: ignore[attr-defined]
    return refusal


def _no_refresh_token() -> Unauthorized:
    refusal = Unauthorized("There is no session here. Sign in.", www_authenticate=WWWAuthenticate("bearer"))
    refusal.data = {"code": "no_refresh_token"}  # type: ignore[attr-defined]
    return refusal

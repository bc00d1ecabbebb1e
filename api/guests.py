"""Guests: browsers without an account get a cookie, so that what they hand in is theirs."""

from __future__ import annotations

from flask import Response, current_app
from werkzeug.exceptions import Forbidden

from api import access, cookies, limits
from api.callers import Callers
from api.openapi import Noun, problems
from models.settings import Settings

bp = Noun("guests", __name__, url_prefix="/api/auth", description="Callers without an account.")


@bp.route("/guest", methods=["POST"])
@limits.by_address("guest")
@bp.response(204, description="There is a guest cookie now, the one there was or a new one.", headers=limits.HEADERS)
@problems(bp, 403, 429)
@access.public
def become_guest() -> Response:
    """Give this browser a guest cookie, unless it has one."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.allow_guests:
        refusal = Forbidden("There are no guests here. Sign in.")
        refusal.data = {"code": "guests_not_allowed"}  # type: ignore[attr-defined]
        raise refusal
    response: Response = current_app.response_class(status=204)
    if cookies.guest_secret() is None:
        callers: Callers = current_app.extensions["parley"]["callers"]
        cookies.set_guest(response, callers.guest_secrets.new_cookie())
    return response

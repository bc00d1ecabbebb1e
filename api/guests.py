"""Guests: browsers without an account get a cookie, so that what they hand in is theirs."""

from __future__ import annotations

import re
import secrets

from flask import Response, current_app, request
from werkzeug.exceptions import Forbidden

from api import access
from api.callers import GUEST_COOKIE
from api.openapi import Noun, problems
from models.settings import Settings

bp = Noun("guests", __name__, url_prefix="/api/auth", description="Callers without an account.")

COOKIE_PATH = "/api"
COOKIE_SECONDS = 30 * 86_400
SECRET_BYTES = 32
_OURS = re.compile(r"[A-Za-z0-9_-]{43}")
"""That many bytes, as `secrets` writes them."""


@bp.route("/guest", methods=["POST"])
@bp.response(204, description="There is a guest cookie now, the one there was or a new one.")
@problems(bp, 403)
@access.public
def become_guest() -> Response:
    """Give this browser a guest cookie, unless it has one."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.allow_guests:
        refusal = Forbidden("There are no guests here. Sign in.")
        refusal.data = {"code": "guests_not_allowed"}  # type: ignore[attr-defined]
        raise refusal
    response: Response = current_app.response_class(status=204)
    if not _OURS.fullmatch(request.cookies.get(GUEST_COOKIE, "")):
        response.set_cookie(
            GUEST_COOKIE,
            secrets.token_urlsafe(SECRET_BYTES),
            max_age=COOKIE_SECONDS,
            path=COOKIE_PATH,
            secure=request.is_secure or settings.environment == "production",
            httponly=True,
            samesite="Strict",
        )
    return response

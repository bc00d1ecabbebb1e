"""Cookies: what a browser keeps for us and no script of a page can read.

    parley_refresh   the refresh token; sent to /api/auth only
    parley_guest     who a guest is; sent to /api

Both are HttpOnly and SameSite=Strict: no other site can have a browser send them.
"""

from __future__ import annotations

from flask import Response, current_app, request

from api.callers import GUEST_COOKIE, Callers
from models.sessions import DAY_SECONDS
from models.settings import Settings

REFRESH_COOKIE, REFRESH_PATH = "parley_refresh", "/api/auth"
GUEST_PATH, GUEST_DAYS = "/api", 30
LONGEST = 256
"""No cookie of ours is longer."""


def refresh_token() -> str | None:
    """The one that came with this request."""
    return _usable(request.cookies.get(REFRESH_COOKIE))


def guest_secret() -> str | None:
    """The one in the guest cookie that came with this request, if we made that."""
    callers: Callers = current_app.extensions["parley"]["callers"]
    return callers.guest_secrets.within(request.cookies.get(GUEST_COOKIE))


def _usable(value: str | None) -> str | None:
    return value if value and len(value) <= LONGEST else None


def set_refresh_token(response: Response, token: str) -> None:
    """Have the browser keep it for as long as the session lives unrenewed."""
    _set(response, REFRESH_COOKIE, token, path=REFRESH_PATH, days=_settings().session_days)


def clear_refresh_token(response: Response) -> None:
    """Have the browser forget it."""
    _set(response, REFRESH_COOKIE, "", path=REFRESH_PATH, days=0)


def set_guest(response: Response, cookie: str) -> None:
    """Have the browser be this guest for a month."""
    _set(response, GUEST_COOKIE, cookie, path=GUEST_PATH, days=GUEST_DAYS)


def clear_guest(response: Response) -> None:
    """Have the browser forget that it was a guest."""
    _set(response, GUEST_COOKIE, "", path=GUEST_PATH, days=0)


def _set(response: Response, name: str, value: str, *, path: str, days: float) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(days * DAY_SECONDS),
        path=path,
        httponly=True,
        samesite="Strict",
        # Behind a proxy a request looks like plain HTTP; in production there is always TLS before it.
        secure=request.is_secure or _settings().environment == "production",
    )


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings

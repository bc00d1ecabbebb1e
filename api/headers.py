"""Headers: what every answer carries, errors and static files included."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from functools import lru_cache

from flask import Flask, Response, g, has_request_context, request

from api import addresses
from models import logs
from models.settings import Settings

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {connect}; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PERMISSIONS_POLICY = (
    "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), usb=()"
)
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),  # for browsers that know no frame-ancestors
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", PERMISSIONS_POLICY),
)
OF_NOBODY = ("Content-Security-Policy", CONTENT_SECURITY_POLICY.format(connect="'self'"))
"""For whoever could not be understood, and so has named no host and no gateway."""
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
"""Never over plain HTTP in development: a browser would refuse http://localhost for a year."""
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def add_to(app: Flask, settings: Settings) -> None:
    """Give each request an id (the caller's own, if it is harmless) and each response its headers."""
    encrypted = [*ALWAYS, STRICT_TRANSPORT]
    in_production = settings.environment == "production"
    fixed = encrypted if in_production else list(ALWAYS)
    policy_for = cache_policies(settings)
    logs.ask(facts)

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _USABLE_ID.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def complete(response: Response) -> Response:
        # Nobody else sets these, so they need not be looked for.
        response.headers.extend(encrypted if request.is_secure else fixed)
        response.headers.add("Content-Security-Policy", policy_for(request.host, request.is_secure))
        response.headers.add("X-Request-Id", g.get("request_id", ""))
        if request.path.startswith(("/api", "/health", "/chat")):
            # The state of a job or a chat must come from here each time, and it is its people's alone.
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def cache_policies(settings: Settings) -> Callable[[str, bool], str]:
    """Answers the policy for pages of a host: they may connect to it and to its gateway."""

    @lru_cache(maxsize=64)
    def policy_for(host: str, is_secure: bool) -> str:  # noqa: FBT001
        gateway = addresses.gateway(settings, host=host, is_secure=is_secure)
        connect = "'self'" if gateway is None else f"'self' {addresses.origin_of(gateway)}"
        return CONTENT_SECURITY_POLICY.format(connect=connect)

    return policy_for


def facts() -> dict[str, object]:
    """What a log line should say of the request that caused it."""
    if not has_request_context():
        return {}
    caller = g.get("caller")
    who = {} if caller is None or caller.user_id is None else {"user_id": caller.user_id}
    return {"request_id": g.get("request_id", ""), **who}

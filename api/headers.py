"""Headers: what every answer carries, errors and static files included."""

from __future__ import annotations

import re
import secrets

from flask import Flask, Response, g, request

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def add_to(app: Flask) -> None:
    """Give each request an id (the caller's own, if it is harmless) and each response its headers."""

    @app.before_request
    def name_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _USABLE_ID.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def complete(response: Response) -> Response:
        # Nobody else sets these, so they need not be looked for.
        response.headers.extend(_ALWAYS)
        response.headers.add("X-Request-Id", g.get("request_id", ""))
        if request.path.startswith(("/api", "/health")):
            # A job's state must come from here each time, and it is the owner's alone.
            response.headers.setdefault("Cache-Control", "no-store")
        return response

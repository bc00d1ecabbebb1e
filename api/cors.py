"""CORS: which other sites' pages may read what the API answers. None, unless `CORS_ORIGINS` names them.

An origin is compared as a whole; there is no ``*`` and no pattern. Cookies are never
allowed along: a page from elsewhere brings a token or is nobody. And whoever brings
a cookie *and* changes something must be a page of ours, for a browser sends cookies
whether or not their owner has asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden

SAFE = ("GET", "HEAD", "OPTIONS")
PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "600"),
)
EXPOSED = (
    "ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
)
_SHARED = ("/api/", "/health")


def add_to(app: Flask, origins: Sequence[str]) -> None:
    """Answer preflights, mark what listed origins may read, refuse cookies that another site's page sends.

    Before whatever asks who calls: a preflight carries no credential.
    """
    allowed = frozenset(origins)

    @app.before_request
    def refuse_foreign_cookies() -> None:
        if request.method not in SAFE and "HTTP_COOKIE" in request.environ and not _is_ours(allowed):
            refusal = Forbidden("Only pages of this site may send its cookies.")
            refusal.data = {"code": "foreign_origin"}  # type: ignore[attr-defined]
            raise refusal

    if not allowed:
        return

    @app.before_request
    def answer_preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        answer = app.response_class(status=204)
        if _is_listed(allowed):
            answer.headers.extend(PREFLIGHT)
        return answer

    @app.after_request
    def share(response: Response) -> Response:
        response.vary.add("Origin")
        if _is_listed(allowed):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response


def _is_listed(allowed: frozenset[str]) -> bool:
    return request.headers.get("Origin") in allowed and request.path.startswith(_SHARED)


def _is_ours(allowed: frozenset[str]) -> bool:
    """Whether a page of this site sent it, or no page at all."""
    origin = request.headers.get("Origin")
    if origin is None or request.headers.get("Sec-Fetch-Site") == "same-origin":
        return True
    return origin in allowed or urlsplit(origin).netloc == request.host

"""Traced: each request that may change something is a span, whose trace the jobs that it makes go on with.

Not those that only look: of a hundred requests ninety are polls, and none of them makes a job.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, g, request

from api.metrics import METHODS
from models import traces

LOOKING = ("GET", "HEAD", "OPTIONS")


def add_to(app: Flask) -> None:
    """Make them, if traces are wanted at all."""
    if not traces.is_on():
        return

    @app.before_request
    def begin() -> None:
        if request.method in LOOKING:
            return
        method, route = METHODS.fold(request.method), request.url_rule.rule if request.url_rule else None
        # The rule and not the path, which may hold what opens something.
        g.span = traces.start(
            f"{method} {route}" if route else method,
            kind="SERVER",
            parent=request.headers.get("traceparent"),
            facts={"http.request.method": method, "http.route": route},
        )
        g.span.carry()

    @app.after_request
    def answered(response: Response) -> Response:
        if "span" in g:
            g.span.note({"http.response.status_code": response.status_code})
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                g.span.failed(str(response.status_code))
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if "span" in g:
            g.span.end()
            traces.carry(None)  # the next request of this connection is of the same greenlet

"""Metrics: requests as they are answered, and the page that Prometheus reads.

Each worker of gunicorn counts in a file of its own, and whichever is asked adds up the files of all
(`gunicorn.conf.py` makes their folder). What the database says of the whole installation stands beside.
"""

from __future__ import annotations

import functools
import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

from api import access
from models import metrics, process_figures
from models.metrics import QUICK, Words

bp = Blueprint("metrics", __name__)

REQUESTS = metrics.counter(
    "parley_http_requests_total", "Requests answered, by the route they were for.", "method", "route", "status"
)
SECONDS = metrics.histogram(
    "parley_http_request_duration_seconds",
    "From a request's arrival to the head of its answer; requests that asked to wait are left out.",
    "method",
    "route",
    buckets=QUICK,
)
NO_ROUTE = "none"
METHODS = Words(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
WAITED = "Preference-Applied"
"""Such an answer came when there was something to say, or when its asker had had enough."""


def add_to(app: Flask) -> None:
    """Count each request. To be added before whatever else looks at them, for this is where the time begins."""

    @app.before_request
    def begin() -> None:
        g.begun_at = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        # The rule and not the path: what callers write there would be a series each.
        route = request.url_rule.rule if request.url_rule else NO_ROUTE
        method = METHODS.fold(request.method)
        answered, took = _series(method, route, response.status_code)
        answered.inc()
        if WAITED not in response.headers and "begun_at" in g:
            took.observe(time.perf_counter() - g.begun_at)
        return response


@functools.cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Kept, because looking them up costs more than counting. There are as many as there are series."""
    return REQUESTS.labels(method, route, str(status)), SECONDS.labels(method, route)


@bp.get("/metrics")
@access.scraper
def show_metrics() -> Response:
    """What has been counted, as text. Its reader has ``METRICS_TOKEN``, or is an operator."""
    parley = current_app.extensions["parley"]
    asked: list[Collector] = [parley["installation"], parley["redis_figures"]]
    response = Response(
        generate_latest(metrics.page(*asked, pids=process_figures.master_and_workers)),
        content_type=metrics.CONTENT_TYPE,
    )
    response.headers["Cache-Control"] = "no-store"
    return response

"""Dashboard: how the installation stands, and has stood, in numbers. For operators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app

from api import access
from api.dashboard_schemas import DashboardHistoryQuerySchema, DashboardHistorySchema, DashboardSchema
from api.installation import Installation
from api.jobs import json_response, wire_time
from api.openapi import Noun, problems
from api.schemas import camel
from models import dead_letters, heartbeats, prices, sample_figures, samples, spending
from models.base import Autocommit
from models.breakers import BreakerState, Seen
from models.figures import Figures
from models.metrics import QUICK
from models.samples import Body, Span
from models.settings import Settings
from models.states import WAITING

bp = Noun("dashboard", __name__, url_prefix="/api/dashboard", description="How things stand; for the operator.")

OF_THE_MOMENT = ("waiting", "running", "oldest", "dead_letters", "breakers_open", "cost")
"""In a sample for charts. How they stand now is asked of the database."""


@bp.route("")
@bp.doc(security=[{"operator": []}])
@bp.response(200, DashboardSchema)
@problems(bp, 401, 403, 503)
@access.operator
def show_dashboard() -> Response:
    """How things stand: what the database says, some seconds old at most, and the newest sample."""
    return json_response(standing())


@bp.route("/history")
@bp.doc(security=[{"operator": []}])
@bp.arguments(DashboardHistoryQuerySchema, location="query")
@bp.response(200, DashboardHistorySchema)
@problems(bp, 401, 403, 503)
@access.operator
def show_history(query: dict[str, Any]) -> Response:
    """How things stood in the last hour, day or week, for charts."""
    span: Span = query["span"]
    with Autocommit() as session:
        rows = samples.history(session, span)
    items = [{"at": wire_time(row.at), **_as_wire(sample_figures.derived(row.body))} for row in rows]
    step = samples.step_of(span, _settings().sample_seconds)
    return json_response({"range": span.value, "stepSeconds": step, "items": items})


def standing() -> dict[str, Any]:
    """The body of `DashboardSchema`.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    installation: Installation = current_app.extensions["parley"]["installation"]
    found, ours = installation.figures(), _settings()
    with Autocommit() as session:
        day = spending.today(session)
        spent = spending.total(session, first=day, last=day)
        newest = samples.newest(session, every=ours.sample_seconds)
    recent = None if newest is None else newest.body
    return {
        "queue": _queue(found),
        "deadLetters": {
            "count": min(found.dead_letters, dead_letters.COUNTED),
            "atLeast": found.dead_letters > dead_letters.COUNTED,
            "oldest": found.oldest_dead_letter,
        },
        "models": [_model(seen, recent) for seen in found.breakers],
        "cost": {
            "currency": ours.prices.currency,
            "today": prices.wire(spent["cost"]),
            "unpricedCalls": spent["unpriced_calls"],
            "budget": ours.budget_day or None,
        },
        "processes": {kind: number for kind, number in found.at_work.items() if kind != heartbeats.REAPER},
        "slots": found.slots,
        "databaseBytes": found.database_bytes,
        "recent": None if recent is None else {"until": wire_time(newest.until), **_recent(recent)},
        "activity": found.activity and _as_wire(found.activity),
    }


def _queue(found: Figures) -> dict[str, Any]:
    of_status = [(status in WAITING, jobs) for (status, *_), jobs in found.unfinished.items()]
    return {
        "waiting": sum(jobs for waits, jobs in of_status if waits),
        "running": sum(jobs for waits, jobs in of_status if not waits),
        "oldest": max(found.oldest.values(), default=None),
    }


def _model(seen: Seen, recent: Body | None) -> dict[str, Any]:
    """Its calls are unknown unless a worker has reported."""
    tells = recent is not None and "worker" in recent["heard"]
    every, failed = sample_figures.calls(recent or {"counts": {}}).get(seen.model, (0, 0))
    return {
        "model": seen.model,
        "state": seen.state.value,
        "retrySeconds": max(0.0, seen.wait_seconds or 0.0) if seen.state is BreakerState.OPEN else None,
        "calls": every if tells else None,
        "failedCalls": failed if tells else None,
    }


def _recent(body: Body) -> dict[str, Any]:
    figures = sample_figures.derived(body)
    answers = sample_figures.buckets(body["counts"], "answers", QUICK)
    total = answers[-1][1] if answers else 0
    below = [0.0, *(number for _, number in answers)]
    return {
        "seconds": body["seconds"],
        "heard": body["heard"],
        "latency": [
            {"upTo": None if math.isinf(bound) else bound, "share": (number - before) / total}
            for (bound, number), before in zip(answers, itertools.islice(below, len(answers)), strict=True)
            if total
        ],
        **_as_wire({name: value for name, value in figures.items() if name not in OF_THE_MOMENT}),
    }


def _as_wire(named: Mapping[str, Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in named.items()}


def _settings() -> Settings:
    ours: Settings = current_app.config["SETTINGS"]
    return ours

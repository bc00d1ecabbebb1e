"""Cost: what calls to models have cost. One's own by the day; all of it for the operator."""

from __future__ import annotations

import calendar
import csv
import datetime as dt
import io
from typing import Any

from flask import Response, current_app

from api import access, oversight
from api.callers import caller, no_token
from api.cost_schemas import CostQuerySchema, CostSchema, ReportQuerySchema, UsagePageSchema, UsageQuerySchema
from api.jobs import HEADER, json_response
from api.openapi import Noun, problems
from models import base, budgets, owners, prices, spending
from models.api_keys import Scope
from models.base import Session, bare
from models.budgets import Budgets, Purse
from models.prices import Prices
from models.settings import Settings
from models.spending import Sums

bp = Noun("cost", __name__, url_prefix="/api", description="What calls to models cost.")

LOOK_SECONDS = 10.0
"""A month of many owners is added up."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""
_COLUMNS = ("month", "owner", "model", "calls", "prompt_tokens", "completion_tokens", "cost", "currency")


@bp.route("/me/usage")
@bp.doc(security=[{"bearer": []}, {"guest": []}, {}])
@bp.arguments(UsageQuerySchema, location="query")
@bp.response(200, UsagePageSchema)
@problems(bp, 401, 403, 503)
@access.anybody(Scope.JOBS_READ)
def show_usage(query: dict[str, Any]) -> Response:
    """What your jobs have used, by the day. Not for the guest of an address, which many may share."""
    if owners.is_address(caller().owner):
        raise no_token()
    limit = query["limit"]
    with bare() as session:
        found = spending.days(session, caller().owner, limit=limit + 1, before=query["cursor"])
    items = [{"day": row["day"].isoformat(), **_sums(row)} for row in found[:limit]]
    cursor = items[-1]["day"] if len(found) > limit else None
    return json_response({"currency": _prices().currency, "items": items, "nextCursor": cursor})


@bp.route("/cost")
@bp.doc(security=[{"operator": []}])
@bp.arguments(CostQuerySchema, location="query")
@bp.response(200, CostSchema)
@problems(bp, 401, 403, 503)
@access.operator
def show_cost(query: dict[str, Any]) -> Response:
    """What is spent today, on which models and by whom, and in this month."""
    limit = query["limit"]
    oversight.listed("cost_read")
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        day = spending.today(session)
        first, last = _days_of(day)
        today, month = (spending.total(session, first=start, last=end) for start, end in ((day, day), (first, last)))
        models = spending.by_model(session, day, limit=limit)
        people = spending.by_owner(session, day, limit=limit)
        allowed = budgets.of(_settings())
        purse = None
        if allowed is not None:
            purse = budgets.look(session, allowed, again_after=_settings().announce_seconds)
    known = _prices().models
    return json_response(
        {
            "currency": _prices().currency,
            "day": day.isoformat(),
            "today": _sums(today),
            "month": _sums(month),
            "budget": _budget(allowed, purse),
            "byModel": [
                {
                    "model": row["name"],
                    "priceVersion": known[row["name"]].version if row["name"] in known else None,
                    **_sums(row),
                }
                for row in models
            ],
            "byOwner": [{"owner": row["name"], **_sums(row)} for row in people],
        }
    )


@bp.route("/cost/report.csv")
@bp.doc(security=[{"operator": []}])
@bp.arguments(ReportQuerySchema, location="query")
@bp.response(200, {"type": "string"}, content_type="text/csv", headers={"Content-Disposition": HEADER})
@problems(bp, 401, 403, 503)
@access.operator
def show_report(query: dict[str, Any]) -> Response:
    """What each owner has spent on each model in a month, as CSV, the dearest first."""
    oversight.listed("cost_read")
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        day = dt.date.fromisoformat(f"{query['month']}-01") if query["month"] else spending.today(session)
        first, last = _days_of(day)
        rows = spending.report(session, first=first, last=last)
    month = f"{first:%Y-%m}"
    headers = {"Content-Disposition": f'attachment; filename="parley-cost-{month}.csv"'}
    return current_app.response_class(_as_csv(month, rows), mimetype="text/csv", headers=headers)


def _as_csv(month: str, rows: Any) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow((*_COLUMNS, "unpriced_calls"))
    for row in rows:
        numbers = [row[name] for name in ("calls", "prompt_tokens", "completion_tokens")]
        cost = prices.wire(row["cost"]) or ""
        words = (month, cell(row["owner"]), cell(row["model"]))
        writer.writerow((*words, *numbers, cost, _prices().currency, row["unpriced_calls"]))
    return lines.getvalue()


def cell(words: str) -> str:
    """Text for a cell, which no spreadsheet takes for a formula.

    >>> cell("gpt-4o"), cell("=cmd|' /C calc'!A0"), cell("-1")
    ('gpt-4o', "'=cmd|' /C calc'!A0", "'-1")
    """
    return f"'{words}" if words.startswith(FORMULAS) else words


def _days_of(day: dt.date) -> tuple[dt.date, dt.date]:
    """The first and the last day of its month."""
    return day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _sums(row: Sums) -> dict[str, Any]:
    return {
        "calls": row["calls"],
        "promptTokens": row["prompt_tokens"],
        "completionTokens": row["completion_tokens"],
        "cost": prices.wire(row["cost"]),
        "unpricedCalls": row["unpriced_calls"],
    }


def _budget(allowed: Budgets | None, purse: Purse | None) -> dict[str, Any] | None:
    if allowed is None or purse is None:
        return None
    return {
        "day": prices.wire(allowed.day),
        "ownerDay": prices.wire(allowed.owner_day),
        "reserved": prices.wire(purse.reserved),
        "usedUp": purse.is_empty,
        "ownersUsedUp": len(purse.empty),
    }


def _prices() -> Prices:
    return _settings().prices


def _settings() -> Settings:
    ours: Settings = current_app.config["SETTINGS"]
    return ours

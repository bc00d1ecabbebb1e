"""What calls cost, as callers and operators see it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.cost_schemas import CostSchema, UsagePageSchema
from api.job_schemas import JobSchema
from models import owners, snapshots
from models.attempts import Outcome
from models.base import Session
from tests.api.conftest import OPERATOR
from tests.factories import a_user, ask, claim, create, record, signed_in

Headers = dict[str, str]
PRICED: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 1, "price_version": "7"}
FAILED: dict[str, Any] = {"outcome": Outcome.RETRIED, "error_code": "provider_cut", "error_message": "Cut."}


def tried(owner: str, *costs: str | None) -> str:
    """A job with attempts that cost so much, the last of which completed it."""
    job_id = create(owner=owner)
    for number, cost in enumerate(costs):
        claimed = claim(job_id, expected=number)
        assert claimed
        assert ask(claimed)
        how: dict[str, Any] = FAILED if number < len(costs) - 1 else {"text": "So."}
        assert record(claimed, **PRICED, cost=cost and Decimal(cost), **how)
        with Session.begin() as session:
            session.execute(text("UPDATE jobs SET due = true"))
    return job_id


def on(day: str, owner: str, cost: str | None, *, model: str = "m") -> None:
    """A day's spending."""
    with Session.begin() as session:
        session.execute(
            text("INSERT INTO spending VALUES (:owner, :day, :model, 1, 10, 1, CAST(:cost AS numeric), :unpriced)"),
            {"owner": owner, "day": day, "model": model, "cost": cost, "unpriced": int(cost is None)},
        )


def test_a_job_shows_what_each_attempt_cost_and_all_of_them(client: FlaskClient) -> None:
    """Failed ones included; `usage` is that of the attempt that completed it, as before."""
    job_id = tried("address:127.0.0.1", "0.0000100", None, "0.25")

    job = client.get(f"/api/jobs/{job_id}").get_json()

    assert JobSchema().validate(job) == {}
    assert job["cost"] == "0.25001"
    assert [attempt["cost"] for attempt in job["attempts"]] == ["0.00001", None, "0.25"]
    assert job["usage"] == {"promptTokens": 10, "completionTokens": 1, "totalTokens": 11}


def test_a_job_of_no_known_price_costs_null_and_not_nought(client: FlaskClient) -> None:
    """Nor does one that nobody has begun."""
    ids = tried("address:127.0.0.1", None), create()

    assert [client.get(f"/api/jobs/{job_id}").get_json()["cost"] for job_id in ids] == [None, None]


def test_ones_own_usage_comes_by_the_day_and_pages_end(app: Flask, client: FlaskClient) -> None:
    """Nobody else's is among it."""
    user_id = a_user()
    headers = signed_in(user_id)
    for number in range(1, 4):
        on(f"2026-06-0{number}", owners.of_user(user_id), f"0.{number}")
    on("2026-06-02", owners.of_user(a_user()), "9")

    first = client.get("/api/me/usage?limit=2", headers=headers).get_json()
    second = client.get(f"/api/me/usage?limit=2&cursor={first['nextCursor']}", headers=headers).get_json()

    assert UsagePageSchema().validate(first) == {}
    assert [(item["day"], item["cost"]) for item in (*first["items"], *second["items"])] == [
        ("2026-06-03", "0.3"),
        ("2026-06-02", "0.2"),
        ("2026-06-01", "0.1"),
    ]
    assert (first["nextCursor"], second["nextCursor"]) == ("2026-06-02", None)


@pytest.mark.parametrize("query", ["cursor=yesterday", "cursor=2026-02-30", "limit=0", "limit=101", "more=1"])
def test_a_page_that_cannot_be_is_refused(app: Flask, client: FlaskClient, query: str) -> None:
    """With 422, and never 500."""
    assert client.get(f"/api/me/usage?{query}", headers=signed_in(a_user())).status_code == 422


def test_the_operator_sees_what_is_spent_today_on_what_and_by_whom(client: FlaskClient, operator: Headers) -> None:
    """In the month as well; what is not known is said apart; and that one has looked is on record."""
    tried("user:a", "0.5", "1")
    tried("user:b", "2")
    tried("user:c", None)
    on("2020-01-01", "user:a", "100")

    seen = client.get("/api/cost?limit=2", headers=operator).get_json()

    assert CostSchema().validate(seen) == {}
    sums = {"calls": 4, "promptTokens": 40, "completionTokens": 4, "cost": "3.5", "unpricedCalls": 1}
    assert (seen["today"], seen["month"]) == (sums, sums)
    assert seen["byModel"] == [{"model": "some-model", "priceVersion": None, **sums}]
    assert [(row["owner"], row["cost"]) for row in seen["byOwner"]] == [("user:b", "2"), ("user:a", "1.5")]
    with Session() as session:
        assert session.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'cost_read'")) == 1


def test_the_report_of_a_month_is_a_table_that_no_spreadsheet_computes(client: FlaskClient, operator: Headers) -> None:
    """A model's name is whatever somebody has set; a quote or a line's end in it does not break the table."""
    on("2026-06-30", "user:a", "2.50", model="=HYPERLINK(1)")
    on("2026-06-01", "user:b", None, model='say "a",\nb')
    on("2026-07-01", "user:a", "100")

    response = client.get("/api/cost/report.csv?month=2026-06", headers=operator)

    assert response.mimetype == "text/csv"
    assert "parley-cost-2026-06.csv" in response.headers["Content-Disposition"]
    assert list(csv.DictReader(io.StringIO(response.get_data(as_text=True), newline=""))) == [
        {**LINE, "owner": "user:a", "model": "'=HYPERLINK(1)", "cost": "2.5", "unpriced_calls": "0"},
        {**LINE, "owner": "user:b", "model": 'say "a",\nb', "cost": "", "unpriced_calls": "1"},
    ]


LINE = {"month": "2026-06", "calls": "1", "prompt_tokens": "10", "completion_tokens": "1", "currency": "USD"}


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
def test_whatever_a_spreadsheet_would_compute_gets_an_apostrophe(
    client: FlaskClient, operator: Headers, begins: str
) -> None:
    """OWASP's list of how a formula begins."""
    on("2026-06-30", f"{begins}1", "1")

    lines = client.get("/api/cost/report.csv?month=2026-06", headers=operator).get_data(as_text=True)

    assert next(csv.DictReader(io.StringIO(lines, newline="")))["owner"] == f"'{begins}1"


@pytest.mark.parametrize("month", ["2026-13", "2026-6", "1999-01", "2026-06-01", "x", ""])
def test_a_month_that_cannot_be_is_refused(client: FlaskClient, operator: Headers, month: str) -> None:
    """With a code."""
    response = client.get("/api/cost/report.csv", query_string={"month": month}, headers=operator)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["code"] == "invalid_month"


def test_a_month_in_which_nothing_was_spent_is_a_table_of_no_lines(client: FlaskClient, operator: Headers) -> None:
    """This month, if none is named."""
    lines = client.get("/api/cost/report.csv", headers=operator).get_data(as_text=True).splitlines()

    assert lines == ["month,owner,model,calls,prompt_tokens,completion_tokens,cost,currency,unpriced_calls"]


def test_the_currency_is_that_of_the_price_table(make_app: Callable[..., Flask], tmp_path: Any) -> None:
    """Of whoever runs it."""
    path = tmp_path / "prices.toml"
    path.write_text('currency = "EUR"\n[models]\n')
    app = make_app(prices_file=str(path))

    assert app.test_client().get("/api/me/usage", headers=signed_in(a_user())).get_json()["currency"] == "EUR"


def test_the_operator_sees_how_the_budget_stands(make_app: Callable[..., Flask], operator: Headers) -> None:
    """What is reserved, and for how many nothing is left; null, where there is none."""
    tried("user:a", "0.5")
    apps = [make_app(admin_token=OPERATOR, **more) for more in ({}, {"budget_day": "5.00", "budget_owner_day": "0.5"})]

    budgets = [app.test_client().get("/api/cost", headers=operator).get_json()["budget"] for app in apps]

    assert budgets == [None, {"day": "5", "ownerDay": "0.5", "reserved": "0", "usedUp": False, "ownersUsedUp": 1}]


@pytest.mark.parametrize(
    ("standing", "reasons"),
    [
        ({"all": False, "owners": ["user:poor"]}, ["budget", "behind"]),
        ({"all": True, "owners": []}, ["budget", "budget"]),
        (None, ["behind", "behind"]),
    ],
)
def test_a_job_that_waits_for_a_budget_says_so(
    client: FlaskClient, operator: Headers, standing: dict[str, Any] | None, reasons: list[str]
) -> None:
    """Nobody can say for how long."""
    ids = create(owner="user:poor"), create(owner="user:rich")
    with Session.begin() as session:
        snapshots.take_backlog(session, budget=standing)

    jobs = [client.get(f"/api/jobs/{job_id}", headers=operator).get_json() for job_id in ids]

    assert [job["waitReason"] for job in jobs] == reasons
    assert all(JobSchema().validate(job) == {} for job in jobs)


@pytest.mark.parametrize(("action", "status"), [("refuse", 402), ("wait", 201)])
def test_jobs_are_refused_only_where_somebody_wants_that(
    make_app: Callable[..., Flask], action: str, status: int
) -> None:
    """Else they are stored, and wait for tomorrow. Others are not concerned."""
    client = make_app(budget_action=action).test_client()
    with Session.begin() as session:
        snapshots.take_backlog(session, budget={"all": False, "owners": ["address:192.0.2.1"]})

    answers = [
        client.post("/api/jobs", json={"message": "Hello"}, environ_base={"REMOTE_ADDR": address})
        for address in ("192.0.2.1", "192.0.2.2")
    ]

    assert [answer.status_code for answer in answers] == [status, 201]
    assert (answers[0].get_json().get("code") == "budget_used") == (status == 402)

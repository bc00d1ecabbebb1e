"""The dashboard's numbers: the same as everywhere else, and for operators alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api import dashboard_page, installation
from api.dashboard_schemas import DashboardHistorySchema, DashboardSchema
from models import figures, heartbeats, reports
from models.base import Session
from models.reports import Reporter
from models.settings import Settings
from models.states import JobStatus
from tasks.sampler import Sampler
from tests.api.conftest import OPERATOR
from tests.conftest import ROOT
from tests.factories import a_job

NOW, HISTORY = "/api/dashboard", "/api/dashboard/history"
Headers = dict[str, str]
EVERY = 300


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks the database."""
    monkeypatch.setattr(installation, "KEPT_SECONDS", 0.0)


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    """An application whose samples tell of five minutes, so that no test lasts into the next."""
    return make_app(admin_token=OPERATOR, sample_seconds=EVERY, budget_day="5").test_client()


def metrics(client: FlaskClient, headers: Headers) -> Mapping[str, Metric]:
    page = client.get("/metrics", headers=headers).get_data(as_text=True)
    return {family.name: family for family in text_string_to_metric_families(page)}


def total(found: Mapping[str, Metric], family: str, sample: str = "", **labels: str) -> float:
    """Of the samples with these labels."""
    name = sample or family
    return sum(s.value for s in found[family].samples if s.name == name and s.labels.items() >= labels.items())


def sql(statement: str) -> Any:
    with Session() as session:
        return session.scalar(text(statement))


def test_the_numbers_are_those_of_the_metrics_and_of_the_database(
    client: FlaskClient, operator: Headers, db: Settings
) -> None:
    """Three places that are asked in three ways; whoever compares them at night must find no difference."""
    reporter = Reporter(db, kind="api")
    before = metrics(client, operator)
    for status in (JobStatus.CREATED, JobStatus.RETRYING, JobStatus.ANALYZING, JobStatus.FAILED, JobStatus.COMPLETED):
        a_job(status=status)
    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="one", slots=7)
        session.execute(text("UPDATE jobs SET due = true, next_attempt_at = clock_timestamp() - interval '90 seconds'"))
        session.execute(
            text("UPDATE jobs SET finished_at = finished_at - interval '9 s' WHERE finished_at IS NOT NULL")
        )
        session.execute(text("INSERT INTO breakers (model) VALUES ('some-model')"))
        session.execute(
            text("""
                INSERT INTO spending SELECT 'user:x', CAST(now() AT TIME ZONE 'UTC' AS date), 'some-model', 3, 10, 20,
                0.25, 1
            """)
        )
    for _ in range(5):
        client.get(f"/api/jobs/{a_job(status=JobStatus.CANCELLED)}")
    client.get("/api/nothing-there")
    reporter.report()
    counted = metrics(client, operator)
    Sampler(every=EVERY).tick()

    now = client.get(NOW, headers=operator).get_json()
    found = metrics(client, operator)

    assert DashboardSchema().validate(json.loads(json.dumps(now))) == {}
    waiting = "SELECT count(*) FROM jobs WHERE status IN ('created', 'retrying')"
    running = "SELECT count(*) FROM jobs WHERE status IN ('processing', 'analyzing')"
    assert now["queue"]["waiting"] == sql(waiting) == 2
    assert now["queue"]["running"] == sql(running) == 1
    assert total(found, "parley_jobs") == 3
    assert now["queue"]["oldest"] == pytest.approx(total(found, "parley_oldest_waiting_seconds"), abs=30)
    assert now["queue"]["oldest"] >= 90
    assert now["deadLetters"]["count"] == total(found, "parley_dead_letters") == 1
    assert now["processes"] == {"worker": total(found, "parley_processes", kind="worker")} == {"worker": 1}
    assert now["slots"] == total(found, "parley_worker_slots") == 7
    assert now["models"] == [
        {"model": "some-model", "state": "closed", "retrySeconds": None, "calls": None, "failedCalls": None}
    ]
    assert Decimal(now["cost"]["today"]) == sql("SELECT sum(cost) FROM spending") == Decimal("0.25")
    assert now["cost"] == {"currency": "USD", "today": "0.25", "unpricedCalls": 1, "budget": "5"}
    recent, requests = now["recent"], "parley_http_requests"
    grown = sum(
        total(each, requests, f"{requests}_total", route="/api/jobs/<string:job_id>") * sign
        for each, sign in ((counted, 1), (before, -1))
    )
    assert recent["requestRate"] * recent["seconds"] == pytest.approx(grown)
    assert grown == 5
    assert recent["heard"] == {"api": 1}
    assert recent["errorShare"] == 0
    assert recent["finishedRate"] * recent["seconds"] == pytest.approx(
        sql("SELECT count(*) FROM jobs WHERE status IN ('completed', 'failed')")
    )
    assert recent["failedShare"] == 0.5
    assert sum(bucket["share"] for bucket in recent["latency"]) == pytest.approx(1)
    assert 0 < recent["latencyP50"] <= recent["latencyP99"]
    assert recent["sockets"] is None  # no gateway has reported
    assert now["activity"]["jobs"] == sql("SELECT count(*) FROM jobs") == 10
    assert now["activity"]["owners"] == total(found, "parley_active_owners") == 1
    assert total(found, "parley_owner_jobs", quantile="1.0") == 10
    [moment] = client.get(HISTORY, headers=operator).get_json()["items"]
    shared = moment.keys() & recent.keys()
    assert {name: moment[name] for name in shared} == {name: recent[name] for name in shared}
    assert moment["waiting"] == 2
    assert moment["cost"] == 0.25


def test_the_page_comes_with_its_numbers_in_it(client: FlaskClient, operator: Headers) -> None:
    """For whoever runs no scripts. In the page that is everybody's there is none."""
    for _ in range(12):
        a_job()
    with client.get("/dashboard") as opened:
        bare = opened.get_data(as_text=True)

    response = client.get("/dashboard/numbers", headers=operator)
    page = response.get_data(as_text=True)

    assert response.headers["Cache-Control"] == "no-store"
    places = re.findall(r'data-figure="(\w+)">([^<]*)<', page)
    assert dict(places)["waiting"] == "12"
    assert dict(places)["sockets"] == "unknown"
    assert {name for name, _ in places} == set(dashboard_page.FIGURES)
    assert 'id="board" hidden' not in page
    assert set(re.findall(r'data-figure="\w+">([^<]*)<', bare)) == {"unknown"}
    script = (ROOT / "static/js/dashboard/numbers.js").read_text()
    assert {name for name, _ in places} == set(re.findall(r"^  (\w+): \(\{", script, re.MULTILINE))


def test_without_a_sampler_what_it_counts_is_unknown(client: FlaskClient, operator: Headers) -> None:
    """A figure of an hour ago would look like one of now. What the database knows is there all the same."""
    a_job()
    Sampler(every=EVERY).tick()
    assert client.get(NOW, headers=operator).get_json()["recent"] is not None
    with Session.begin() as session:
        session.execute(text("UPDATE samples SET until = until - interval '1 hour'"))

    now = client.get(NOW, headers=operator).get_json()

    assert now["recent"] is None
    assert now["activity"] is None
    assert now["queue"]["waiting"] == 1


def test_the_history_has_the_moments_of_its_range(client: FlaskClient, operator: Headers) -> None:
    """The oldest first, and none that were before."""
    Sampler(every=EVERY).tick()
    with Session.begin() as session:
        session.execute(
            text("""
                INSERT INTO samples SELECT span, at - make_interval(secs => CASE span WHEN '1h' THEN 1800 WHEN '24h'
                THEN 80000 ELSE 600000 END * times), until, body FROM samples, generate_series(1, 3) AS times
            """)
        )

    for name, step in (("1h", EVERY), ("24h", 300), ("7d", 1800)):
        history = client.get(f"{HISTORY}?range={name}", headers=operator).get_json()
        assert DashboardHistorySchema().validate(history) == {}
        assert history["stepSeconds"] == step
        times = [moment["at"] for moment in history["items"]]
        assert times == sorted(times)
        assert len(times) == 2
    assert client.get(HISTORY, headers=operator).get_json()["range"] == "1h"


@pytest.mark.parametrize("query", ["?range=1y", "?range=", "?span=1h", "?range=7d&limit=9"])
def test_a_range_that_is_none_is_refused(client: FlaskClient, operator: Headers, query: str) -> None:
    """With a code, and not with the usual one."""
    response = client.get(HISTORY + query, headers=operator)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["code"] in ("unknown_range", "unknown_field")


def test_without_a_database_there_is_no_number(
    client: FlaskClient, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 with a time to come back, as everywhere."""

    def lost(_: object) -> None:
        raise PoolTimeout

    monkeypatch.setattr(figures, "read", lost)

    assert client.get(NOW, headers=operator).status_code == 503


def test_a_report_of_a_process_with_an_odd_clock_does_no_harm(client: FlaskClient, operator: Headers) -> None:
    """Reports carry the database's time, so there is nothing a process's own clock could shift."""
    with Session.begin() as session:
        reports.hand_in(session, kind="gateway", instance="one", counts={}, gauges={"sockets": 4})
        session.execute(text("UPDATE reports SET reported_at = reported_at - interval '2 hours'"))
        reports.hand_in(session, kind="gateway", instance="two", counts={}, gauges={"sockets": 3})
    Sampler(every=EVERY).tick()

    assert client.get(NOW, headers=operator).get_json()["recent"]["sockets"] == 3

"""What Prometheus reads, and who else may."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session as OrmSession
from werkzeug.test import TestResponse

import tasks.metrics
from api import installation
from api.gateway import counts
from api.gateway.metrics import GatewayFigures
from api.installation import Installation
from models import figures, heartbeats, metrics, otlp
from models.base import Session
from models.figures import Figures
from models.metrics import REGISTRY, Words
from models.states import JobStatus
from tasks.sampler import Sampler
from tests.api.conftest import OPERATOR
from tests.factories import a_job, bearer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "a-scrapers-token-of-32-letters-1"


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape of a test asks the database."""
    monkeypatch.setattr(installation, "KEPT_SECONDS", 0.0)


@pytest.fixture
def scraped(make_app: Callable[..., Flask]) -> FlaskClient:
    """An application with a token for metrics."""
    return make_app(admin_token=OPERATOR, metrics_token=TOKEN).test_client()


def scrape(client: FlaskClient) -> dict[str, Metric]:
    """What a scraper gets, by the name of the family."""
    return families(client.get("/metrics", headers=bearer(TOKEN)))


def families(response: TestResponse) -> dict[str, Metric]:
    assert response.status_code == 200
    return {each.name: each for each in text_string_to_metric_families(response.get_data(as_text=True))}


def value(found: Mapping[str, Metric], family: str, sample: str = "", **labels: str) -> float | None:
    """Of the one sample with these labels."""
    samples = found[family].samples
    return next((s.value for s in samples if s.name == (sample or family) and s.labels.items() >= labels.items()), None)


def test_the_token_opens_the_metrics_and_nothing_else(scraped: FlaskClient) -> None:
    """It lies on the machine of a Prometheus, which has no business with jobs."""
    assert scraped.get("/metrics", headers=bearer(TOKEN)).status_code == 200
    assert scraped.get("/metrics", headers=bearer(OPERATOR)).status_code == 200
    assert scraped.get("/metrics", headers=bearer(TOKEN + "x")).status_code == 401
    assert scraped.get("/metrics").status_code == 401
    for path in ("/api/dead-letters", "/api/me", "/api/jobs"):
        assert scraped.get(path, headers=bearer(TOKEN)).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic ", "bearer\t", "Bearer \xff"])
def test_no_token_is_not_an_empty_one(client: FlaskClient, header: str) -> None:
    """Whoever has not set it has left no door open."""
    assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_a_request_is_counted_by_the_pattern_of_its_route(scraped: FlaskClient) -> None:
    """So that a job is not a series."""
    labels = {"method": "GET", "route": "/api/jobs/<string:job_id>"}
    before = scrape(scraped)
    scraped.get(f"/api/jobs/{a_job()}")
    scraped.get("/api/jobs/nothing-of-the-kind")
    after = scrape(scraped)

    def grown(family: str, sample: str, **more: str) -> float:
        return (value(after, family, sample, **labels, **more) or 0) - (
            value(before, family, sample, **labels, **more) or 0
        )

    assert grown("parley_http_requests", "parley_http_requests_total", status="200") == 1
    assert grown("parley_http_requests", "parley_http_requests_total", status="404") == 1
    seconds = "parley_http_request_duration_seconds"
    assert grown(seconds, f"{seconds}_count") == 2
    assert 0 < grown(seconds, f"{seconds}_sum") < 10


def test_who_asked_to_wait_does_not_count_as_slow(scraped: FlaskClient) -> None:
    """It was counted, but an answer that took as long as it was asked to says nothing of this process."""
    labels, family = {"method": "GET", "route": "/api/jobs/<string:job_id>"}, "parley_http_request_duration_seconds"
    done = a_job(status=JobStatus.COMPLETED)
    before = scrape(scraped)
    assert scraped.get(f"/api/jobs/{done}", headers={"Prefer": "wait=1"}).headers["Preference-Applied"]
    after = scrape(scraped)

    def timed(found: Mapping[str, Metric]) -> float:
        return value(found, family, f"{family}_count", **labels) or 0

    assert timed(after) == timed(before)


def test_ten_thousand_hostile_requests_make_no_series(scraped: FlaskClient) -> None:
    """Paths, methods and headers are written by whoever calls."""

    def series() -> int:
        return sum(len(family.samples) for family in REGISTRY.collect())

    def ask(number: int) -> None:
        scraped.open(f"/{number}{{}}\"'%0a", method=f"M{number}")

    ask(0)
    scraped.get("/nothing")
    before = series()
    for number in range(100):
        ask(number)
    words = Words(["known"], most=50)
    folded = {words.fold(f"model-{number}") for number in range(10_000)}

    assert series() == before
    assert len(folded) == 50
    assert words.fold("known") == "known"
    assert Words(["known"]).fold("another") == metrics.OTHER


def test_the_figures_of_the_database_are_what_is_stored(scraped: FlaskClient) -> None:
    """Queue, dead letters, processes."""
    for status in (JobStatus.CREATED, JobStatus.CREATED, JobStatus.ANALYZING, JobStatus.FAILED, JobStatus.COMPLETED):
        a_job(status=status)
    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="one", slots=7)
        session.execute(text("UPDATE jobs SET due = true, next_attempt_at = clock_timestamp() - interval '90 seconds'"))
        session.execute(
            text("UPDATE jobs SET finished_at = clock_timestamp() - interval '1 hour' WHERE status = 'failed'")
        )
        session.execute(text("INSERT INTO breakers (model) VALUES ('some-model')"))

    found = scrape(scraped)

    assert value(found, "parley_database_up") == 1
    assert value(found, "parley_jobs", status="created", type="chat", queue_class="interactive") == 2
    assert value(found, "parley_jobs", status="analyzing") == 1
    assert value(found, "parley_jobs", status="completed") is None
    assert 90 <= (value(found, "parley_oldest_waiting_seconds", queue_class="interactive") or 0) < 120
    assert value(found, "parley_dead_letters") == 1
    assert 3600 <= (value(found, "parley_oldest_dead_letter_seconds") or 0) < 3660
    assert value(found, "parley_breaker_state", model="some-model", state="closed") == 1
    assert value(found, "parley_breaker_state", model="some-model", state="open") == 0
    assert value(found, "parley_processes", kind="worker") == 1
    assert value(found, "parley_worker_slots") == 7
    assert (value(found, "parley_heartbeat_age_seconds", kind="worker") or 99) < 10
    assert (value(found, "parley_database_connections", process="api") or 0) >= 1
    assert (value(found, "parley_database_bytes") or 0) > 1_000_000
    assert 0 < (value(found, "parley_disk_free_bytes") or 0) <= (value(found, "parley_disk_size_bytes") or 0)
    assert (value(found, "process_resident_memory_bytes") or 0) > 1_000_000
    assert (value(found, "process_cpu_seconds", "process_cpu_seconds_total") or 0) > 0
    assert (value(found, "process_open_fds") or 0) > 3


def test_a_scrape_without_a_database_says_so(scraped: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows no figure of before, which would look like a good one; what this process counts is there."""
    scrape(scraped)
    monkeypatch.setattr(figures, "read", lost)

    found = scrape(scraped)

    assert value(found, "parley_database_up") == 0
    assert "parley_jobs" not in found
    assert "parley_http_requests" in found


def lost(_: OrmSession) -> Figures:
    raise PoolTimeout


def test_the_database_is_asked_once_however_many_scrape(
    tmp_path: pathlib.Path, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that is reloaded must not be a load."""
    monkeypatch.setattr(installation, "KEPT_SECONDS", 60.0)
    asked: list[object] = []
    read = figures.read

    def counted(session: OrmSession) -> Figures:
        asked.append(session)
        return read(session)

    monkeypatch.setattr(figures, "read", counted)
    ours = Installation(tmp_path)

    for _ in range(3):
        list(ours.collect())

    assert len(asked) == 1


def test_a_job_that_moves_is_counted_once_it_has(scraped: FlaskClient) -> None:
    """By its new status; what was rolled back has not happened."""
    job_id = a_job()
    before = value(scrape(scraped), "parley_jobs_moved", "parley_jobs_moved_total", status="cancelled") or 0
    scraped.delete(f"/api/jobs/{job_id}")
    after = value(scrape(scraped), "parley_jobs_moved", "parley_jobs_moved_total", status="cancelled") or 0

    assert after - before == 1


def test_every_metric_stands_in_the_reference_and_every_one_there_exists(scraped: FlaskClient) -> None:
    """Whoever builds a board looks it up there: name, kind and labels."""
    assert counts.DELIVERED
    assert tasks.metrics.ATTEMPTS
    assert otlp.SPANS
    a_job()
    Sampler(every=15).tick()  # counts the day's jobs
    standing: Any = SimpleNamespace(sockets=(), users=(), rooms=(), is_up=True, lag_seconds=0.0)
    gateways = GatewayFigures(standing, standing).collect()
    shown = scrape(scraped) | {each.name: each for each in gateways}
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) ?\| ", page, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    kinds = {f"{name}_total" if each.type == "counter" else name: each.type for name, each in shown.items()}

    assert {name: kind for name, (kind, _) in documented.items()} == kinds
    for name, family in shown.items():
        labels = documented.get(name, documented.get(f"{name}_total"))
        assert labels is not None
        assert all(set(sample.labels) - {"le"} == labels[1] for sample in family.samples), name

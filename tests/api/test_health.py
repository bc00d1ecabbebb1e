"""What probes are told."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text

from api.app import create_app
from models import dead_letters, heartbeats
from models.base import Session
from models.live import broker
from models.settings import Settings
from models.states import JobStatus
from tests.factories import a_job, now


def beat(*kinds: str, silent_for: int = 0) -> None:
    with Session.begin() as session:
        for kind in kinds:
            heartbeats.beat(session, kind=kind, instance="one", slots=4)
        session.execute(text("UPDATE heartbeats SET seen_at = seen_at - make_interval(secs => :s)"), {"s": silent_for})


def test_health_says_exactly_four_things_and_touches_nothing(client: FlaskClient) -> None:
    """A process that answers need not be restarted, whatever else is broken."""
    engine = Session.kw["bind"]
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    body = client.get("/health").get_json()
    live = client.get("/health/live")

    assert set(body) == {"status", "timestamp", "uptime", "environment"}
    assert (body["status"], body["environment"]) == ("healthy", "test")
    assert isinstance(body["uptime"], int)
    assert body["timestamp"].endswith("Z")
    assert live.status_code == 200
    assert statements == []


def test_ready_waits_for_a_dispatcher_and_a_worker_to_report_once(client: FlaskClient) -> None:
    """Before that nothing would be answered."""
    before = client.get("/health/ready")
    beat(heartbeats.DISPATCHER)
    half = client.get("/health/ready")
    beat(heartbeats.WORKER)
    whole = client.get("/health/ready")

    assert [before.status_code, half.status_code, whole.status_code] == [503, 503, 200]
    assert half.get_json()["components"]["worker"]["status"] == "never"
    assert whole.get_json()["status"] == "ready"


def test_ready_counts_the_dead_letters_and_is_not_red_for_them(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many, how old the oldest is; above a bound it only says that there are more."""
    beat(heartbeats.DISPATCHER, heartbeats.WORKER)
    none = client.get("/health/ready").get_json()["components"]["deadLetters"]
    for minutes in (1, 2, 60):
        moment = now() - dt.timedelta(minutes=minutes)
        a_job(status=JobStatus.FAILED, finished_at=moment, discarded_at=moment if minutes == 60 else None)
    some = client.get("/health/ready")
    monkeypatch.setattr(dead_letters, "COUNTED", 1)
    many = client.get("/health/ready").get_json()["components"]["deadLetters"]

    assert none == {"status": "up", "count": 0, "atLeast": False, "oldestSeconds": None}
    assert (some.status_code, some.get_json()["status"]) == (200, "ready")
    assert some.get_json()["components"]["deadLetters"] == {
        "status": "up",
        "count": 2,
        "atLeast": False,
        "oldestSeconds": pytest.approx(120, abs=2),
    }
    assert (many["count"], many["atLeast"]) == (1, True)


def test_the_later_loss_of_a_worker_is_a_degradation_and_not_a_refusal(client: FlaskClient) -> None:
    """Jobs are still accepted, and nothing accepted is lost."""
    beat(heartbeats.DISPATCHER, heartbeats.WORKER, silent_for=30)

    response = client.get("/health/ready")

    assert (response.status_code, response.get_json()["status"]) == (200, "degraded")
    assert response.get_json()["components"]["worker"] == {
        "status": "silent",
        "lastSeenSeconds": pytest.approx(30, abs=2),
    }


@pytest.mark.usefixtures("db")
def test_a_lost_redis_is_a_degradation_and_not_a_refusal(db: Settings) -> None:
    """It holds hints and what is live, nothing that is true."""
    beat(heartbeats.DISPATCHER, heartbeats.WORKER)
    app = create_app(dataclasses.replace(db, redis_url="redis://127.0.0.1:1/0"))

    response = app.test_client().get("/health/ready")

    assert (response.status_code, response.get_json()["components"]["redis"]) == (200, {"status": "down"})


@pytest.mark.usefixtures("db")
def test_a_lost_rabbitmq_is_a_degradation_too_and_is_not_asked_by_every_probe(
    db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it carries the hints; elsewhere it is not spoken of."""
    beat(heartbeats.DISPATCHER, heartbeats.WORKER)
    asked: list[float] = []
    monkeypatch.setattr(broker, "answers", lambda _, *, seconds: asked.append(seconds))
    client = create_app(dataclasses.replace(db, celery_broker_url="amqp://127.0.0.1:1")).test_client()

    first, second = (client.get("/health/ready") for _ in range(2))
    without = create_app(db).test_client().get("/health/ready")

    assert (first.status_code, first.get_json()["status"]) == (200, "degraded")
    assert first.get_json()["components"]["broker"] == second.get_json()["components"]["broker"] == {"status": "down"}
    assert len(asked) == 1
    assert "broker" not in without.get_json()["components"]


def test_a_lost_database_is_a_refusal_and_says_nothing_secret(db: Settings) -> None:
    """Ready is red, live stays green, and a request is told to come back."""
    nowhere = dataclasses.replace(db, database_url="postgresql+psycopg2://parley:hush@127.0.0.1:1/x")
    app = create_app(nowhere).test_client()
    try:
        began = time.monotonic()
        ready, live = app.get("/health/ready"), app.get("/health/live")
        posted = app.post("/api/jobs", json={"message": "x"})
        took = time.monotonic() - began
    finally:
        create_app(db)

    assert [ready.status_code, live.status_code, posted.status_code] == [503, 200, 503]
    assert posted.get_json()["code"] == "database_unavailable"
    assert int(posted.headers["Retry-After"]) >= 1
    assert "hush" not in ready.text + posted.text
    assert took < 10


def test_a_process_that_stops_is_not_ready(db: Settings) -> None:
    """So that a load balancer looks elsewhere while the last answers go out."""
    beat(heartbeats.DISPATCHER, heartbeats.WORKER)
    app = create_app(db, stopping=lambda: True)

    assert app.test_client().get("/health/ready").status_code == 503

"""What callers and probes are told while a model is out of order."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from models import breakers, heartbeats, snapshots
from models.base import Session
from models.breakers import BreakerState, Change
from models.jobs import QueueClass
from models.states import JobStatus
from tests.factories import a_job


@pytest.mark.parametrize(
    ("fallback", "paused_from", "reason", "eta"),
    [(0, 0, "breaker_open", None), (0, None, "behind", 1), (0, 1, "behind", 1), (1, 1, "breaker_open", None)],
)
def test_a_job_that_waits_for_a_breaker_says_so(
    client: FlaskClient, fallback: int, paused_from: int | None, reason: str, eta: int | None
) -> None:
    """Nobody can say for how long; one that another model may answer waits for its turn."""
    job_id = a_job(fallback=fallback)
    for _ in range(30):
        a_job(status=JobStatus.COMPLETED)
    with Session.begin() as session:
        snapshots.take(session, QueueClass.INTERACTIVE, share=100, paused_from=paused_from)

    job = client.get(f"/api/jobs/{job_id}").get_json()

    assert (job["waitReason"], job["etaSeconds"], job["queuePosition"]) == (reason, eta, 1)


def test_an_open_breaker_is_a_degradation_and_not_a_refusal(client: FlaskClient) -> None:
    """Jobs are accepted; which model, and when it is tried again, is said."""
    with Session.begin() as session:
        for kind in (heartbeats.DISPATCHER, heartbeats.WORKER):
            heartbeats.beat(session, kind=kind, instance="one", slots=4)
        breakers.keep(session, ["first", "second", "third"])
    before = client.get("/health/ready").get_json()
    with Session.begin() as session:
        first, second, _ = breakers.seen(session)
        breakers.change(session, first, Change(to=BreakerState.OPEN, open_seconds=60, wait_seconds=60))
        breakers.change(session, second, Change(to=BreakerState.OPEN, open_seconds=10, wait_seconds=9.5))

    during = client.get("/health/ready")

    assert (before["status"], before["components"]["model"]) == ("ready", {"status": "up"})
    assert (during.status_code, during.get_json()["status"]) == (200, "degraded")
    assert during.get_json()["components"]["model"] == {
        "status": "open",
        "retrySeconds": 10,
        "models": ["first", "second"],
    }


def test_a_probe_under_way_has_nothing_left_to_wait_for(client: FlaskClient) -> None:
    """The model still counts as out of order."""
    with Session.begin() as session:
        breakers.keep(session, ["m"])
        (found,) = breakers.seen(session)
        half_open = Change(to=BreakerState.HALF_OPEN, open_seconds=10, probe=(a_job(), 1))
        breakers.change(session, found, half_open)

    model = client.get("/health/ready").get_json()["components"]["model"]

    assert model == {"status": "open", "retrySeconds": 0, "models": ["m"]}

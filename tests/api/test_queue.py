"""Where a job stands, why it waits, and when no more are accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import queue
from models import snapshots
from models.base import Session
from models.jobs import QueueClass
from models.states import JobStatus
from tests.factories import a_job, count_jobs

Limited = Callable[..., FlaskClient]


def snapshot(*, share: int = 100) -> None:
    with Session.begin() as session:
        snapshots.take_backlog(session)
        for each in QueueClass:
            snapshots.take(session, each, share=share)


def place(client: FlaskClient, job_id: str) -> dict[str, Any]:
    job = client.get(f"/api/jobs/{job_id}").get_json()
    return {name: job[name] for name in ("queuePosition", "etaSeconds", "waitReason")}


@pytest.fixture
def limited(make_app: Callable[..., Flask]) -> Limited:
    """An API with limits of its own."""
    return lambda **limits: make_app(**limits).test_client()


def test_a_waiting_job_shows_its_place_and_when_its_turn_should_come(client: FlaskClient) -> None:
    """At the rate of the last half minute, rounded up."""
    first, second = a_job(), a_job()
    for _ in range(15):
        a_job(status=JobStatus.COMPLETED)
    snapshot()

    assert place(client, first) == {"queuePosition": 1, "etaSeconds": 2, "waitReason": "behind"}
    assert place(client, second) == {"queuePosition": 2, "etaSeconds": 4, "waitReason": "behind"}


def test_nobody_guesses_when_nothing_is_known(client: FlaskClient) -> None:
    """No snapshot yet: the place and the time are null."""
    assert place(client, a_job()) == {"queuePosition": None, "etaSeconds": None, "waitReason": "behind"}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"due": False}, "scheduled"),
        ({"due": False, "status": JobStatus.RETRYING}, "backoff"),
        ({"status": JobStatus.ANALYZING}, None),
        ({"status": JobStatus.COMPLETED}, None),
    ],
)
def test_the_reason_says_what_is_waited_for(client: FlaskClient, columns: dict[str, Any], reason: str | None) -> None:
    """What does not wait has none."""
    assert place(client, a_job(**columns))["waitReason"] == reason


def test_an_owner_at_its_limit_is_told_so(client: FlaskClient) -> None:
    """It holds half of the slots, and somebody else waits."""
    a_job(owner="guest:loud", status=JobStatus.ANALYZING)
    behind = a_job(owner="guest:loud")
    a_job(owner="guest:quiet")
    snapshot(share=1)

    assert place(client, behind)["waitReason"] == "owner_limit"


def post(client: FlaskClient) -> TestResponse:
    return client.post("/api/jobs", json={"message": "One more"})


def test_above_the_backlog_nothing_is_accepted(limited: Limited) -> None:
    """503: it is everybody's queue that is full."""
    for _ in range(3):
        a_job(owner="somebody else")
    snapshot()

    answer = post(limited(most_waiting=3))

    assert (answer.status_code, answer.get_json()["code"]) == (503, "backlog_full")
    assert int(answer.headers["Retry-After"]) > 0


def test_who_has_too_many_waiting_is_told_that_first(limited: Limited) -> None:
    """Both limits are passed: the own one is what a caller can do something about."""
    for _ in range(3):
        a_job(owner="address:127.0.0.1")
    snapshot()

    assert post(limited(most_waiting=3, most_waiting_per_owner=2)).get_json()["code"] == "owner_backlog_full"


def test_above_an_owners_backlog_nothing_of_that_owner_is_accepted(limited: Limited) -> None:
    """429. What this process accepted since the snapshot counts too, so a burst does not slip through."""
    snapshot()
    client = limited(most_waiting_per_owner=2)

    answers = [post(client) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].get_json()["code"] == "owner_backlog_full"
    assert int(answers[2].headers["Retry-After"]) > 0
    with Session() as session:
        assert count_jobs(session) == {JobStatus.CREATED: 2}


def test_an_owners_limit_looks_at_the_snapshot_too(limited: Limited) -> None:
    """What it had waiting before this process began."""
    for _ in range(2):
        a_job(owner="address:127.0.0.1")
    snapshot()

    assert post(limited(most_waiting_per_owner=2)).status_code == 429


def test_each_snapshot_counts_anew(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that found the same: what was counted since the last is in it, or was never stored."""
    monkeypatch.setattr(queue, "KEPT_SECONDS", 0.0)
    client = limited(most_waiting_per_owner=2)
    headers = {"Idempotency-Key": "the-one"}

    answers = []
    for _ in range(4):
        snapshot()
        answers.append(client.post("/api/jobs", json={"message": "Again"}, headers=headers).status_code)

    assert answers == [201, 200, 200, 200]

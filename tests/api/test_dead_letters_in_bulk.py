"""Discarding, redriving by the hundred, and jobs that are gone."""

from __future__ import annotations

import dataclasses
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from models import dead_letters, retention
from models.base import Session
from models.states import JobStatus
from tests.factories import a_job, now, the_job

Headers = dict[str, str]


def dead(*, minutes_ago: float = 0, **columns: object) -> str:
    return a_job(status=JobStatus.FAILED, finished_at=now() - dt.timedelta(minutes=minutes_ago), **columns)


def post(client: FlaskClient, operator: Headers, what: str, **order: object) -> Any:
    return client.post(f"/api/dead-letters/{what}", json=order, headers=operator)


def test_a_discarded_letter_is_hidden_and_its_job_says_when(client: FlaskClient, operator: Headers) -> None:
    """It stays failed, also for its owner; asking twice changes nothing."""
    job_id = dead()

    first, second = (post(client, operator, f"{job_id}/discard") for _ in range(2))

    assert [first.status_code, second.status_code] == [200, 200]
    assert first.get_json() == second.get_json() == client.get(f"/api/jobs/{job_id}").get_json()
    assert (first.get_json()["status"], first.get_json()["discardedAt"] is None) == ("failed", False)
    assert client.get("/api/dead-letters", headers=operator).get_json()["items"] == []
    letter = client.get(f"/api/dead-letters/{job_id}", headers=operator).get_json()
    assert letter["discardedAt"] == first.get_json()["discardedAt"]


def test_a_redrive_undoes_a_discard(client: FlaskClient, operator: Headers) -> None:
    """The job is a job as any again."""
    job_id = dead(discarded_at=now())

    job = post(client, operator, f"{job_id}/redrive").get_json()

    assert (job["status"], job["discardedAt"]) == ("created", None)


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {JobStatus.FAILED}))
def test_only_a_dead_letter_can_be_discarded(client: FlaskClient, operator: Headers, status: JobStatus) -> None:
    """Neither a job that lives nor one that was answered."""
    answer = post(client, operator, f"{a_job(status=status)}/discard")

    assert (answer.status_code, answer.get_json()["code"]) == (404, "dead_letter_not_found")


def test_many_are_discarded_by_filter(client: FlaskClient, operator: Headers, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as asked for; more than a transaction takes needs no second request."""
    monkeypatch.setattr(dead_letters, "DISCARDED_AT_ONCE", 1)
    for _ in range(3):
        dead(error_code="provider_rejected", minutes_ago=1)
    other = dead(error_code="poison")

    answers = [
        post(client, operator, "discard", errorCode="provider_rejected", most=most).get_json() for most in (2, 10, 10)
    ]

    assert answers == [{"discarded": 2}, {"discarded": 1}, {"discarded": 0}]
    left = client.get("/api/dead-letters", headers=operator).get_json()["items"]
    assert [item["jobId"] for item in left] == [other]


def test_many_are_redriven_by_filter_and_come_due_one_after_the_other(client: FlaskClient, operator: Headers) -> None:
    """The answer says how many and how long that will take."""
    ids = [dead(error_code="provider_unavailable", model="m", minutes_ago=60 - number) for number in range(4)]
    others = [dead(error_code="poison"), dead(error_code="provider_unavailable", model="n")]
    order = {"errorCode": "provider_unavailable", "model": "m", "finishedBefore": now().isoformat(), "perSecond": 0.1}

    answer = post(client, operator, "redrive", most=3, **order)

    assert answer.get_json() == {"redriven": 3, "spreadSeconds": 20.0, "ownersAtLimit": 0}
    assert {the_job(job_id).status for job_id in ids[:3]} == {JobStatus.CREATED}
    assert {the_job(job_id).status for job_id in [ids[3], *others]} == {JobStatus.FAILED}
    waiting = [client.get(f"/api/jobs/{job_id}").get_json() for job_id in ids[:3]]
    assert [job["waitReason"] for job in waiting] == ["behind", "scheduled", "scheduled"]


def test_an_order_that_says_nothing_takes_what_is_not_discarded(client: FlaskClient, operator: Headers) -> None:
    """At ten a second."""
    dead()
    hidden = dead(discarded_at=now())

    answer = post(client, operator, "redrive").get_json()
    asked_for = post(client, operator, "redrive", discarded=True).get_json()

    assert answer == {"redriven": 1, "spreadSeconds": 0.0, "ownersAtLimit": 0}
    assert asked_for["redriven"] == 1
    assert the_job(hidden).status is JobStatus.CREATED


def test_redrives_that_come_at_once_drive_each_letter_once(app: Flask, operator: Headers) -> None:
    """Impatience costs nothing."""
    ids = [dead() for _ in range(40)]

    def send(_: int) -> int:
        redriven: int = post(app.test_client(), operator, "redrive").get_json()["redriven"]
        return redriven

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(send, range(4)))

    assert sum(numbers) == 40
    assert {the_job(job_id).status for job_id in ids} == {JobStatus.CREATED}


def test_a_redrive_keeps_to_the_limits_on_what_may_wait(app: Flask, operator: Headers) -> None:
    """Of one owner, and of all together: where nothing more may wait it is refused."""
    app.config["SETTINGS"] = dataclasses.replace(app.config["SETTINGS"], most_waiting=3, most_waiting_per_owner=2)
    client = app.test_client()
    for _ in range(3):
        dead(owner="greedy", minutes_ago=2)

    limited = post(client, operator, "redrive").get_json()
    with Session.begin() as session:
        session.execute(
            text("INSERT INTO snapshots (name, taken_at, body) VALUES ('backlog', now(), CAST(:body AS jsonb))"),
            {"body": '{"waiting": 3, "owners": {}}'},
        )
    refused = post(client, operator, "redrive")

    assert (limited["redriven"], limited["ownersAtLimit"]) == (2, 1)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "backlog_full")
    assert int(refused.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"most": 0}, "most"),
        ({"most": 10_001}, "most"),
        ({"most": "5"}, "most"),
        ({"most": True}, "most"),
        ({"most": None}, "most"),
        ({"perSecond": 0}, "perSecond"),
        ({"perSecond": 1001}, "perSecond"),
        ({"perSecond": "fast"}, "perSecond"),
        ({"discarded": 1}, "discarded"),
        ({"discarded": "true"}, "discarded"),
        ({"discarded": None}, "discarded"),
        ({"errorCode": 5}, "errorCode"),
        ({"errorCode": "a\n"}, "errorCode"),
        ({"errorCode": None}, "errorCode"),
        ({"model": "\u0000"}, "model"),
        ({"model": "\ud800"}, "model"),
        ({"model": ""}, "model"),
        ({"finishedAfter": "soon"}, "finishedAfter"),
        ({"finishedBefore": 1}, "finishedBefore"),
        ({"finishedBefore": "2030-01-31T08:00:00"}, "finishedBefore"),
        ({"limit": 5}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
@pytest.mark.parametrize("what", ["redrive", "discard"])
def test_a_bad_order_is_refused_and_nothing_is_touched(
    client: FlaskClient, operator: Headers, what: str, order: dict[str, object], field: str
) -> None:
    """With a pointer at the field."""
    job_id = dead()

    answer = post(client, operator, what, **order)

    assert (answer.status_code, answer.get_json()["code"]) == (422, "validation_failed")
    assert answer.get_json()["errors"][0]["pointer"] == f"/{field}"
    assert (the_job(job_id).status, the_job(job_id).discarded_at) == (JobStatus.FAILED, None)


@pytest.mark.parametrize("what", ["redrive", "discard"])
def test_an_order_is_a_json_object(client: FlaskClient, operator: Headers, what: str) -> None:
    """Also one that has nothing to say."""
    address = f"/api/dead-letters/{what}"

    none, broken, wrong = (
        client.post(address, headers=operator),
        client.post(address, data="{", content_type="application/json", headers=operator),
        client.post(address, json=[], headers=operator),
    )

    assert [none.status_code, broken.status_code, wrong.status_code] == [415, 400, 422]


def test_a_job_that_was_removed_after_its_time_is_gone_and_not_unknown(client: FlaskClient, operator: Headers) -> None:
    """To its owner and to the operator, by every route that takes its id."""
    job_id = dead(minutes_ago=31 * 24 * 60)
    with Session.begin() as session:
        retention.sweep(session, days=30, most=10)

    answers = [
        client.get(f"/api/jobs/{job_id}"),
        client.delete(f"/api/jobs/{job_id}"),
        client.post(f"/api/jobs/{job_id}/cancel"),
        client.get(f"/api/dead-letters/{job_id}", headers=operator),
        client.post(f"/api/dead-letters/{job_id}/redrive", headers=operator),
        client.post(f"/api/dead-letters/{job_id}/discard", headers=operator),
    ]

    assert {(answer.status_code, answer.get_json()["code"]) for answer in answers} == {(410, "job_gone")}
    assert client.get("/api/jobs/00000000-0000-4000-8000-000000000000").status_code == 404

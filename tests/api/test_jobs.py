"""Accepting a job and polling it."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.job_schemas import JobSchema
from models import leases
from models.attempts import Ending, Outcome, record
from models.base import Session
from models.states import JobStatus
from tests.factories import a_job, ask, change, claim, count_jobs, create, now, the_attempt, the_job

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def post(client: FlaskClient, *, key: str | None = None, **body: object) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, body and headers."""
    headers = {} if key is None else {"Idempotency-Key": key}
    response = client.post("/api/jobs", json=body or {"message": "Test message"}, headers=headers)
    return response.status_code, response.get_json(), dict(response.headers)


def rows() -> int:
    with Session() as session:
        return sum(count_jobs(session).values())


def test_a_message_becomes_a_job(client: FlaskClient) -> None:
    """The contract of creation, to the letter."""
    status, body, headers = post(client, message="How does your system handle scalability?", type="chat")

    assert status == 201
    assert body == {"jobId": body["jobId"], "status": "created", "message": "Job created successfully"}
    assert uuid.UUID(body["jobId"]).version == 4
    assert headers["Location"] == f"/api/jobs/{body['jobId']}"
    assert headers["Retry-After"] == "1"
    assert the_job(body["jobId"]).message == "How does your system handle scalability?"


@pytest.mark.parametrize(
    ("body", "kind"), [({"message": "x"}, "chat"), ({"message": "x", "type": "summarize"}, "summarize")]
)
def test_the_type_is_chat_unless_said_otherwise(client: FlaskClient, body: dict[str, str], kind: str) -> None:
    """A default that is documented."""
    _, created, _ = post(client, **body)

    assert client.get(f"/api/jobs/{created['jobId']}").get_json()["type"] == kind


def test_a_job_shows_all_its_facts_while_it_waits(client: FlaskClient) -> None:
    """Everything is there from the start; what is not known yet is null."""
    _, created, _ = post(client)

    response = client.get(f"/api/jobs/{created['jobId']}")

    job = response.get_json()
    times = {name: job.pop(name) for name in ("createdAt", "updatedAt", "nextAttemptAt", "deadlineAt")}
    assert all(TIME.fullmatch(value) for value in times.values())
    assert job == {
        "jobId": created["jobId"],
        "status": "created",
        "type": "chat",
        "purpose": "prompt",
        "chatId": None,
        "result": None,
        "truncated": None,
        "error": None,
        "attempt": 0,
        "failures": 0,
        "maxAttempts": 5,
        "runAt": None,
        "discardedAt": None,
        "priority": 5,
        "queuePosition": None,
        "etaSeconds": None,
        "waitReason": "behind",
        "note": None,
        "batchId": None,
        "customId": None,
        "model": None,
        "degraded": None,
        "cached": None,
        "cost": None,
        "usage": None,
        "attempts": [],
    }
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_completed_job_shows_its_answer_and_reading_it_twice_gives_it_twice(client: FlaskClient) -> None:
    """Reading never consumes a result."""
    _, created, _ = post(client)
    claimed = claim(created["jobId"])
    assert claimed
    ask(claimed)
    ending = Ending(
        job_id=claimed.id, attempt=1, outcome=Outcome.COMPLETED, text="Because.", prompt_tokens=3, completion_tokens=4
    )
    with Session.begin() as session:
        record(session, [ending])

    responses = [client.get(f"/api/jobs/{claimed.id}") for _ in range(2)]

    job = responses[0].get_json()
    assert responses[1].get_json() == job
    assert "Retry-After" not in responses[0].headers
    assert (job["status"], job["result"], job["model"], job["nextAttemptAt"]) == (
        "completed",
        "Because.",
        "some-model",
        None,
    )
    assert job["usage"] == {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
    attempt = job["attempts"][0]
    assert (attempt["attempt"], attempt["outcome"], attempt["errorCode"]) == (1, "completed", None)
    assert all(TIME.fullmatch(attempt[name]) for name in ("startedAt", "askedAt", "finishedAt"))
    assert attempt["startedAt"] <= attempt["askedAt"] <= attempt["finishedAt"]


@pytest.mark.parametrize("status", list(JobStatus))
def test_what_a_job_looks_like_fits_its_schema(client: FlaskClient, status: JobStatus) -> None:
    """The body is built by hand for speed; the documented schema must still describe it exactly."""
    job_id = a_job(status=status, error_code="x" if status in (JobStatus.FAILED, JobStatus.RETRYING) else None)

    job = client.get(f"/api/jobs/{job_id}").get_json()

    assert JobSchema().validate(job) == {}
    assert set(job) == {field.data_key for field in JobSchema().fields.values()}


def test_a_job_that_waits_long_says_so_within_bounds(client: FlaskClient) -> None:
    """Retry-After follows the back-off, but never tells a client to go away for minutes."""
    soon = a_job(status=JobStatus.RETRYING, next_attempt_at=now() + dt.timedelta(seconds=20))
    late = a_job(status=JobStatus.RETRYING, next_attempt_at=now() + dt.timedelta(hours=1))

    assert 10 <= int(client.get(f"/api/jobs/{soon}").headers["Retry-After"]) <= 20
    assert client.get(f"/api/jobs/{late}").headers["Retry-After"] == "30"


def test_only_the_newest_attempts_are_shown(client: FlaskClient) -> None:
    """A job that is throttled for hours has many."""
    job_id = a_job(status=JobStatus.RETRYING, attempt=60)

    shown = client.get(f"/api/jobs/{job_id}").get_json()["attempts"]

    assert [attempt["attempt"] for attempt in shown] == list(range(11, 61))


@pytest.mark.parametrize(
    "job_id",
    [
        "00000000-0000-4000-8000-000000000000",
        "nonsense",
        "{46bedf00-6eee-4cd8-a948-ccd3065cdc9a}",
        "46bedf006eee4cd8a948ccd3065cdc9a",
        "%00",
        "1 OR 1=1",
        "x" * 3000,
    ],
)
def test_an_unknown_or_malformed_id_is_not_found(client: FlaskClient, job_id: str) -> None:
    """One answer for both: ids are unguessable, and nobody learns which exist."""
    response = client.get(f"/api/jobs/{job_id}")

    assert (response.status_code, response.get_json()["code"]) == (404, "job_not_found")


def test_an_id_in_capitals_is_the_same_job(client: FlaskClient) -> None:
    """A UUID is a number; RFC 9562 has it read without regard to case."""
    _, created, _ = post(client)

    assert client.get(f"/api/jobs/{created['jobId'].upper()}").get_json()["jobId"] == created["jobId"]


def test_the_same_key_and_input_is_the_same_job(client: FlaskClient) -> None:
    """The first answer again, word for word, and marked as a repetition."""
    first = client.post("/api/jobs", json={"message": "Hello", "type": "chat"}, headers={"Idempotency-Key": "k1"})
    again = client.post(
        "/api/jobs", data=b'{ "message" : "Hello" }', content_type="application/json", headers={"Idempotency-Key": "k1"}
    )

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.data == first.data
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert rows() == 1


@pytest.mark.parametrize("other", [{"message": "Other"}, {"message": "Hello", "type": "summarize"}])
def test_the_same_key_with_another_input_is_refused(client: FlaskClient, other: dict[str, str]) -> None:
    """A key reused by mistake must not answer with somebody else's job."""
    post(client, key="k1", message="Hello")

    status, body, _ = post(client, key="k1", **other)

    assert (status, body["code"]) == (422, "idempotency_key_reused")
    assert rows() == 1


def test_a_key_belongs_to_its_caller(client: FlaskClient) -> None:
    """Two callers may use the same one."""
    post(client, key="k1", message="Hello")

    response = client.post(
        "/api/jobs",
        json={"message": "Other"},
        headers={"Idempotency-Key": "k1"},
        environ_base={"REMOTE_ADDR": "192.0.2.9"},
    )

    assert response.status_code == 201


def test_a_key_is_free_again_after_a_day(client: FlaskClient) -> None:
    """An expired key that is not pruned yet counts as absent."""
    post(client, key="k1", message="Hello")
    with Session.begin() as session:
        session.execute(text("UPDATE idempotency_keys SET expires_at = expires_at - interval '24 hours'"))

    status, _, _ = post(client, key="k1", message="Other")

    assert (status, rows()) == (201, 2)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "umlaut-\xe4"])
def test_a_key_that_is_no_key_is_refused(client: FlaskClient, key: str) -> None:
    """Silently ignoring it would take the protection away from who asked for it."""
    status, body, _ = post(client, key=key, message="Hello")

    assert (status, body["code"]) == (400, "invalid_idempotency_key")
    assert rows() == 0


def test_the_longest_key_works(client: FlaskClient) -> None:
    """255 characters, every printable one allowed."""
    key = "".join(chr(32 + number % 95) for number in range(1, 256)).rstrip().ljust(255, "~")

    assert post(client, key=key, message="Hello")[0] == 201


def test_a_hundred_at_once_with_one_key_make_one_job(app: Flask) -> None:
    """The first to insert the key wins; the others wait for its commit and find its job. (Experiment E10.)"""

    def send(_: int) -> tuple[int, str]:
        response = app.test_client().post("/api/jobs", json={"message": "Hello"}, headers={"Idempotency-Key": "k1"})
        return response.status_code, response.get_json().get("jobId")

    with ThreadPoolExecutor(15) as threads:
        answers = list(threads.map(send, range(100)))

    assert sorted(status for status, _ in answers) == [200] * 99 + [201]
    assert len({job_id for _, job_id in answers}) == 1
    assert rows() == 1
    print(f"\nE10: {len(answers)} POSTs with one key: {rows()} job")  # noqa: T201


@pytest.mark.parametrize("method", ["delete", "post"])
def test_cancelling_is_idempotent_and_answers_with_the_job(client: FlaskClient, method: str) -> None:
    """Waiting or running: 200, and 200 again."""
    job_id = a_job(status=JobStatus.ANALYZING)
    address = f"/api/jobs/{job_id}" + ("/cancel" if method == "post" else "")

    answers = [getattr(client, method)(address) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.get_json()["status"] for answer in answers] == ["cancelled", "cancelled"]
    assert the_attempt(job_id, 1).outcome is Outcome.CANCELLED


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED])
def test_what_has_finished_cannot_be_cancelled(client: FlaskClient, status: JobStatus) -> None:
    """409, and nothing changes."""
    answer = client.delete(f"/api/jobs/{a_job(status=status)}")

    assert (answer.status_code, answer.get_json()["code"]) == (409, "already_finished")


def test_a_job_can_be_given_times_and_a_priority(client: FlaskClient) -> None:
    """Both limits count from the time at which it may begin."""
    run_at = now() + dt.timedelta(hours=1)
    order: dict[str, Any] = {"priority": 9, "deadlineSeconds": 60, "ttlSeconds": 30, "runAt": run_at.isoformat()}

    status, created, _ = post(client, message="Later", **order)
    job = the_job(created["jobId"])
    shown = client.get(f"/api/jobs/{job.id}").get_json()

    assert status == 201
    assert (job.due, job.run_at, job.next_attempt_at, job.priority) == (False, run_at, run_at, 9)
    assert job.deadline_at - run_at == dt.timedelta(seconds=60)
    assert job.start_by is not None
    assert job.start_by - run_at == dt.timedelta(seconds=30)
    assert (shown["waitReason"], shown["queuePosition"]) == ("scheduled", None)


def test_a_job_nobody_begins_in_time_fails() -> None:
    """The reaper of deadlines also keeps the time to live; a job that has begun once is not touched."""
    late, begun = create(ttl_seconds=1.0), a_job(status=JobStatus.RETRYING)
    for job_id in (late, begun):
        change(job_id, start_by=now() - dt.timedelta(seconds=1))

    with Session.begin() as session:
        assert leases.expire(session) == [late]
    assert (the_job(late).status, the_job(late).error_code) == (JobStatus.FAILED, "deadline_exceeded")
    assert "ttlSeconds" in (the_job(late).error_message or "")

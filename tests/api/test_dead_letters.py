"""Dead letters, for the operator."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from models.base import Session
from models.states import JobStatus
from tests.factories import a_job, now, the_job

Headers = dict[str, str]
# A time zone that Python knows and PostgreSQL does not.
FAR_AWAY = (
    "cursor=" + base64.urlsafe_b64encode(b"0001-01-01T00:00:00+23:59 46bedf00-6eee-4cd8-a948-ccd3065cdc9a").decode()
)


def dead(**columns: object) -> str:
    return a_job(status=JobStatus.FAILED, failures=5, attempt=5, **columns)


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "no_token"),
        ("", 401, "no_token"),
        ("Basic YTpi", 401, "no_token"),
        ("Bearer ", 401, "no_token"),
        ("Bearer wrong", 401, "invalid_token"),
        ("Bearer \xe4", 401, "invalid_token"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/{id}"),
        ("POST", "/{id}/redrive"),
        ("POST", "/{id}/discard"),
        ("POST", "/redrive"),
        ("POST", "/discard"),
    ],
)
def test_only_the_operator_gets_in(
    client: FlaskClient, method: str, path: str, header: str | None, status: int, code: str
) -> None:
    """Every route of the noun, before it looks at anything."""
    job_id = dead()
    headers = {} if header is None else {"Authorization": header}

    response = client.open(f"/api/dead-letters{path.format(id=job_id)}", method=method, headers=headers)

    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert the_job(job_id).status is JobStatus.FAILED


def test_nobody_is_operator_where_no_token_is_set(make_app: Callable[..., Flask], operator: Headers) -> None:
    """An empty setting must not make an empty token right."""
    client = make_app(admin_token="").test_client()

    for headers in (operator, {"Authorization": "Bearer x"}, {"Authorization": "Bearer "}):
        assert client.get("/api/dead-letters", headers=headers).status_code == 401


def test_the_list_has_failed_jobs_only_the_latest_first(client: FlaskClient, operator: Headers) -> None:
    """With what an operator needs to judge them, and without the messages."""
    for status in set(JobStatus) - {JobStatus.FAILED}:
        a_job(status=status)
    old, new = dead(), dead()

    page = client.get("/api/dead-letters", headers=operator).get_json()

    assert [item["jobId"] for item in page["items"]] == [new, old]
    assert page["nextCursor"] is None
    assert page["items"][0]["error"]["code"] == "provider_rejected"
    assert "message" not in page["items"][0]


def test_pages_cover_every_letter_once_even_where_times_are_equal(client: FlaskClient, operator: Headers) -> None:
    """Keyset paging by time and id."""
    moment = now()
    ids = {dead(finished_at=moment - dt.timedelta(minutes=number // 3)) for number in range(7)}

    seen: list[str] = []
    query: dict[str, object] | None = {"limit": 2}
    while query is not None:
        page = client.get("/api/dead-letters", query_string=query, headers=operator).get_json()
        assert "items" in page, page
        seen += [item["jobId"] for item in page["items"]]
        query = page["nextCursor"] and {"limit": 2, "cursor": page["nextCursor"]}

    assert len(seen) == 7
    assert set(seen) == ids


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=x", "limit=1.5", "cursor=nonsense", "cursor=%00", FAR_AWAY, "colour=1"),
        *("errorCode=", "errorCode=No", "errorCode=a%00", "errorCode=" + "a" * 65),
        *("model=", "model=a%00b", "model=" + "m" * 201),
        *("finishedAfter=yesterday", "finishedAfter=2030-01-31T08:00:00", "finishedBefore=9999-12-31T23:59:59-01:00"),
        *("discarded=yes", "discarded=1", "discarded="),
    ],
)
def test_a_bad_query_is_refused(client: FlaskClient, operator: Headers, query: str) -> None:
    """With a pointer at the parameter."""
    response = client.get(f"/api/dead-letters?{query}", headers=operator)

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (422, "validation_failed")
    assert problem["errors"][0]["pointer"] == "/" + query.split("=", maxsplit=1)[0]


def test_one_letter_shows_its_message_and_everything_that_was_tried(client: FlaskClient, operator: Headers) -> None:
    """Only here, one at a time: who tried, which model, how it ended, and what all of it cost."""
    job_id = a_job(status=JobStatus.FAILED, failures=2, attempt=52, model="m")
    with Session.begin() as session:
        session.execute(text("UPDATE attempts SET model = 'm', prompt_tokens = 3, completion_tokens = 1"))
        session.execute(text("UPDATE attempts SET prompt_tokens = NULL WHERE attempt = 52"))

    letter = client.get(f"/api/dead-letters/{job_id}", headers=operator).get_json()

    assert (letter["message"], letter["model"]) == ("Why is the sky blue?", "m")
    assert [attempt["attempt"] for attempt in letter["attempts"]] == list(range(3, 53))
    assert letter["attempts"][0] == {
        "attempt": 3,
        "worker": "worker-1",
        "model": "m",
        "startedAt": letter["attempts"][0]["startedAt"],
        **dict.fromkeys(("askedAt", "finishedAt", "outcome", "errorCode", "cost")),
        "usage": {"promptTokens": 3, "completionTokens": 1, "totalTokens": 4},
    }
    assert letter["attempts"][-1]["usage"] is None
    assert letter["usage"] == {"promptTokens": 153, "completionTokens": 52, "totalTokens": 205}


def test_a_letter_nobody_tried_has_no_attempts_and_cost_nothing(client: FlaskClient, operator: Headers) -> None:
    """Its deadline passed before a worker had it."""
    job_id = a_job(status=JobStatus.FAILED, attempt=0)

    letter = client.get(f"/api/dead-letters/{job_id}", headers=operator).get_json()

    assert (letter["attempts"], letter["usage"], letter["model"]) == ([], None, None)


def test_a_list_can_be_filtered_and_paged_at_once(client: FlaskClient, operator: Headers) -> None:
    """Every filter, by its name on the wire."""
    moment = now()
    wanted = [
        dead(error_code="a", model="m", finished_at=moment - dt.timedelta(minutes=minutes), discarded_at=moment)
        for minutes in (2, 3, 4)
    ]
    for other in (
        {"error_code": "b"},
        {"model": "n"},
        {"discarded_at": None},
        {"finished_at": moment - dt.timedelta(minutes=1)},
        {"finished_at": moment - dt.timedelta(minutes=5)},
    ):
        fits = {"error_code": "a", "model": "m", "finished_at": moment - dt.timedelta(minutes=3)}
        dead(**{**fits, "discarded_at": moment, **other})
    query = {
        "errorCode": "a",
        "model": "m",
        "discarded": "true",
        "finishedAfter": (moment - dt.timedelta(minutes=4)).isoformat(),
        "finishedBefore": (moment - dt.timedelta(minutes=1)).isoformat(),
        "limit": 2,
    }

    first = client.get("/api/dead-letters", query_string=query, headers=operator).get_json()
    cursor = {"cursor": first["nextCursor"]}
    second = client.get("/api/dead-letters", query_string={**query, **cursor}, headers=operator).get_json()

    assert [item["jobId"] for item in first["items"] + second["items"]] == wanted
    assert second["nextCursor"] is None
    assert first["items"][0]["discardedAt"] is not None


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {JobStatus.FAILED}))
def test_a_job_that_has_not_failed_is_no_dead_letter(client: FlaskClient, operator: Headers, status: JobStatus) -> None:
    """Neither to look at nor to redrive."""
    job_id = a_job(status=status)

    shown = client.get(f"/api/dead-letters/{job_id}", headers=operator)
    driven = client.post(f"/api/dead-letters/{job_id}/redrive", headers=operator)

    assert [shown.status_code, driven.status_code] == [404, 404]
    assert driven.get_json()["code"] == "dead_letter_not_found"
    assert the_job(job_id).status is status


def test_redrive_starts_over_with_a_new_deadline_and_keeps_the_attempts(client: FlaskClient, operator: Headers) -> None:
    """Failures at 0; the record of what was tried stays."""
    job_id = dead()

    job = client.post(f"/api/dead-letters/{job_id}/redrive", headers=operator).get_json()

    assert (job["status"], job["failures"], job["attempt"], job["error"]) == ("created", 0, 5, None)
    assert len(job["attempts"]) == 5
    assert the_job(job_id).deadline_at > now() + dt.timedelta(minutes=9)


def test_redriving_twice_drives_once(client: FlaskClient, operator: Headers) -> None:
    """The second finds no dead letter."""
    job_id = dead()

    answers = [client.post(f"/api/dead-letters/{job_id}/redrive", headers=operator).status_code for _ in range(2)]

    assert answers == [200, 404]

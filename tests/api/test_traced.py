"""Requests as spans, and the jobs that carry on with them."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import traces
from models.base import Session
from models.jobs import Job
from models.traces import parsed
from tests.api.test_chats import Someone, anna
from tests.factories import an_ai_chat, answer, the_job
from tests.models.test_traces import GOOD, SPAN, TRACE, Taker, taker

__all__ = ["anna", "taker"]
JOB = {"message": "Why is the sky blue?"}


@pytest.fixture
def client(taker: Taker, app: Flask) -> FlaskClient:
    """Of an application that is made when traces are."""
    return app.test_client()


def trace_of(traceparent: str | None) -> str:
    known = parsed(traceparent)
    assert known is not None, traceparent
    return f"{known.trace_id:032x}"


def carried_by_jobs() -> list[str | None]:
    with Session.begin() as session:
        return [job.traceparent for job in session.query(Job)]


def test_a_job_carries_the_span_of_its_post_which_is_of_the_callers_trace(client: FlaskClient, taker: Taker) -> None:
    """So that whoever works on it can go on."""
    made = client.post("/api/jobs", json=JOB, headers={"traceparent": GOOD}).get_json()
    traces.end()

    (span,) = taker.spans
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN
    assert the_job(made["jobId"]).traceparent == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert (span.name, span.status.is_ok) == ("POST /api/jobs", True)


@pytest.mark.parametrize("said", ["", "00", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE}-{'0' * 16}-01", "x" * 5000])
def test_a_context_that_cannot_be_read_begins_another_trace(client: FlaskClient, said: str) -> None:
    """It is neither an error nor stored."""
    answer = client.post("/api/jobs", json=JOB, headers={"traceparent": said})

    assert answer.status_code == 201
    assert trace_of(the_job(answer.get_json()["jobId"]).traceparent) != TRACE


def test_the_next_request_is_not_of_the_trace_before(client: FlaskClient) -> None:
    """Although it is served by the same thread."""
    first = client.post("/api/jobs", json=JOB, headers={"traceparent": GOOD}).get_json()["jobId"]
    second = client.post("/api/jobs", json=JOB).get_json()["jobId"]

    assert trace_of(the_job(first).traceparent) == TRACE
    assert trace_of(the_job(second).traceparent) != TRACE
    assert traces.carried() is None


def test_all_jobs_of_a_batch_carry_the_span_of_its_post(client: FlaskClient) -> None:
    """One statement stores many of them."""
    client.post("/api/batches", json={"prompts": [JOB, JOB]}, headers={"traceparent": GOOD})

    first, second = carried_by_jobs()
    assert first == second
    assert trace_of(first) == TRACE


def test_a_message_that_calls_the_ai_is_the_beginning_too(client: FlaskClient, anna: Someone) -> None:
    """The job is made in a chat's transaction, by another statement."""
    chat_id = an_ai_chat(anna.id)
    path = f"/api/chats/{chat_id}/messages"
    said = client.post(
        path, json={"content": "Hello", "clientMsgId": "1"}, headers={**anna.headers, "traceparent": GOOD}
    )

    job = the_job(said.get_json()["message"]["jobId"])
    answer(job.id)

    assert said.status_code == 201
    assert trace_of(job.traceparent) == TRACE
    assert carried_by_jobs() == [job.traceparent] * 2, "the search for a title follows from the answer"


def test_what_only_looks_makes_no_span(client: FlaskClient, taker: Taker) -> None:
    """Polls are most of what is asked."""
    client.get("/api/jobs/00000000-0000-4000-8000-000000000000", headers={"traceparent": GOOD})
    traces.end()

    assert taker.spans == []


def test_what_cannot_be_is_said_by_its_status_and_never_by_its_path(client: FlaskClient, taker: Taker) -> None:
    """A path may hold what opens something."""
    client.delete("/api/jobs/00000000-0000-4000-8000-000000000000")
    client.post("/no/such/path?with=something")
    traces.end()

    assert [(span.name, (span.attributes or {})["http.response.status_code"]) for span in taker.spans] == [
        ("DELETE /api/jobs/<string:job_id>", 404),
        ("POST", 404),
    ]


def test_a_trace_that_is_not_sampled_is_carried_on_as_such(client: FlaskClient, taker: Taker) -> None:
    """A worker would otherwise send its half."""
    made = client.post("/api/jobs", json=JOB, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"}).get_json()
    traces.end()

    assert str(the_job(made["jobId"]).traceparent).endswith("-00")
    assert taker.spans == []


@pytest.fixture
def silent(app: Flask) -> FlaskClient:
    """Of an application that is made when traces are not."""
    return app.test_client()


def test_off_nothing_is_stored(silent: FlaskClient) -> None:
    """Whatever the caller says."""
    silent.post("/api/jobs", json=JOB, headers={"traceparent": GOOD})

    assert carried_by_jobs() == [None]

"""Server-sent events: what is sent, and how a client goes on after a cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.events import Cursor
from api.reader import Reader
from models.owners import ANYONE
from models.states import JobStatus
from tests.factories import a_job, change, create

REPLY = "Because of Rayleigh, ça va, 🙂."


def parsed(stream: str) -> list[tuple[str, dict[str, Any], str]]:
    """Name, body and id of each event."""
    events = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"]), fields["id"]))
    return events


def watch(client: FlaskClient, job_id: str, *, last: str | None = None) -> list[tuple[str, dict[str, Any], str]]:
    response = client.get(f"/api/jobs/{job_id}/events", headers={} if last is None else {"Last-Event-ID": last})
    assert response.status_code == 200
    return parsed(response.get_data(as_text=True))


def test_a_finished_job_is_its_text_and_its_status(client: FlaskClient) -> None:
    """Then the stream ends; nothing on the way holds it back."""
    job_id = a_job(status=JobStatus.COMPLETED, result=REPLY)

    response = client.get(f"/api/jobs/{job_id}/events")

    events = parsed(response.get_data(as_text=True))
    assert [(name, body.get("text")) for name, body, _ in events] == [("text", REPLY), ("status", None)]
    assert events[1][1] == client.get(f"/api/jobs/{job_id}").get_json()
    assert response.mimetype == "text/event-stream"
    assert (response.headers["X-Accel-Buffering"], response.headers["Cache-Control"]) == ("no", "no-store")
    assert response.get_data(as_text=True).startswith("retry: 2000\n\n")


@pytest.mark.parametrize("had", [0, 19, len(REPLY.encode()) - 1])
def test_the_rest_of_a_text_follows_wherever_it_was_cut(client: FlaskClient, had: int) -> None:
    """By the event's id alone."""
    job_id = a_job(status=JobStatus.COMPLETED, result=REPLY)
    whole = REPLY.encode()

    events = watch(client, job_id, last=f"{job_id}.1.{had}.analyzing-1-5")

    assert events[0][1]["text"] == whole[had:].decode(errors="replace")
    assert [name for name, _, _ in events] == ["text", "status"]


def test_nothing_is_sent_twice_and_at_the_end_there_is_nothing_to_come(client: FlaskClient) -> None:
    """204 keeps a browser from coming back for ever."""
    job_id = a_job(status=JobStatus.COMPLETED)
    (_, _, after_text), (_, _, after_status) = watch(client, job_id)

    assert [name for name, _, _ in watch(client, job_id, last=after_text)] == ["status"]
    late = client.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": after_status})
    assert (late.status_code, late.data) == (204, b"")


@pytest.mark.parametrize("last", ["1.5.", "2.4000."])
def test_text_of_another_attempt_is_taken_back(client: FlaskClient, last: str) -> None:
    """So is a claim to have had more than there is."""
    job_id = a_job(status=JobStatus.COMPLETED, result=REPLY, attempt=2)

    events = watch(client, job_id, last=f"{job_id}.{last}")

    assert [(name, body.get("text")) for name, body, _ in events] == [
        ("reset", None),
        ("text", REPLY),
        ("status", None),
    ]


def test_a_job_that_failed_has_no_text(client: FlaskClient) -> None:
    """What was sent before stands; the status says what became of it."""
    job_id = a_job(status=JobStatus.FAILED)

    assert [name for name, _, _ in watch(client, job_id, last=f"{job_id}.1.7.")] == ["status"]


@pytest.mark.parametrize(
    "last",
    ["7", "x" * 5000, "{job}", "{job}.1.2", "{job}.-1.2.", "{job}.1.9999999999.", "{other}.1.2.", "{job}.1.2.A", "٣"],
)
def test_an_id_that_is_none_of_this_jobs_is_refused(client: FlaskClient, last: str) -> None:
    """Going on from a place that never was would be a guess."""
    job_id, other = create(), create()
    sent = last.format(job=job_id, other=other).encode().decode("latin-1")

    response = client.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": sent})

    assert (response.status_code, response.get_json()["code"]) == (400, "invalid_event_id")


@pytest.mark.parametrize("job_id", ["00000000-0000-4000-8000-000000000000", "nonsense"])
def test_an_unknown_job_is_not_found(client: FlaskClient, job_id: str) -> None:
    """404 at once, as JSON."""
    response = client.get(f"/api/jobs/{job_id}/events")

    assert (response.status_code, response.get_json()["code"]) == (404, "job_not_found")


def test_a_cursor_is_its_id(app: Flask) -> None:
    """Read back from what was sent, it sends the same news: none."""
    job_id = a_job(status=JobStatus.RETRYING)
    job = Reader().read(job_id, reader=ANYONE)
    cursor = Cursor(job_id)
    with app.test_request_context():
        first = list(cursor.news(job))
        again = Cursor.from_id(str(cursor), job_id=job_id)

        assert (again, list(again.news(job))) == (cursor, [])
    assert len(first) == 1
    change(job_id, attempt=2)

"""What an operator sees of everybody's jobs and batches, and of the processes."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.dashboard_list_schemas import (
    EverybodysBatchesSchema,
    EverybodysJobDetailSchema,
    EverybodysJobsSchema,
    ProcessesSchema,
)
from models import everybodys, heartbeats
from models.base import Session
from models.jobs import JobType
from models.states import JobStatus
from tests.api.accounts import notes
from tests.factories import WORKER, a_batch, a_job, now

JOBS, BATCHES, PROCESSES = "/api/dashboard/jobs", "/api/dashboard/batches", "/api/dashboard/processes"
Headers = dict[str, str]
SECRET = "what only its owner may see"


def ask(client: FlaskClient, operator: Headers, path: str, **query: str | int) -> Any:
    """The body of a good answer."""
    response = client.get(path, headers=operator, query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert SECRET not in response.get_data(as_text=True)
    return response.get_json()


def ids(page: Any) -> list[str]:
    return [item["jobId"] for item in page["items"]]


def a_while_ago(seconds: float) -> dt.datetime:
    return now() - dt.timedelta(seconds=seconds)


def test_jobs_are_found_by_status_type_and_owner(client: FlaskClient, operator: Headers) -> None:
    """Those that have not ended unless told, the latest first; what was said is in none of it."""
    made = {
        status: a_job(
            status=status,
            message=SECRET,
            created_at=a_while_ago(60 - number),
            owner=f"guest:{number}",
            type=JobType.SUMMARIZE if number == 0 else JobType.CHAT,
            **({"result": SECRET} if status is JobStatus.COMPLETED else {}),
            **({"finished_at": a_while_ago(30 - number)} if status in ("completed", "failed", "cancelled") else {}),
        )
        for number, status in enumerate(JobStatus)
    }
    unfinished = [
        made[status] for status in reversed(JobStatus) if status in ("created", "processing", "analyzing", "retrying")
    ]

    page = ask(client, operator, JOBS)

    assert EverybodysJobsSchema().validate(page) == {}
    assert ids(page) == unfinished
    assert [item["worker"] for item in page["items"] if item["status"] == "analyzing"] == [WORKER]
    assert ids(ask(client, operator, JOBS, status="ended")) == [
        made[status] for status in (JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.COMPLETED)
    ]
    for status, job_id in made.items():
        assert ids(ask(client, operator, JOBS, status=status.value)) == [job_id]
    assert ids(ask(client, operator, JOBS, type="summarize")) == [made[JobStatus.CREATED]]
    assert ids(ask(client, operator, JOBS, status="ended", type="summarize")) == []
    assert ids(ask(client, operator, JOBS, owner="guest:1")) == [made[JobStatus.PROCESSING]]
    assert ids(ask(client, operator, JOBS, owner="guest:")) == []
    assert ("operator", None) in notes("jobs_listed")


@pytest.mark.parametrize("status", ["unfinished", "ended"])
def test_the_pages_together_are_the_whole_list(
    client: FlaskClient, operator: Headers, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job once, though many have the same time."""
    statement = str(everybodys._ENDED).replace(str(everybodys.LOOKED_AT), "2")
    monkeypatch.setattr(everybodys, "LOOKED_AT", 2)
    monkeypatch.setattr(everybodys, "_ENDED", text(statement))
    moment = now()
    columns = {"created_at": moment} if status == "unfinished" else {"status": JobStatus.FAILED, "finished_at": moment}
    made = {a_job(**columns) for _ in range(7)}
    if status == "ended":
        a_job(status=JobStatus.COMPLETED, finished_at=moment)

    seen: list[str] = []
    query: dict[str, str | int] = {"status": "failed" if status == "ended" else status, "limit": 3}
    while True:
        page = ask(client, operator, JOBS, **query)
        seen += ids(page)
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]

    assert len(seen) == 7
    assert set(seen) == made


def test_a_job_shows_what_was_tried_and_not_what_was_said(client: FlaskClient, operator: Headers) -> None:
    """That somebody looked is on record; what is not there is not found."""
    job_id = a_job(status=JobStatus.COMPLETED, message=SECRET, result=SECRET, owner="guest:1")

    job = ask(client, operator, f"{JOBS}/{job_id}")

    assert EverybodysJobDetailSchema().validate(job) == {}
    assert [attempt["worker"] for attempt in job["attempts"]] == [WORKER]
    assert ("operator", f"job:{job_id}") in notes("read_other")
    for missing in (str(uuid.uuid4()), "nothing", job_id.upper() + "0"):
        assert client.get(f"{JOBS}/{missing}", headers=operator).status_code == 404


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{JOBS}?status=done", "unknown_status"),
        (f"{JOBS}?type=poem", "unknown_job_type"),
        (f"{JOBS}?owner=", "wrong_length"),
        (f"{JOBS}?owner=%00", "invalid_characters"),
        (f"{JOBS}?cursor=x", "invalid_cursor"),
        (f"{JOBS}?limit=101", "out_of_range"),
        (f"{BATCHES}?limit=26", "out_of_range"),
        (f"{BATCHES}?cursor=x", "invalid_cursor"),
        (f"{BATCHES}?owner=me", "unknown_field"),
    ],
)
def test_a_query_that_means_nothing_is_refused(client: FlaskClient, operator: Headers, path: str, code: str) -> None:
    """Never a silent default."""
    response = client.get(path, headers=operator)

    assert response.status_code == 422
    assert [error["code"] for error in response.get_json()["errors"]] == [code]


def test_batches_say_how_far_they_are(client: FlaskClient, operator: Headers) -> None:
    """The latest first, page by page, whosever they are."""
    made = [a_batch(f"guest:{number}", SECRET, SECRET) for number in range(3)]
    with Session.begin() as session:
        for number, batch_id in enumerate(made):
            session.execute(
                text("UPDATE batches SET created_at = created_at - make_interval(secs => :ago) WHERE id = :id"),
                {"ago": 10 * number, "id": batch_id},
            )

    first = ask(client, operator, BATCHES, limit=2)
    second = ask(client, operator, BATCHES, limit=2, cursor=first["nextCursor"])

    assert EverybodysBatchesSchema().validate(first) == {}
    assert [item["batchId"] for item in first["items"] + second["items"]] == made
    assert second["nextCursor"] is None
    assert first["items"][0]["owner"] == "guest:0"
    assert first["items"][0]["counts"]["created"] == first["items"][0]["total"] == 2
    assert ("operator", None) in notes("batches_listed")


def test_processes_say_when_they_were_heard_of_and_what_they_hold(client: FlaskClient, operator: Headers) -> None:
    """One that is silent is not live, although its jobs are still its own."""
    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance=WORKER, queue_class="interactive", slots=7)
        heartbeats.beat(session, kind=heartbeats.DISPATCHER, instance="one")
        heartbeats.beat(session, kind=heartbeats.REAPER, instance="any")
        session.execute(text("UPDATE heartbeats SET seen_at = seen_at - interval '1 minute' WHERE kind = 'worker'"))
    for status in (JobStatus.ANALYZING, JobStatus.PROCESSING, JobStatus.CREATED):
        a_job(status=status)

    page = ask(client, operator, PROCESSES)

    assert ProcessesSchema().validate(page) == {}
    assert [
        (each["kind"], each["live"], each["running"], each["slots"], each["queueClass"]) for each in page["items"]
    ] == [
        ("dispatcher", True, 0, 0, None),
        ("worker", False, 2, 7, "interactive"),
    ]
    assert 60 <= page["items"][1]["seenSeconds"] < 90

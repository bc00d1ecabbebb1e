"""When a job may begin, when it must have begun, and who is next."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
from collections.abc import Iterator

import pytest

from models.announcements import SMALLEST_WINDOW
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("system")
SLOTS = 4
SETTINGS = {"WORKER_SLOTS": str(SLOTS), "LLM_TOTAL_SECONDS": "70"}

BEFORE_IT = 2 * SMALLEST_WINDOW + SLOTS
"""Those that are announced already, and those of an announcer that had looked before it was there."""
TURNS = """
    SELECT count(*) FILTER (WHERE theirs.started_at > mine.started_at) AS later,
           count(*) FILTER (WHERE theirs.started_at BETWEEN CAST(%s AS timestamptz) AND mine.started_at) AS between
    FROM jobs JOIN attempts AS mine ON mine.job_id = jobs.id, attempts AS theirs
    WHERE jobs.id::text = %s AND theirs.job_id::text = ANY(%s)
"""
"""Of the others: who began after it, and who began while it waited, because they had been announced already.

It waits from the moment when its caller was answered: before its commit, which may take long, nobody can see it.
"""


def create(stack: Stack, message: str, *, address: str = "127.0.0.1", **fields: object) -> str:
    """A job of the caller with this address."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10, source_address=(address, 0))
    body = json.dumps({"message": message, **fields})
    connection.request("POST", "/api/jobs", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 201, answer
    return str(answer["jobId"])


@contextlib.contextmanager
def all_slots_taken(stack: Stack) -> Iterator[None]:
    """Nothing else can begin in here, however long its steps take; their jobs are cancelled at the end."""
    busy = [create(stack, f"[[latency-ms=60000]] {number}") for number in range(SLOTS)]
    eventually(lambda: {stack.job(job_id)["status"] for job_id in busy} == {"analyzing"})
    yield
    for job_id in busy:
        status, job = stack.request("DELETE", f"/api/jobs/{job_id}")
        assert (status, [attempt["outcome"] for attempt in job["attempts"]]) == (200, ["cancelled"]), "a slot was free"


def test_a_scheduled_job_begins_when_its_time_has_come(stack: Stack) -> None:
    """Not before, and without anybody's doing."""
    run_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    job_id = create(stack, "Later", runAt=run_at.isoformat())

    waiting = stack.job(job_id)
    job = stack.finished(job_id)

    assert (waiting["status"], waiting["waitReason"], waiting["queuePosition"]) == ("created", "scheduled", None)
    assert job["status"] == "completed"
    assert dt.datetime.fromisoformat(job["attempts"][0]["startedAt"]) >= run_at


def test_a_job_nobody_begins_in_time_fails(stack: Stack) -> None:
    """All slots are taken for longer than it wants to wait; it was never tried."""
    with all_slots_taken(stack):
        job = stack.finished(create(stack, "In vain", ttlSeconds=1))

    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", "deadline_exceeded", [])


def test_a_quiet_caller_need_not_wait_for_a_noisy_ones_backlog(stack: Stack) -> None:
    """The quiet job comes before nearly all of what the noisy caller had handed in earlier."""
    noisy = [create(stack, f"[[latency-ms=400]] {number}") for number in range(60)]
    quiet = create(stack, "Me too", address="127.0.0.2")
    [now] = stack.sql("SELECT clock_timestamp() AS at")

    assert stack.finished(quiet)["status"] == "completed"
    assert {stack.finished(job_id)["status"] for job_id in noisy} == {"completed"}
    [row] = stack.sql(TURNS, now["at"], quiet, noisy)
    assert row["later"] > 0
    assert row["between"] <= BEFORE_IT


def test_the_urgent_job_of_a_caller_overtakes_its_others(stack: Stack) -> None:
    """One step of priority is worth a minute."""
    others = [create(stack, f"[[latency-ms=400]] {number}", priority=0) for number in range(40)]
    urgent = create(stack, "Now!", priority=9)
    [now] = stack.sql("SELECT clock_timestamp() AS at")

    assert stack.finished(urgent)["status"] == "completed"
    assert {stack.finished(job_id)["status"] for job_id in others} == {"completed"}
    [row] = stack.sql(TURNS, now["at"], urgent, others)
    assert row["later"] > 0
    assert row["between"] <= BEFORE_IT


def test_a_waiting_job_shows_its_place(stack: Stack) -> None:
    """From the announcer's count, which is a second old at most."""
    with all_slots_taken(stack):
        waiting = [create(stack, f"Wait {number}") for number in range(3)]

        eventually(lambda: [stack.job(job_id)["queuePosition"] for job_id in waiting] == [1, 2, 3])

        assert {stack.job(job_id)["waitReason"] for job_id in waiting} == {"behind"}
    assert {stack.finished(job_id)["status"] for job_id in waiting} == {"completed"}

"""Results of a batch: each line once, whatever commits when."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from models import attempts, batch_results, batches
from models.attempts import Ending, Outcome
from models.base import Autocommit, Session
from models.jobs import QueueClass
from models.owners import ANYONE
from models.states import JobStatus
from tests.factories import a_job, ask, claim, now, the_job

pytestmark = pytest.mark.usefixtures("db")
BEGINNING = dt.datetime(1, 1, 1, tzinfo=dt.UTC), -1


def a_batch(*statuses: JobStatus, **columns: Any) -> tuple[str, list[str]]:
    batch_id = str(uuid.uuid4())
    with Session.begin() as session:
        session.add(batches.Batch(id=batch_id, owner="address:192.0.2.1", total=len(statuses)))
    of_batch = {"batch_id": batch_id, "queue_class": QueueClass.BATCH, **columns}
    return batch_id, [a_job(status=status, batch_position=place, **of_batch) for place, status in enumerate(statuses)]


def by_time(batch_id: str, after: tuple[dt.datetime, int] = BEGINNING) -> list[int]:
    with Autocommit() as session:
        before = batch_results.horizon(session)
        return [
            row["position"]
            for row in batch_results.by_time(session, batch_id, reader=ANYONE, after=after, before=before)
        ]


def by_position(batch_id: str, after: int = -1) -> list[int]:
    with Autocommit() as session:
        return [row["position"] for row in batch_results.by_position(session, batch_id, reader=ANYONE, after=after)]


def test_results_by_position_end_before_the_first_that_is_unfinished() -> None:
    """So that the position of the last line is all a reader has to remember."""
    done, waits = JobStatus.COMPLETED, JobStatus.CREATED
    batch_id, _ = a_batch(done, JobStatus.FAILED, JobStatus.CANCELLED, waits, done)

    assert by_position(batch_id) == [0, 1, 2]
    assert by_position(batch_id, after=0) == [1, 2]
    assert by_position(batch_id, after=2) == []
    assert by_position(batch_id, after=3) == [4]


def test_results_by_time_come_in_the_order_of_finishing() -> None:
    """Also those at the same microsecond, and none twice behind a cursor."""
    moment = now() - dt.timedelta(minutes=1)
    batch_id, _ = a_batch(*[JobStatus.COMPLETED] * 3, finished_at=moment)
    of_batch = {"batch_id": batch_id, "queue_class": QueueClass.BATCH}
    a_job(status=JobStatus.FAILED, finished_at=moment - dt.timedelta(seconds=1), batch_position=3, **of_batch)

    assert by_time(batch_id) == [3, 0, 1, 2]
    assert by_time(batch_id, (moment, 0)) == [1, 2]


def test_no_result_is_passed_over_that_is_committed_late() -> None:
    """Its stamp is older than that of one that can be seen already: the one has to wait for the other."""
    batch_id, (slow, fast) = a_batch(JobStatus.CREATED, JobStatus.CREATED)
    claims = [claim(job_id) for job_id in (slow, fast)]
    assert all(claimed is not None and ask(claimed) for claimed in claims)
    endings = [Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="So.") for job_id in (slow, fast)]

    with Session.begin() as session:
        attempts.record(session, [endings[0]])
        with Session.begin() as other:
            attempts.record(other, [endings[1]])
        meanwhile = by_time(batch_id)
    after = by_time(batch_id)

    assert the_job(slow).finished_at < the_job(fast).finished_at  # type: ignore[operator]
    assert meanwhile == []
    assert after == [0, 1]


def test_a_page_is_bounded_by_the_bytes_of_its_results() -> None:
    """Replies may be a megabyte each, and many read at once."""
    batch_id, _ = a_batch(*[JobStatus.COMPLETED] * 5, result="x" * 1024 * 1024)

    assert by_position(batch_id) == by_time(batch_id) == [0, 1]
    assert by_position(batch_id, after=1) == [2, 3]


def test_a_batch_is_over_when_nothing_of_it_is_unfinished() -> None:
    """However it ended."""
    over, _ = a_batch(JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
    running, _ = a_batch(JobStatus.COMPLETED, JobStatus.ANALYZING)

    with Autocommit() as session:
        assert batch_results.is_over(session, over, reader=ANYONE)
        assert not batch_results.is_over(session, running, reader=ANYONE)

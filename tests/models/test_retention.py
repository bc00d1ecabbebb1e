"""Finished work goes after its time, and leaves a tombstone."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, text

from models import batches, dead_letters, jobs, retention
from models.attempts import Attempt
from models.base import Session
from models.batches import Batch
from models.errors import BatchGone, JobGone, JobNotFound, Refusal
from models.idempotency import IdempotencyKey
from models.jobs import Job
from models.owners import ANYONE
from models.retention import Tombstone
from models.states import FINISHED, JobStatus
from tests.factories import a_job, change, now

pytestmark = pytest.mark.usefixtures("db")
LONG_AGO = dt.timedelta(days=31)


def sweep(*, days: float = 30, most: int = 100) -> int:
    with Session.begin() as session:
        return retention.sweep(session, days=days, most=most)


def ids(column: object) -> set[str]:
    with Session() as session:
        return set(session.scalars(select(column)))  # type: ignore[call-overload]


def an_old_job(**columns: object) -> str:
    return a_job(**{"status": JobStatus.COMPLETED, "finished_at": now() - LONG_AGO, **columns})


def a_key(*, job_id: str | None = None, batch_id: str | None = None, expires_in: dt.timedelta) -> None:
    with Session.begin() as session:
        session.add(
            IdempotencyKey(
                scope="me",
                key=str(uuid.uuid4()),
                request_hash=b"",
                job_id=job_id,
                batch_id=batch_id,
                expires_at=now() + expires_in,
            )
        )


def a_batch(*, age: dt.timedelta = LONG_AGO) -> str:
    batch_id = str(uuid.uuid4())
    with Session.begin() as session:
        session.add(Batch(id=batch_id, owner="me", total=2, created_at=now() - age))
    return batch_id


def absence(job_id: str) -> Refusal:
    with Session() as session:
        return retention.absence(session, job_id, reader=ANYONE, unknown=JobNotFound())


def test_what_finished_long_ago_goes_with_its_attempts_and_leaves_a_tombstone() -> None:
    """Completed, failed, discarded or cancelled; asked for, it is gone and not unknown."""
    old = {an_old_job(status=status) for status in FINISHED}
    old.add(an_old_job(status=JobStatus.FAILED, discarded_at=now()))
    young = a_job(status=JobStatus.COMPLETED, finished_at=now() - dt.timedelta(days=29))

    removed = sweep()

    assert removed == 4
    assert ids(Job.id) == ids(Attempt.job_id) == {young}
    assert ids(Tombstone.job_id) == old
    assert {type(absence(job_id)) for job_id in old} == {JobGone}
    assert type(absence(str(uuid.uuid4()))) is JobNotFound


@pytest.mark.parametrize("status", sorted(set(JobStatus) - FINISHED))
def test_unfinished_work_has_no_age(status: JobStatus) -> None:
    """However long ago it was created."""
    ages = dict.fromkeys(("created_at", "updated_at", "next_attempt_at", "deadline_at"), now() - 12 * LONG_AGO)
    job_id = a_job(status=status, **ages)

    assert sweep() == 0
    assert ids(Job.id) == {job_id}


def test_a_sweep_takes_no_more_than_it_may_the_oldest_first() -> None:
    """The rest is for the next one."""
    oldest, old, less_old = (an_old_job(finished_at=now() - days * LONG_AGO) for days in (3, 2, 1))

    removed = [sweep(most=2), sweep(most=2), sweep(most=2)]

    assert removed == [2, 1, 0]
    assert ids(Tombstone.job_id) == {oldest, old, less_old}


def test_a_job_whose_key_still_lives_stays() -> None:
    """Without it the same request would make a second job. A key that has expired goes with its job."""
    kept, gone = an_old_job(), an_old_job()
    a_key(job_id=kept, expires_in=dt.timedelta(hours=1))
    a_key(job_id=gone, expires_in=-dt.timedelta(hours=1))

    assert sweep(days=0.01) == 1
    assert ids(Job.id) == ids(IdempotencyKey.job_id) == {kept}


def test_a_batch_is_gone_with_the_last_of_its_jobs() -> None:
    """Whoever asks for it is told so, whatever he wants; while it has a job left it is there."""
    whole, half = a_batch(), a_batch()
    for batch_id in (whole, half):
        an_old_job(batch_id=batch_id, batch_position=0)
    a_job(batch_id=half, batch_position=1)

    removed = sweep()

    assert removed == 2
    for verb in (batches.shown, batches.cancel_some, batches.retry_some):
        where: dict[str, Any] = {"reader": "me"} if verb is batches.shown else {"reader": "me", "after": -1}
        with Session() as session, pytest.raises(BatchGone):
            verb(session, whole, **where)
        with Session() as session:
            verb(session, half, **where)


def test_what_is_left_of_a_batch_stands_for_a_year() -> None:
    """And goes then, but not while it has jobs or its key lives."""
    year = LONG_AGO + dt.timedelta(days=365)
    _, busy, keyed, young = a_batch(age=year), a_batch(age=year), a_batch(age=year), a_batch()
    a_job(batch_id=busy, batch_position=1)
    a_key(batch_id=keyed, expires_in=dt.timedelta(hours=1))

    sweep()

    assert ids(Batch.id) == {busy, keyed, young}


def test_two_sweeps_at_once_share_the_work() -> None:
    """What one has in hand the other passes over; neither waits, and each job is removed once."""
    old = {an_old_job() for _ in range(4)}

    with Session.begin() as first:
        held = retention.sweep(first, days=30, most=2)
        others = sweep(most=10)

    assert (held, others) == (2, 2)
    assert ids(Tombstone.job_id) == old


def test_a_letter_that_is_being_redriven_is_not_removed() -> None:
    """The sweep passes it over, and afterwards it has no age any more."""
    job_id = an_old_job(status=JobStatus.FAILED)

    with Session.begin() as session:
        dead_letters.redrive(session, job_id)
        while_redriven = sweep()

    assert [while_redriven, sweep()] == [0, 0]
    assert ids(Job.id) == {job_id}


def test_who_asks_for_a_removed_job_learns_that_it_is_gone() -> None:
    """Every verb that takes one job's id."""
    job_id = an_old_job(status=JobStatus.FAILED)
    sweep()

    for verb in (
        partial(jobs.shown, reader=ANYONE),
        partial(jobs.cancel, reader=ANYONE),
        dead_letters.one,
        dead_letters.redrive,
        dead_letters.discard,
    ):
        with Session() as session, pytest.raises(JobGone):
            verb(session, job_id)


def test_tombstones_stand_for_a_year() -> None:
    """Then they go, so many at a time."""
    old, young = [str(uuid.uuid4()) for _ in range(3)], str(uuid.uuid4())
    with Session.begin() as session:
        session.add_all(Tombstone(job_id=job_id, removed_at=now() - dt.timedelta(days=366)) for job_id in old)
        session.add(Tombstone(job_id=young, removed_at=now() - dt.timedelta(days=364)))

    removed = []
    for _ in range(3):
        with Session.begin() as session:
            removed.append(retention.sweep_tombstones(session, most=2))

    assert removed == [2, 1, 0]
    assert ids(Tombstone.job_id) == {young}


def test_the_sweep_reads_the_index_and_not_the_table() -> None:
    """It runs every minute; most of what there is is too young."""
    for _ in range(3):
        a_job(status=JobStatus.COMPLETED)
    change(an_old_job(), owner="somebody")

    with Session() as session:
        # With four rows each plan costs the same; which is cheapest is decided by what the table held before.
        for other in ("seqscan", "bitmapscan", "sort"):
            session.execute(text(f"SET LOCAL enable_{other} = off"))
        plan = session.scalars(
            text(f"EXPLAIN {retention._SWEEP.text}"), {"seconds": 30 * retention.DAY_SECONDS, "most": 10}
        ).all()
        count = session.scalar(select(func.count()).select_from(Job))

    assert count == 4
    assert any("Index Scan using ix_jobs_finished" in line for line in plan), plan
    assert any("Index Cond: (finished_at <" in line for line in plan)

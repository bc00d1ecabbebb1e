"""Batches: stored as a whole, once for each key; counted, cancelled and retried by their jobs."""

from __future__ import annotations

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from models import batches, jobs
from models.base import Session
from models.batches import Prompt
from models.errors import BatchCancelled, BatchNotFound, IdempotencyKeyReused
from models.jobs import Job, JobType, QueueClass
from models.owners import ANYONE
from models.states import JobStatus
from tests.factories import a_job, claim, count_jobs, create, now, the_attempt, the_job

pytestmark = pytest.mark.usefixtures("db")
OWNER = "address:192.0.2.1"


def prompts(number: int, **facts: Any) -> list[Prompt]:
    common = {"owner": OWNER, "type": JobType.CHAT, "max_attempts": 5, "deadline_seconds": 600.0}
    return [Prompt(**{"message": f"Question {place}", **common, **facts}) for place in range(number)]


def a_batch(number: int = 3, **facts: Any) -> str:
    with Session.begin() as session:
        return batches.create(session, prompts(number, **facts))


def an_empty_batch(total: int) -> str:
    batch_id = str(uuid.uuid4())
    with Session.begin() as session:
        session.add(batches.Batch(id=batch_id, owner=OWNER, total=total))
    return batch_id


def once(key: str, number: int = 3, *, request_hash: bytes = b"one") -> tuple[str, bool]:
    with Session.begin() as session:
        return batches.create_once(session, prompts(number), key=key, request_hash=request_hash)


def jobs_of(batch_id: str) -> list[Job]:
    with Session() as session:
        return list(session.scalars(select(Job).where(Job.batch_id == batch_id).order_by(Job.batch_position)))


def stored() -> int:
    with Session() as session:
        return sum(count_jobs(session).values())


def through(some: Any, batch_id: str) -> None:
    position = -1
    while position is not None:
        with Session.begin() as session:
            position = some(session, batch_id, reader=ANYONE, after=position)


def test_a_batch_is_jobs_of_the_batch_class_in_the_order_of_its_prompts() -> None:
    """More than one page of rows, each prompt at its place, the first of them asked first."""
    batch_id = a_batch(batches.PAGE_ROWS + 2, custom_id="mine")

    made = jobs_of(batch_id)

    assert [job.message for job in made] == [f"Question {place}" for place in range(batches.PAGE_ROWS + 2)]
    assert [job.batch_position for job in made] == list(range(batches.PAGE_ROWS + 2))
    assert {(job.queue_class, job.status, job.owner, job.custom_id) for job in made} == {
        (QueueClass.BATCH, JobStatus.CREATED, OWNER, "mine")
    }
    assert [job.rank_at for job in made] == sorted(job.rank_at for job in made)
    assert len({job.rank_at for job in made}) == len(made)


def test_long_messages_make_shorter_pages() -> None:
    """No statement grows with what people write."""
    pages = list(batches._pages(prompts(5, message="x" * 400_000)))

    assert [len(page) for page in pages] == [3, 2]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"priority": 9},
        {"priority": 0, "ttl_seconds": 30.0},
        {"run_at": now() + dt.timedelta(hours=1), "ttl_seconds": 30.0},
        {"run_at": now() - dt.timedelta(hours=1)},
        {"type": JobType.SUMMARIZE, "message": 'Quote " back \\ slash \N{OWL} :name %s'},
    ],
)
def test_a_prompt_means_the_same_in_a_batch_and_alone(facts: dict[str, Any]) -> None:
    """Two statements insert jobs; they must agree about times, ranks and text."""
    [batched], alone = jobs_of(a_batch(1, **facts)), the_job(create(**facts))

    for name in ("type", "priority", "run_at", "due", "max_attempts", "deadline_seconds"):
        assert getattr(batched, name) == getattr(alone, name)
    for name in ("rank_at", "next_attempt_at", "deadline_at", "start_by"):
        assert apart(batched, name) == pytest.approx(apart(alone, name), abs=0.01)
    assert batched.message == facts.get("message", "Question 0")


def apart(job: Job, name: str) -> float | None:
    """Seconds between a time of the job and the one from which it may run."""
    moment = getattr(job, name)
    return None if moment is None else (moment - max(job.run_at or job.created_at, job.created_at)).total_seconds()


def test_a_batch_that_cannot_be_stored_whole_is_not_stored() -> None:
    """One transaction."""
    spoilt = [*prompts(batches.PAGE_ROWS), *prompts(1, message="")]

    with pytest.raises(Exception, match="message_length"), Session.begin() as session:
        batches.create(session, spoilt)

    with Session() as session:
        assert session.scalar(text("SELECT count(*) FROM batches")) == stored() == 0


def test_a_key_makes_one_batch_however_often_it_comes() -> None:
    """Twenty at once; each waits for the first."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: once("key"), range(20)))

    assert len({batch_id for batch_id, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    assert stored() == 3


def test_a_key_used_for_another_batch_or_for_a_job_is_refused() -> None:
    """What is compared is the hash of the prompts."""
    once("key")
    with Session.begin() as session:
        jobs.create_once(session, prompts(1)[0], key="job's", said={"message": "x"})

    for key in ("key", "job's"):
        with pytest.raises(IdempotencyKeyReused):
            once(key, request_hash=b"two")

    assert stored() == 4


def test_an_expired_key_is_free_again() -> None:
    """Also before it is pruned, and whatever it made."""
    first, _ = once("key")
    with Session.begin() as session:
        session.execute(text("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 second'"))

    second, is_new = once("key", request_hash=b"two")

    assert is_new
    assert second != first


def test_the_counts_of_a_batch_are_those_of_its_jobs() -> None:
    """Of nobody else's."""
    batch_id = an_empty_batch(3)
    for place, status in enumerate((JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.FAILED)):
        a_job(status=status, batch_id=batch_id, batch_position=place, queue_class=QueueClass.BATCH)
    a_job(status=JobStatus.FAILED)

    with Session() as session:
        batch = batches.shown(session, batch_id, reader=ANYONE)

    assert (batch["total"], batch["counts"]) == (3, {"completed": 1, "failed": 2})


def test_an_unknown_batch_is_refused_by_every_verb() -> None:
    """There is nothing to lock and nothing to move."""
    unknown = str(uuid.uuid4())

    for verb in (
        lambda session: batches.shown(session, unknown, reader=ANYONE),
        lambda session: batches.cancel_some(session, unknown, reader=ANYONE, after=-1),
        lambda session: batches.retry_some(session, unknown, reader=ANYONE, after=-1),
    ):
        with pytest.raises(BatchNotFound), Session.begin() as session:
            verb(session)


def test_cancelling_a_batch_stops_what_is_unfinished_and_nothing_else() -> None:
    """In as many pieces as it takes; once more changes nothing."""
    batch_id = a_batch(batches.PAGE_ROWS + 5)
    running, done, *_ = jobs_of(batch_id)
    claimed = claim(running.id)
    assert claimed is not None
    with Session.begin() as session:
        jobs.cancel(session, done.id, reader=ANYONE)
    other = a_job()

    through(batches.cancel_some, batch_id)
    with Session() as session:
        first = batches.shown(session, batch_id, reader=ANYONE)
    through(batches.cancel_some, batch_id)
    with Session() as session:
        again = batches.shown(session, batch_id, reader=ANYONE)

    assert first["counts"] == again["counts"] == {"cancelled": batches.PAGE_ROWS + 5}
    assert first["cancelled_at"] == again["cancelled_at"] is not None
    assert the_attempt(running.id, 1).outcome == "cancelled"
    assert the_job(other).status == JobStatus.CREATED


def test_retrying_a_batch_redrives_what_failed_and_nothing_else() -> None:
    """What an operator has discarded stays where it is."""
    batch_id = an_empty_batch(4)
    of_batch = {"batch_id": batch_id, "queue_class": QueueClass.BATCH}
    failed = a_job(status=JobStatus.FAILED, failures=5, batch_position=0, **of_batch)
    completed = a_job(status=JobStatus.COMPLETED, batch_position=1, **of_batch)
    discarded = a_job(status=JobStatus.FAILED, batch_position=2, discarded_at=now(), **of_batch)
    elsewhere = a_job(status=JobStatus.FAILED)

    through(batches.retry_some, batch_id)

    assert (the_job(failed).status, the_job(failed).failures, the_job(failed).attempt) == (JobStatus.CREATED, 0, 1)
    assert [the_job(job_id).status for job_id in (completed, discarded, elsewhere)] == ["completed", "failed", "failed"]


def test_a_cancelled_batch_is_not_retried() -> None:
    """Its owner wants no more of it."""
    batch_id = a_batch()
    through(batches.cancel_some, batch_id)

    with pytest.raises(BatchCancelled), Session.begin() as session:
        batches.retry_some(session, batch_id, reader=ANYONE, after=-1)

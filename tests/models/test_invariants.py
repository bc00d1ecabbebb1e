"""The queries that must find nothing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import text

from models import attempts, dead_letters, invariants, jobs, leases
from models.attempts import Ending, Outcome
from models.base import Session
from models.invariants import Checked
from models.jobs import JobType, NewJob, Purpose
from models.owners import ANYONE
from models.states import JobStatus
from models.users import AI_ID
from tests.factories import a_job, a_user, an_ai_chat, answer, ask, call, change, claim, create, now, said_in, say

pytestmark = pytest.mark.usefixtures("db")
LONG_AGO = dt.timedelta(minutes=1)


def broken() -> dict[str, list[str]]:
    """What is violated now, and by whom."""
    with Session.begin() as session:
        return {each.name: each.violations for each in invariants.check(session) if not each.holds}


def sql(statement: str, **parameters: object) -> None:
    with Session.begin() as session:
        session.execute(text(statement), parameters)


def answered() -> str:
    """A job that went its whole way by the verbs."""
    job_id = create()
    claimed = claim(job_id)
    assert claimed
    ask(claimed)
    end(job_id, 1, Outcome.COMPLETED)
    return job_id


def end(job_id: str, attempt: int, outcome: Outcome) -> None:
    ending = Ending(job_id=job_id, attempt=attempt, outcome=outcome, text="Yes.", error_code="x", error_message="y")
    with Session.begin() as session:
        attempts.record(session, [ending])


def keyed(key: str, owner: str = "address:192.0.2.1") -> str:
    new_job = NewJob(owner=owner, type=JobType.CHAT, message="Hello", max_attempts=5, deadline_seconds=600)
    with Session.begin() as session:
        return jobs.create_once(session, new_job, key=key, said={"message": "Hello"})[0]


def test_whatever_the_verbs_have_done_nothing_is_broken() -> None:
    """Answered, retried, lost, given back, failed, redriven, cancelled before and while it ran."""
    answered()
    keyed("one")
    lost, retried, released, failed, cancelled = (create() for _ in range(5))
    for job_id in (lost, retried, released, failed, cancelled):
        claim(job_id)
    change(lost, lease_until=now() - dt.timedelta(seconds=1))
    for job_id, outcome in ((retried, Outcome.RETRIED), (released, Outcome.RELEASED), (failed, Outcome.FAILED)):
        end(job_id, 1, outcome)
    with Session.begin() as session:
        leases.reap(session)
        jobs.cancel(session, cancelled, reader=ANYONE)
        dead_letters.redrive(session, failed)
    end(lost, 1, Outcome.COMPLETED)

    assert broken() == {}


def lease_ran_out() -> str:
    return a_job(status=JobStatus.ANALYZING, lease_until=now() - LONG_AGO)


def deadline_has_passed() -> str:
    return a_job(deadline_at=now() - LONG_AGO)


def ttl_has_passed() -> str:
    return a_job(start_by=now() - LONG_AGO)


def overlooked() -> str:
    return a_job(due=False, next_attempt_at=now() - LONG_AGO)


def announced_without_waiting() -> str:
    job_id = answered()
    change(job_id, announced_at=now())
    return job_id


def attempt_without_record() -> str:
    job_id = create()
    change(job_id, attempt=1)
    return job_id


def open_attempt_of_a_job_that_does_not_run() -> str:
    job_id = answered()
    sql("UPDATE attempts SET finished_at = NULL, outcome = NULL")
    # For itself: without an answer it would break another one too.
    sql("UPDATE jobs SET status = 'cancelled', result = NULL")
    return job_id


def closed_attempt_of_a_job_that_runs() -> str:
    job_id = create()
    claim(job_id)
    sql("UPDATE attempts SET finished_at = clock_timestamp(), outcome = 'lost'")
    return job_id


def answered_other_than_once() -> str:
    job_id = answered()
    sql("UPDATE attempts SET outcome = 'released'")
    return job_id


def answered_by_an_older_attempt() -> str:
    job_id = answered()
    later = "(SELECT job_id, 2, worker, finished_at, finished_at, 'released' FROM attempts)"
    sql(f"INSERT INTO attempts (job_id, attempt, worker, started_at, finished_at, outcome) {later}")
    change(job_id, attempt=2)
    return job_id


def overlapping_attempts() -> str:
    job_id = create()
    for number in range(2):
        claim(job_id, expected=number)
        end(job_id, number + 1, Outcome.RELEASED)
    sql("UPDATE attempts SET finished_at = finished_at + interval '1 minute' WHERE attempt = 1")
    return job_id


def failures_without_attempts() -> str:
    job_id = create()
    change(job_id, failures=1)
    return job_id


def made_by_two_keys() -> str:
    job_id = keyed("first")
    keyed("second")
    sql("UPDATE idempotency_keys SET job_id = CAST(:id AS uuid)", id=job_id)
    return job_id


def made_by_a_key_of_another_owner() -> str:
    job_id = keyed("first")
    sql("UPDATE idempotency_keys SET scope = 'address:192.0.2.2'")
    return job_id


def incomplete_batch() -> str:
    batch_id = str(uuid.uuid4())
    sql("INSERT INTO batches (id, owner, total) VALUES (CAST(:id AS uuid), 'o', 2)", id=batch_id)
    a_job(batch_id=batch_id, batch_position=0)
    return batch_id


def removed_and_still_there() -> str:
    job_id = answered()
    sql("INSERT INTO tombstones (job_id) VALUES (CAST(:id AS uuid))", id=job_id)
    return job_id


def reserved_for_nothing() -> str:
    job_id = answered()
    change(job_id, reserved=1)
    return job_id


def cost_without_price() -> str:
    job_id = answered()
    sql("UPDATE attempts SET cost = 1")
    return job_id


def reply_that_was_not_posted() -> str:
    anna = a_user()
    chat = an_ai_chat(anna)
    answer(call(chat, anna))
    sql("UPDATE messages SET client_msg_id = 'another' WHERE is_ai")
    return said_in(chat)[1].job_id or ""


def posted_before_its_time() -> str:
    anna = a_user()
    chat = an_ai_chat(anna)
    job_id = str(call(chat, anna))
    say(chat, AI_ID, client_msg_id=f"ai:{job_id}")
    return job_id


def two_generations_at_once() -> str:
    chat = an_ai_chat(a_user())
    return max(a_job(status=JobStatus.ANALYZING, purpose=Purpose.REPLY, chat_id=chat) for _ in range(2))


CRIMES = (
    lease_ran_out,
    deadline_has_passed,
    ttl_has_passed,
    overlooked,
    announced_without_waiting,
    attempt_without_record,
    open_attempt_of_a_job_that_does_not_run,
    closed_attempt_of_a_job_that_runs,
    answered_other_than_once,
    answered_by_an_older_attempt,
    overlapping_attempts,
    failures_without_attempts,
    made_by_two_keys,
    made_by_a_key_of_another_owner,
    incomplete_batch,
    reply_that_was_not_posted,
    posted_before_its_time,
    two_generations_at_once,
    reserved_for_nothing,
    cost_without_price,
    removed_and_still_there,
)


@pytest.mark.parametrize("crime", CRIMES, ids=lambda crime: crime.__name__)
def test_an_invariant_that_is_broken_names_the_job_and_no_other_does(crime: Callable[[], str]) -> None:
    """A query that finds nothing because it is wrong would be worse than none."""
    job_id = crime()
    answered()

    assert broken() == {crime.__name__: [job_id]}


def test_every_invariant_is_broken_once_above() -> None:
    """So that a new one comes with its crime."""
    assert {crime.__name__ for crime in CRIMES} == set(invariants.NAMES)


def test_a_query_that_takes_too_long_is_cut_and_does_not_count_as_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are still asked, with the time that is left; no time left, nothing asked."""
    asleep = text("SELECT 'lease_ran_out' AS name, 0 AS broken, NULL AS ids FROM pg_sleep(60)")
    monkeypatch.setattr(invariants, "_AT_ONCE", asleep)
    monkeypatch.setattr(invariants, "_STATEMENTS", {**invariants._STATEMENTS, "lease_ran_out": asleep})
    monkeypatch.setattr(invariants, "SECONDS_EACH", 0.2)

    with Session.begin() as session:
        cut, *others = invariants.check(session)
        monkeypatch.setattr(invariants, "SECONDS_IN_ALL", 0)
        unasked = invariants.check(session)

    assert cut == Checked(name="lease_ran_out", count=None, violations=[])
    assert not cut.holds
    assert all(each.holds for each in others)
    assert {each.count for each in unasked} == {None}


def test_what_is_reported_of_a_great_mess_is_bounded() -> None:
    """Twenty ids and a count that stops."""
    with Session.begin() as session:
        session.execute(text(MANY))

    with Session.begin() as session:
        [found] = [each for each in invariants.check(session) if not each.holds]

    assert (found.name, found.count, len(found.violations)) == ("attempt_without_record", 1000, 20)


MANY = """
    INSERT INTO jobs (id, owner, type, queue_class, message, rank_at, status, max_attempts, deadline_at,
                      deadline_seconds, attempt)
    SELECT gen_random_uuid(), 'o', 'chat', 'interactive', 'm', now(), 'created', 5, now() + interval '1 hour', 60, 1
    FROM generate_series(1, 1001)
"""

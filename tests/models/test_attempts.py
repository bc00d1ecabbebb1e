"""What workers write."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from models import announcements, attempts, dead_letters, heartbeats, leases
from models.attempts import Ending, Outcome
from models.base import Session
from models.states import JobStatus
from tests.factories import a_job, ask, change, claim, create, the_attempt, the_job

pytestmark = pytest.mark.usefixtures("db")


def end(job_id: str, outcome: Outcome, *, attempt: int = 1, **facts: object) -> set[tuple[str, int]]:
    with Session.begin() as session:
        return attempts.record(session, [Ending(job_id=job_id, attempt=attempt, outcome=outcome, **facts)])  # type: ignore[arg-type]


def test_a_hint_delivered_ten_times_is_claimed_once() -> None:
    """Celery delivers at least once; the attempt number in the hint makes nine of ten miss."""
    job_id = create()

    claims = [claim(job_id) for _ in range(10)]

    assert [one is not None for one in claims] == [True] + [False] * 9
    assert the_job(job_id).attempt == 1


def test_a_claim_takes_the_attempt_leases_the_job_and_opens_its_row() -> None:
    """All three in one statement, so that none can be missing."""
    job_id = create()

    claimed = claim(job_id, worker="w-7")

    assert claimed is not None
    assert (claimed.id, claimed.attempt, claimed.message) == (job_id, 1, "Why is the sky blue?")
    assert 590 < claimed.seconds_left <= 600
    job = the_job(job_id)
    assert (job.status, job.leased_by, job.announced_at) == (JobStatus.PROCESSING, "w-7", None)
    assert job.lease_until is not None
    assert the_attempt(job_id, 1).finished_at is None


def test_a_bundle_with_unknown_finished_and_repeated_jobs_claims_the_rest() -> None:
    """A hint says nothing certain; each is judged alone."""
    good, done = create(), a_job(status=JobStatus.COMPLETED)
    hints = [(good, 0), (good, 0), (done, 1), ("00000000-0000-4000-8000-000000000000", 0)]

    with Session.begin() as session:
        claims = attempts.claim(session, hints, worker="w", lease_seconds=15)

    assert [one.id for one in claims] == [good]


def test_a_hint_from_before_a_delayed_redrive_does_not_begin_it_early() -> None:
    """The attempt's number is still the one the hint names; the time is not yet that of the job."""
    job_id = create()
    change(job_id, deadline_at=text("clock_timestamp() - interval '1 second'"))
    with Session.begin() as session:
        leases.expire(session)
        dead_letters.redrive_all(session, [job_id], delays=[60.0])

    early = claim(job_id, expected=0)
    change(job_id, next_attempt_at=text("clock_timestamp() - interval '1 second'"))
    with Session.begin() as session:
        announcements.promote(session)

    assert early is None
    assert claim(job_id, expected=0) is not None


def test_a_hint_does_not_cut_a_back_off_short() -> None:
    """Whoever knows the number of the attempt that failed, and whyever."""
    job_id = create()
    claim(job_id)
    end(job_id, Outcome.RETRIED, error_code="x", error_message="y", delay_seconds=60.0)

    assert claim(job_id, expected=1) is None


def test_a_completed_job_has_its_answer_its_usage_and_all_its_times() -> None:
    """What a client polls for."""
    job_id = create()
    claimed = claim(job_id)
    assert claimed
    ask(claimed)

    end(job_id, Outcome.COMPLETED, text="Because.", truncated=True, prompt_tokens=3, completion_tokens=4)

    job, attempt = the_job(job_id), the_attempt(job_id, 1)
    assert (job.status, job.result, job.truncated, job.model) == (JobStatus.COMPLETED, "Because.", True, "some-model")
    assert (job.lease_until, job.leased_by) == (None, None)
    assert (attempt.outcome, attempt.prompt_tokens, attempt.completion_tokens) == (Outcome.COMPLETED, 3, 4)
    assert attempt.asked_at
    assert attempt.finished_at
    assert attempt.started_at <= attempt.asked_at <= attempt.finished_at


@pytest.mark.parametrize(
    ("outcome", "status", "failures"),
    [
        (Outcome.RETRIED, JobStatus.RETRYING, 1),
        (Outcome.FAILED, JobStatus.FAILED, 1),
        (Outcome.SNOOZED, JobStatus.RETRYING, 0),
        (Outcome.RELEASED, JobStatus.RETRYING, 0),
    ],
)
def test_only_what_the_model_did_wrong_counts_as_a_failure(outcome: Outcome, status: JobStatus, failures: int) -> None:
    """Throttling and a worker that stops are not the job's fault."""
    job_id = a_job(status=JobStatus.ANALYZING)

    end(job_id, outcome, error_code="some_code", error_message="Some words.")

    job = the_job(job_id)
    assert (job.status, job.failures) == (status, failures)
    assert the_attempt(job_id, 1).error_code == "some_code"


def test_a_retried_job_waits_as_long_as_told_and_a_released_one_not_at_all() -> None:
    """The delay is counted from the database's clock."""
    retried, snoozed = a_job(status=JobStatus.ANALYZING), a_job(status=JobStatus.ANALYZING)
    released = a_job(status=JobStatus.PROCESSING)

    end(retried, Outcome.RETRIED, error_code="x", error_message="y", delay_seconds=40.0)
    end(snoozed, Outcome.SNOOZED, error_code="x", error_message="y", delay_seconds=40.0)
    end(released, Outcome.RELEASED)

    for job in (the_job(retried), the_job(snoozed)):
        assert 39 < (job.next_attempt_at - job.updated_at).total_seconds() < 41
        assert not job.due
    job = the_job(released)
    assert (job.next_attempt_at - job.updated_at).total_seconds() < 1
    assert job.due


def test_a_lost_lease_puts_the_job_back_without_counting_a_failure() -> None:
    """Its worker vanished; the job did nothing wrong."""
    lost, alive = a_job(status=JobStatus.ANALYZING), a_job(status=JobStatus.ANALYZING)
    with Session.begin() as session:
        leases.grant_amnesty(session, lease_seconds=15)
    change(lost, lease_until=the_job(lost).created_at)

    with Session.begin() as session:
        reaped = leases.reap(session)

    assert reaped == [lost]
    job = the_job(lost)
    assert (job.status, job.lost_count, job.failures, job.leased_by) == (JobStatus.RETRYING, 1, 0, None)
    assert the_attempt(lost, 1).outcome is Outcome.LOST
    assert the_job(alive).status is JobStatus.ANALYZING


def test_a_reaper_that_was_away_gives_workers_time_to_renew_before_it_reaps() -> None:
    """After an outage every lease has run out, and every worker may be well."""
    job_id = a_job(status=JobStatus.ANALYZING)
    with Session.begin() as session:
        first = leases.grant_amnesty(session, lease_seconds=15)
        again = leases.grant_amnesty(session, lease_seconds=15)
    change(job_id, lease_until=the_job(job_id).created_at)
    away(seconds=6)

    with Session.begin() as session:
        granted = leases.grant_amnesty(session, lease_seconds=15)
        reaped = leases.reap(session)

    assert (first, again, granted, reaped) == (True, False, True, [])
    assert the_job(job_id).status is JobStatus.ANALYZING


def test_a_worker_that_had_gone_before_the_outage_gets_no_amnesty() -> None:
    """Else every outage would put off the recovery of its jobs; who beat until the outage began gets it."""
    lost, alive = (a_job(status=JobStatus.ANALYZING, leased_by=name) for name in ("gone", "well"))
    with Session.begin() as session:
        leases.grant_amnesty(session, lease_seconds=15)
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="gone")
    away(seconds=12)
    with Session.begin() as session:
        leases.grant_amnesty(session, lease_seconds=15)
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="well")
    for job_id in (lost, alive):
        change(job_id, lease_until=the_job(job_id).created_at)
    away(seconds=6)

    with Session.begin() as session:
        granted = leases.grant_amnesty(session, lease_seconds=15)
        reaped = leases.reap(session)

    assert (granted, reaped) == (True, [lost])


def away(*, seconds: int) -> None:
    """Move the reaper's last tick, and every other beat, into the past."""
    with Session.begin() as session:
        session.execute(text("UPDATE heartbeats SET seen_at = seen_at - make_interval(secs => :s)"), {"s": seconds})


def test_a_worker_renews_its_own_claims_and_learns_which_are_no_longer_its() -> None:
    """The answer is what the watch breaks calls by."""
    mine = a_job(status=JobStatus.ANALYZING)
    taken, cancelled = a_job(status=JobStatus.ANALYZING, attempt=2), a_job(status=JobStatus.CANCELLED)
    before = the_job(mine).lease_until
    running = [(mine, 1), (taken, 1), (cancelled, 1)]

    with Session.begin() as session:
        seen = leases.own(session, running, worker="worker-1")
        unchanged = the_job(mine).lease_until
        renewed = leases.own(session, running, worker="worker-1", renew_for=900)

    after = the_job(mine).lease_until
    assert seen == renewed == {(mine, 1)}
    assert unchanged == before
    assert before is not None
    assert after is not None
    assert after > before

"""What is done at the same time: each thing counts once, whoever was first.

``make chaos-full`` runs these with ten times as many jobs.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import text

from models import announcements, attempts, dead_letters, invariants, jobs, leases
from models.announcements import Room
from models.attempts import Ending, Outcome
from models.base import Session
from models.errors import AlreadyFinished, DeadLetterNotFound
from models.jobs import QueueClass
from models.owners import ANYONE
from models.states import JobStatus
from tests.factories import WORKER, a_job, create

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.timeout(600)]
T = TypeVar("T")
IS_LONG = os.environ.get("PARLEY_CHAOS") == "full"
JOBS = 1000 if IS_LONG else 100
DELIVERIES = 10
BUNDLE = 32
FOR_EVER = 3600.0
PATIENCE_SECONDS = 60.0
UNANNOUNCED = "SELECT count(*) FROM jobs WHERE announced_at IS NULL"
CLOSE = """
    UPDATE attempts SET finished_at = clock_timestamp(), outcome = 'failed'
    FROM jobs WHERE id = job_id AND status = 'failed'
"""


def together(*works: Callable[[], T]) -> list[T]:
    """What each answers; all run at once."""
    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(work) for work in works]]


def broken() -> list[invariants.Checked]:
    with Session.begin() as session:
        return [each for each in invariants.check(session) if not each.holds]


def complete(job_id: str, attempt: int = 1) -> bool:
    ending = Ending(job_id=job_id, attempt=attempt, outcome=Outcome.COMPLETED, text="Yes.")
    with Session.begin() as session:
        return bool(attempts.record(session, [ending]))


def cancel(job_id: str) -> bool:
    try:
        with Session.begin() as session:
            return jobs.cancel(session, job_id, reader=ANYONE)
    except AlreadyFinished:
        return False


def test_of_a_cancel_and_a_completion_exactly_one_wins() -> None:
    """And the row says which. (Experiment E12.)"""
    ids = [a_job(status=JobStatus.ANALYZING) for _ in range(JOBS)]
    barrier = Barrier(2, timeout=PATIENCE_SECONDS)

    def each(verb: Callable[[str], bool]) -> list[bool]:
        answers = []
        for job_id in ids:
            barrier.wait()
            answers.append(verb(job_id))
        return answers

    cancelled, completed = together(lambda: each(cancel), lambda: each(complete))

    with Session() as session:
        rows = {row.id: row.status for row in session.execute(text("SELECT id::text AS id, status FROM jobs"))}
    winner = {(True, False): "cancelled", (False, True): "completed"}
    told = {
        job_id: winner.get(answers) for job_id, answers in zip(ids, zip(cancelled, completed, strict=True), strict=True)
    }
    assert rows == told
    assert broken() == []
    print(f"\nE12: {JOBS} races: {Counter(rows.values())}")  # noqa: T201


def test_a_hint_delivered_ten_times_shuffled_and_late_has_one_effect() -> None:
    """By four workers at once; nine of ten are dropped, and so are all that come after the end. (Experiment E8.)"""
    ids = [create() for _ in range(JOBS)]
    hints = [(job_id, 0) for job_id in ids] * DELIVERIES
    random.Random(8).shuffle(hints)

    def deliver(part: int) -> list[tuple[str, int]]:
        mine = hints[part::4]
        taken: list[tuple[str, int]] = []
        for start in range(0, len(mine), BUNDLE):
            with Session.begin() as session:
                claims = attempts.claim(session, mine[start : start + BUNDLE], worker=WORKER, lease_seconds=FOR_EVER)
                attempts.asked(session, claims, model="m")
            taken += [(claimed.id, claimed.attempt) for claimed in claims]
        return taken

    claimed = [one for part in together(*(lambda part=part: deliver(part) for part in range(4))) for one in part]
    ends = together(*(lambda: [complete(job_id) for job_id in ids] for _ in range(2)))
    late = [one for part in together(*(lambda part=part: deliver(part) for part in range(4))) for one in part]

    assert sorted(claimed) == sorted((job_id, 1) for job_id in ids)
    assert [sum(once) for once in zip(*ends, strict=True)] == [1] * JOBS
    assert late == []
    assert broken() == []
    print(f"\nE8: {JOBS} jobs, {2 * len(hints)} hints: {len(claimed)} claims, {2 * len(hints) - len(claimed)} dropped")  # noqa: T201


def test_two_of_each_loop_and_of_each_operator_do_everything_once() -> None:
    """Two announcers, two reapers and two redrives of every dead letter, all at once. (Experiments E13, R19.)"""
    new = {create() for _ in range(JOBS)}
    lost = {a_job(status=JobStatus.ANALYZING) for _ in range(JOBS)}
    dead = {a_job(status=JobStatus.FAILED, failures=1) for _ in range(JOBS)}
    with Session.begin() as session:
        session.execute(text("UPDATE jobs SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL"))
        session.execute(text(CLOSE))
    until = time.monotonic() + PATIENCE_SECONDS

    def announce() -> list[str]:
        told: list[str] = []
        while time.monotonic() < until:
            with Session.begin() as session:
                if announcements.take_turn(session, QueueClass.INTERACTIVE):
                    room = Room(slots=10 * JOBS, free=50)
                    hints = announcements.stamp(session, QueueClass.INTERACTIVE, room=room, again_after=FOR_EVER)
                    told += [job_id for job_id, _ in hints]
            with Session() as session:
                if not session.scalar(text(UNANNOUNCED)):
                    break
        return told

    def reap() -> list[str]:
        reaped: list[str] = []
        while time.monotonic() < until:
            with Session.begin() as session:
                found = leases.reap(session)
            reaped += found
            if not found:
                break
        return reaped

    def redrive() -> list[str]:
        return [job_id for job_id in dead if _redriven(job_id)]

    answers = together(announce, announce, reap, reap, redrive, redrive)

    announced, reaped, redriven = (sorted([*answers[n], *answers[n + 1]]) for n in (0, 2, 4))
    assert announced == sorted(new | lost | dead)
    assert reaped == sorted(lost)
    assert redriven == sorted(dead)
    with Session() as session:
        assert session.scalar(text("SELECT sum(lost_count) FROM jobs")) == JOBS
    assert broken() == []
    print(f"\nE13: announced {len(announced)}, reaped {len(reaped)}, redriven {len(redriven)}, each once")  # noqa: T201


def _redriven(job_id: str) -> bool:
    try:
        with Session.begin() as session:
            dead_letters.redrive(session, job_id)
    except DeadLetterNotFound:
        return False
    return True

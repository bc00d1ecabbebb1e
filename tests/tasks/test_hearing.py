"""A worker that is told of no job although jobs are announced ends itself; any other goes on."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import text

from models.base import Session
from models.jobs import QueueClass
from models.settings import Settings
from tasks.hearing import Hearing
from tasks.runner import Runner
from tasks.watchdog import EXIT_CODE
from tests.factories import create
from tests.tasks.test_runner import Slow

SECONDS = 10.0


class Deaf:
    """A worker nobody tells anything, and what it has made of it."""

    def __init__(self, settings: Settings) -> None:
        self.runner = Runner(dataclasses.replace(settings, watchdog_seconds=SECONDS), Slow(), name="w")
        self.exits: list[int] = []
        self.hearing = Hearing(self.runner, leave=self.exits.append)

    def later(self) -> list[int]:
        """Its exits after a check when the time has passed."""
        self.hearing._well_at -= SECONDS + 1
        self.runner.hinted_at -= SECONDS + 1
        self.hearing.check()
        return self.exits


@pytest.fixture
def worker(db: Settings) -> Deaf:
    """It has just begun, and a job of its class has been announced."""
    announce(create())
    return Deaf(db)


def announce(job_id: str, *, seconds_ago: float = 0.0) -> None:
    with Session.begin() as session:
        session.execute(
            text("UPDATE jobs SET announced_at = clock_timestamp() - make_interval(secs => :ago) WHERE id = :id"),
            {"id": job_id, "ago": seconds_ago},
        )


def test_a_worker_told_of_nothing_that_is_announced_ends_itself(worker: Deaf) -> None:
    """As if it had been told to stop: calls may finish, claims are given back."""
    assert worker.later() == [EXIT_CODE]
    assert worker.runner.stopping


def test_it_is_given_its_time(worker: Deaf) -> None:
    """The job may have been announced this moment."""
    worker.hearing.check()

    assert worker.exits == []


def test_a_worker_that_has_heard_of_a_job_is_not_deaf(worker: Deaf) -> None:
    """Whatever else is announced."""
    worker.hearing._well_at -= SECONDS + 1
    worker.runner.take([])
    worker.hearing.check()

    assert worker.exits == []


def test_a_full_worker_is_not_deaf(worker: Deaf) -> None:
    """It takes no hints because it has no room."""
    worker.runner._free = 0

    assert worker.later() == []


@pytest.mark.parametrize("statement", ["UPDATE jobs SET queue_class = 'batch'", "UPDATE jobs SET announced_at = NULL"])
def test_jobs_of_others_and_jobs_not_announced_say_nothing(worker: Deaf, statement: str) -> None:
    """The jobs of another class are not for it; those that are held back are for nobody."""
    assert worker.runner.queue_class is QueueClass.INTERACTIVE
    with Session.begin() as session:
        session.execute(text(statement))

    assert worker.later() == []


def test_while_redis_answers_nobody_no_worker_is_deaf(db: Settings) -> None:
    """A new process would hear no more."""
    announce(create())
    worker = Deaf(dataclasses.replace(db, redis_url="redis://127.0.0.1:1/0"))

    assert worker.later() == []

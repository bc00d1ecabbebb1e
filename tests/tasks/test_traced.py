"""Attempts as spans: what they say of how it ended, and whose trace they are of."""

from __future__ import annotations

import dataclasses

import pytest

from models import jobs, owners, traces
from models.base import Session
from models.settings import Settings
from tasks.runner import Runner
from tests.factories import create
from tests.models.test_traces import GOOD, TRACE, Taker, taker
from tests.system.stack import eventually
from tests.tasks.test_runner import Slow

__all__ = ["taker"]


@pytest.fixture
def model() -> Slow:
    """The model of one test."""
    return Slow()


@pytest.fixture
def runner(db: Settings, taker: Taker, model: Slow) -> Runner:
    """A worker that makes traces."""
    return Runner(dataclasses.replace(db, worker_slots=3), model, name="w")


def test_an_attempt_that_came_too_late_says_so(runner: Runner, taker: Taker, model: Slow) -> None:
    """It was paid for, and changed nothing."""
    traces.carry(GOOD)
    job_id = create()
    runner.take([(job_id, 0)])
    assert model.asked.acquire(timeout=10)
    with Session.begin() as session:
        assert jobs.cancel(session, job_id, reader=owners.ANYONE)
    model.answer.set()
    eventually(lambda: not runner.running)
    traces.end()

    call, attempt = taker.spans
    assert {f"{span.context.trace_id:032x}" for span in taker.spans if span.context} == {TRACE}
    assert (call.name, attempt.name) == ("chat slow", "attempt")
    facts = attempt.attributes or {}
    assert (facts["parley.job.id"], facts["parley.attempt"]) == (job_id, 1)
    assert (facts["parley.outcome"], facts["parley.fenced"]) == ("completed", True)


def test_a_job_of_nobodys_request_begins_a_trace(runner: Runner, taker: Taker, model: Slow) -> None:
    """Such as one that was stored before traces were made."""
    runner.take([(create(), 0)])
    assert model.asked.acquire(timeout=10)
    model.answer.set()
    eventually(lambda: not runner.running)
    traces.end()

    call, attempt = taker.spans
    assert attempt.parent is None
    assert (attempt.attributes or {})["parley.fenced"] is False
    assert call.parent == attempt.context

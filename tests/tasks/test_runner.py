"""Slots, and what is given back when a worker stops."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from decimal import Decimal

import pytest

from models.settings import Settings
from models.states import JobStatus
from tasks.llm.base import Call, Prompt, Reply, Usage
from tasks.runner import Runner
from tests.factories import create, the_attempt, the_job
from tests.system.stack import eventually


class Slow:
    """A model that answers when told to, or never."""

    name = model = "slow"

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Wait to be let go, or to be broken off."""
        self.asked.release()
        while not self.answer.wait(0.02):
            if failure := call.failure():
                raise failure
        return Reply(text=prompt.message, model=self.model, usage=None)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def model() -> Slow:
    """The model of one test."""
    return Slow()


@pytest.fixture
def runner(db: Settings, model: Slow) -> Runner:
    """A worker with three slots."""
    return Runner(dataclasses.replace(db, worker_slots=3), model, name="w")


def test_no_more_jobs_run_than_there_are_slots(runner: Runner, model: Slow) -> None:
    """The rest is claimed as slots fall free."""
    ids = [create() for _ in range(5)]
    taking = threading.Thread(target=runner.take, args=[[(job_id, 0) for job_id in ids]])

    taking.start()
    for _ in range(3):
        assert model.asked.acquire(timeout=10)
    during = [the_job(job_id).status for job_id in ids]
    model.answer.set()
    taking.join(10)

    assert sorted(during) == ["analyzing"] * 3 + ["created"] * 2
    eventually(lambda: {the_job(job_id).status for job_id in ids} == {JobStatus.COMPLETED})
    eventually(lambda: not runner.running)


def test_a_hint_that_found_no_slot_in_time_is_dropped(db: Settings, model: Slow) -> None:
    """By then the dispatcher announces the job again, perhaps to a worker that has room."""
    runner = Runner(dataclasses.replace(db, worker_slots=1, announce_seconds=0.5), model, name="w")
    running, late, fresh = create(), create(), create()
    runner.take([(running, 0)])
    assert model.asked.acquire(timeout=10)
    runner.take([(late, 0)])
    time.sleep(0.5)

    runner.take([(fresh, 0)])
    model.answer.set()

    eventually(lambda: the_job(fresh).status is JobStatus.COMPLETED)
    eventually(lambda: not runner.running)
    assert the_job(late).status is JobStatus.CREATED


def test_a_stopping_worker_breaks_what_does_not_end_and_gives_it_back(runner: Runner, model: Slow) -> None:
    """Nothing is left to a lease, and nothing more is claimed."""
    running, waiting = create(), create()
    runner.take([(running, 0)])
    assert model.asked.acquire(timeout=10)

    written = runner.stop(grace_seconds=0.1)
    runner.take([(waiting, 0)])

    assert written
    assert (the_job(running).status, the_job(running).failures) == (JobStatus.RETRYING, 0)
    assert the_job(waiting).status is JobStatus.CREATED


def test_a_claim_that_is_being_made_while_the_worker_stops_is_given_back(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken its slots, so the stop waits for it."""
    job_id = create()
    in_claim, go_on = threading.Event(), threading.Event()
    start = runner._start

    def hold(claims: object) -> None:
        in_claim.set()
        assert go_on.wait(10)
        start(claims)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "_start", hold)
    threading.Thread(target=runner.take, args=[[(job_id, 0)]]).start()
    assert in_claim.wait(10)
    stopping = threading.Thread(target=runner.stop, kwargs={"grace_seconds": 10})

    stopping.start()
    eventually(lambda: runner.stopping)
    go_on.set()
    stopping.join(10)

    assert not stopping.is_alive()
    assert (the_job(job_id).status, the_job(job_id).lost_count) == (JobStatus.RETRYING, 0)


class Counting(Slow):
    """A model that says what it charges for, and answers at once."""

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """At once."""
        del call
        return Reply(text=prompt.message, model=self.model, usage=Usage(1000, 100, cached_tokens=1000))


@pytest.fixture
def dear(db: Settings, tmp_path: pathlib.Path) -> Settings:
    """Where the model has a price."""
    path = tmp_path / "prices.toml"
    price = 'version = "7"\ninput = 4\ncached_input = 1\noutput = 8\n'
    path.write_text(f'currency = "USD"\n[models.slow]\n{price}')
    return dataclasses.replace(db, prices_file=str(path))


class Begun(Slow):
    """A model that has said its first word."""

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """And then no more."""
        call.said = ["Because"]
        return super().reply(prompt, call)


def test_a_call_that_is_broken_off_costs_what_it_probably_did(dear: Settings) -> None:
    """What was sent, and what had come; were it nothing, no budget would hold who breaks all of them off."""
    model = Begun()
    runner = Runner(dear, model, name="w")
    job_id = create("Why is the sky blue?")
    runner.take([(job_id, 0)])
    assert model.asked.acquire(timeout=10)

    runner.stop(grace_seconds=0.1)

    attempt = the_attempt(job_id, 1)
    assert (attempt.cost, attempt.price_version) == (Decimal(4 * 8 + 8 * 2) / 1_000_000, "7, estimated")


def test_an_attempt_is_noted_with_its_cost_at_the_price_of_the_model_that_was_asked(dear: Settings) -> None:
    """And with the version of that price."""
    runner = Runner(dear, Counting(), name="w")
    job_id = create()

    runner.take([(job_id, 0)])
    eventually(lambda: the_job(job_id).status is JobStatus.COMPLETED)

    attempt = the_attempt(job_id, 1)
    assert (attempt.cost, attempt.price_version) == (Decimal("0.0018"), "7")

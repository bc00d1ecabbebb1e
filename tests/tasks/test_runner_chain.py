"""Which model a worker asks, and to whom a job goes when that has failed too often."""

from __future__ import annotations

import dataclasses

import pytest

from models import attempts, breakers
from models.base import Session
from models.breakers import BreakerState, Change
from models.settings import Settings
from models.states import JobStatus
from tasks.llm.base import Call, Kind, Prompt, ProviderError, Reply
from tasks.llm.chain import Chain
from tasks.llm.offline import Offline
from tasks.runner import Runner
from tests.factories import a_job, the_attempt, the_job
from tests.system.stack import eventually

CHAIN = ("first", "second", "offline")


class Server:
    """Has the models of `answers`; any other is out of order."""

    name, model = "server", "first"

    def __init__(self) -> None:
        self.answers: set[str] = set()
        self.error = ProviderError("Down.", kind=Kind.TRANSIENT, code="provider_unavailable")
        self.asked: list[str] = []

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Answer, or not."""
        assert not call.aborted
        self.asked.append(prompt.model)
        if prompt.model not in self.answers:
            raise self.error
        return Reply(text=f"{prompt.model} says", model=prompt.model, usage=None)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def server() -> Server:
    """The server of one test."""
    return Server()


@pytest.fixture
def runner(db: Settings, server: Server) -> Runner:
    """A worker that knows a chain of three."""
    settings = dataclasses.replace(
        db, llm_base_url="http://127.0.0.1:1/v1", llm_model="first", llm_fallbacks="second,offline"
    )
    return Runner(settings, Chain(server, Offline(settings)), name="w")


def run(runner: Runner, job_id: str) -> None:
    before = the_job(job_id).attempt
    runner.take([(job_id, before)])
    eventually(lambda: the_job(job_id).attempt > before and the_job(job_id).lease_until is None)


@pytest.mark.parametrize(("choice", "degraded"), [(0, False), (1, True), (2, True), (7, True)])
def test_the_announced_model_is_asked_and_stands_on_job_and_attempt(
    runner: Runner, server: Server, choice: int, degraded: bool
) -> None:
    """A dispatcher with a longer chain than ours means the last of ours."""
    server.answers = {"first", "second"}
    job_id = a_job(choice=choice)

    run(runner, job_id)

    job = the_job(job_id)
    model = CHAIN[min(choice, 2)]
    assert (job.status, job.model, job.degraded) == (JobStatus.COMPLETED, model, degraded)
    assert the_attempt(job_id, 1).model == model
    assert server.asked == ([model] if model != "offline" else [])
    assert job.result is not None
    assert job.result.startswith("The language model is out of reach" if model == "offline" else model)


def test_a_bundle_may_be_for_several_models(runner: Runner, server: Server) -> None:
    """A probe among others that go elsewhere."""
    server.answers = {"first", "second"}
    ids = [a_job(choice=choice) for choice in (0, 1, 2, 1)]

    runner.take([(job_id, 0) for job_id in ids])

    eventually(lambda: {the_job(job_id).status for job_id in ids} == {JobStatus.COMPLETED})
    assert [the_job(job_id).model for job_id in ids] == ["first", "second", "offline", "second"]


def test_used_up_attempts_hand_a_job_down_with_all_of_them_before_it(runner: Runner) -> None:
    """The next model owes nothing for this one; the error stays to be seen."""
    job_id = a_job(failures=4, choice=0)

    run(runner, job_id)

    job = the_job(job_id)
    assert (job.status, job.failures, job.fallback) == (JobStatus.RETRYING, 0, 1)
    assert job.error_code == "provider_unavailable"
    assert the_attempt(job_id, 1).outcome == "retried"


def test_a_job_is_handed_down_from_the_model_that_was_asked(runner: Runner) -> None:
    """It may have been below already, because of a breaker."""
    job_id = a_job(failures=4, choice=1)

    run(runner, job_id)

    assert (the_job(job_id).status, the_job(job_id).fallback) == (JobStatus.RETRYING, 2)


def test_the_last_model_has_nobody_to_hand_down_to(db: Settings, server: Server) -> None:
    """Then it is a dead letter, as ever."""
    settings = dataclasses.replace(db, llm_base_url="http://127.0.0.1:1/v1", llm_model="first", llm_fallbacks="second")
    job_id = a_job(failures=4, choice=1)

    run(Runner(settings, server, name="w"), job_id)

    assert (the_job(job_id).status, the_job(job_id).failures) == (JobStatus.FAILED, 5)


def test_a_permanent_error_is_final_for_all_models(runner: Runner, server: Server) -> None:
    """What one rejects is not shopped around."""
    server.error = ProviderError("No.", kind=Kind.PERMANENT, code="provider_rejected")
    job_id = a_job(choice=0)

    run(runner, job_id)

    assert (the_job(job_id).status, the_job(job_id).fallback) == (JobStatus.FAILED, 0)


@pytest.mark.parametrize(
    ("code", "failures"), [("provider_unavailable", 4), ("provider_cut", 5)], ids=["of the model", "of the job"]
)
def test_a_probes_failure_is_not_the_jobs(runner: Runner, server: Server, code: str, failures: int) -> None:
    """It went for all; unless it failed in a way that tells nothing about the outage."""
    server.error = ProviderError("No.", kind=Kind.TRANSIENT, code=code)
    runner._chain = ("first",)
    job_id = a_job(failures=4)
    with Session.begin() as session:
        breakers.keep(session, ["first"])
        (found,) = breakers.seen(session)
        breakers.change(session, found, Change(to=BreakerState.HALF_OPEN, open_seconds=10, probe=(job_id, 1)))

    run(runner, job_id)

    assert the_job(job_id).failures == failures


def test_a_claim_that_is_no_probe_is_none(runner: Runner) -> None:
    """Nor is another attempt of the same job."""
    job_id = a_job()
    with Session.begin() as session:
        breakers.keep(session, ["first"])
        (found,) = breakers.seen(session)
        breakers.change(session, found, Change(to=BreakerState.HALF_OPEN, open_seconds=10, probe=(job_id, 2)))
        (claimed,) = attempts.claim(session, [(job_id, 0)], worker="w", lease_seconds=15)

    assert not claimed.is_probe

"""The state machine, against the drawing in docs/explanation/state-machine.md."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models import attempts, dead_letters, jobs, leases
from models.attempts import Ending, Outcome
from models.base import Session
from models.errors import AlreadyFinished, DeadLetterNotFound
from models.owners import ANYONE
from models.states import JobStatus
from tests.factories import a_job, change, the_attempt, the_job

pytestmark = pytest.mark.usefixtures("db")
CREATED, PROCESSING, ANALYZING = JobStatus.CREATED, JobStatus.PROCESSING, JobStatus.ANALYZING
RETRYING, COMPLETED, FAILED, CANCELLED = JobStatus.RETRYING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED

# The drawing, written out by hand on purpose: a test that read MAY_BECOME would
# agree with any mistake in it.
ALLOWED = {
    (CREATED, PROCESSING),
    (CREATED, FAILED),
    (CREATED, CANCELLED),
    (PROCESSING, ANALYZING),
    (PROCESSING, RETRYING),
    (PROCESSING, FAILED),
    (PROCESSING, CANCELLED),
    (ANALYZING, COMPLETED),
    (ANALYZING, RETRYING),
    (ANALYZING, FAILED),
    (ANALYZING, CANCELLED),
    (RETRYING, PROCESSING),
    (RETRYING, FAILED),
    (RETRYING, CANCELLED),
    (FAILED, CREATED),
}


def _end(outcome: Outcome) -> Callable[[str, int], object]:
    def verb(job_id: str, attempt: int) -> object:
        ending = Ending(job_id=job_id, attempt=attempt, outcome=outcome, text="Yes.", error_code="x", error_message="y")
        with Session.begin() as session:
            return attempts.record(session, [ending])

    return verb


def _claim(job_id: str, attempt: int) -> object:
    with Session.begin() as session:
        return attempts.claim(session, [(job_id, attempt)], worker="w", lease_seconds=15)


def _ask(job_id: str, attempt: int) -> object:
    claimed = attempts.Claimed(
        id=job_id, attempt=attempt, type="chat", message="", failures=0, max_attempts=5, lost_count=0, seconds_left=1
    )
    with Session.begin() as session:
        return attempts.asked(session, [claimed], model="m")


def _cancel(job_id: str, _: int) -> object:
    try:
        with Session.begin() as session:
            return jobs.cancel(session, job_id, reader=ANYONE)
    except AlreadyFinished:
        return None


def _redrive(job_id: str, _: int) -> object:
    try:
        with Session.begin() as session:
            dead_letters.redrive(session, job_id)
    except DeadLetterNotFound:
        return None
    return True


def _fail(job_id: str, attempt: int) -> object:
    """By its worker or, while it waits, by its deadline."""
    if ended := _end(Outcome.FAILED)(job_id, attempt):
        return ended
    change(job_id, deadline_at=text("now() - interval '1 second'"))
    with Session.begin() as session:
        return leases.expire(session)


VERBS: dict[JobStatus, Callable[[str, int], object]] = {
    CREATED: _redrive,
    PROCESSING: _claim,
    ANALYZING: _ask,
    RETRYING: _end(Outcome.RETRIED),
    COMPLETED: _end(Outcome.COMPLETED),
    FAILED: _fail,
    CANCELLED: _cancel,
}


@pytest.mark.parametrize("source", list(JobStatus))
@pytest.mark.parametrize("target", list(VERBS))
def test_a_job_moves_only_along_the_drawing(source: JobStatus, target: JobStatus) -> None:
    """Every verb from every status: it moves where there is an arrow and changes nothing where there is none."""
    job_id = a_job(status=source)
    before = the_job(job_id)

    moved = VERBS[target](job_id, before.attempt)

    assert bool(moved) == ((source, target) in ALLOWED)
    assert the_job(job_id).status == (target if moved else source)
    if not moved:
        assert the_job(job_id).updated_at == before.updated_at


@pytest.mark.parametrize(
    "outcome", [Outcome.COMPLETED, Outcome.RETRIED, Outcome.FAILED, Outcome.SNOOZED, Outcome.RELEASED]
)
def test_an_overtaken_attempt_changes_nothing_but_its_own_tokens(outcome: Outcome) -> None:
    """A worker that lost its claim must not overwrite the winner's state; what its call cost is still written down."""
    job_id = a_job(status=ANALYZING, attempt=2)
    late = Ending(
        job_id=job_id,
        attempt=1,
        outcome=outcome,
        text="late",
        error_code="x",
        error_message="y",
        prompt_tokens=7,
        completion_tokens=9,
    )

    with Session.begin() as session:
        taken = attempts.record(session, [late])

    assert taken == set()
    job = the_job(job_id)
    assert (job.status, job.result, job.failures, job.attempt) == (ANALYZING, None, 0, 2)
    assert the_attempt(job_id, 1).prompt_tokens == 7
    assert the_attempt(job_id, 2).prompt_tokens is None


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_two_endings_of_one_job_in_a_batch_the_present_attempt_counts(order: tuple[int, int]) -> None:
    """A worker can hold both: its lost attempt returns while the next one, also its own, has just ended."""
    job_id = a_job(status=ANALYZING, attempt=2)
    endings = [
        Ending(job_id=job_id, attempt=number, outcome=Outcome.COMPLETED, text=f"of attempt {number}")
        for number in order
    ]

    with Session.begin() as session:
        taken = attempts.record(session, endings)

    assert taken == {(job_id, 2)}
    assert the_job(job_id).result == "of attempt 2"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.RETRIED, Outcome.COMPLETED, Outcome.RELEASED])
@pytest.mark.parametrize("redriven", [False, True])
def test_a_lost_attempt_that_returns_before_the_next_claim_changes_nothing(outcome: Outcome, redriven: bool) -> None:
    """Reaping and redriving keep the attempt's number; what ends an attempt is its state too."""
    job_id = a_job(status=FAILED if redriven else RETRYING, attempt=1)
    if redriven:
        _redrive(job_id, 0)
    late = Ending(job_id=job_id, attempt=1, outcome=outcome, text="late", error_code="x", error_message="y")

    with Session.begin() as session:
        assert attempts.record(session, [late]) == set()

    job = the_job(job_id)
    assert (job.status, job.failures, job.result) == (CREATED if redriven else RETRYING, 0, None)


def test_an_ending_that_does_not_count_leaves_its_attempt_open() -> None:
    """Nothing completes before the model was asked; if that was noted and lost again, the lease puts it right."""
    job_id = a_job(status=PROCESSING)

    assert not VERBS[COMPLETED](job_id, 1)

    attempt = the_attempt(job_id, 1)
    assert (the_job(job_id).status, attempt.outcome, attempt.finished_at) == (PROCESSING, None, None)


def test_one_statement_moves_many_jobs_and_leaves_the_overtaken_out() -> None:
    """A bundle is judged row by row."""
    mine, overtaken, cancelled = a_job(status=ANALYZING), a_job(status=ANALYZING, attempt=4), a_job(status=CANCELLED)
    endings = [
        Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="Yes.")
        for job_id in (mine, overtaken, cancelled)
    ]

    with Session.begin() as session:
        taken = attempts.record(session, endings)

    assert taken == {(mine, 1)}
    assert the_job(mine).result == "Yes."


def test_the_late_result_of_a_cancelled_job_is_dropped_and_its_attempt_stays_cancelled() -> None:
    """Cancel wins over a call that returns afterwards."""
    job_id = a_job(status=ANALYZING)
    with Session.begin() as session:
        jobs.cancel(session, job_id, reader=ANYONE)
    late = Ending(
        job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="late", prompt_tokens=1, completion_tokens=2
    )

    with Session.begin() as session:
        assert attempts.record(session, [late]) == set()

    assert the_job(job_id).result is None
    attempt = the_attempt(job_id, 1)
    assert (attempt.outcome, attempt.completion_tokens) == (Outcome.CANCELLED, 2)


def test_the_attempt_number_never_goes_down() -> None:
    """Redrive gives failures back, but an attempt from before it stays fenced off."""
    job_id = a_job(status=FAILED, attempt=5, failures=5)

    _redrive(job_id, 0)

    job = the_job(job_id)
    assert (job.attempt, job.failures, job.error_code, job.finished_at) == (5, 0, None, None)
    late = Ending(job_id=job_id, attempt=4, outcome=Outcome.COMPLETED, text="late")
    with Session.begin() as session:
        assert attempts.record(session, [late]) == set()


@pytest.mark.parametrize(
    "broken",
    [
        "status = 'completed', finished_at = now()",
        "finished_at = now()",
        "status = 'processing'",
        "lease_until = now()",
        "status = 'failed', finished_at = now()",
        "error_code = 'x'",
        "failures = 6",
        "failures = -1",
        "attempt = -1",
        "priority = 10",
        "message = ''",
        "status = 'sleeping'",
    ],
)
def test_the_table_refuses_a_row_that_breaks_the_laws(broken: str) -> None:
    """The CHECK constraints repeat what the verbs promise, for whoever writes SQL by hand."""
    a_job(status=CREATED)

    with pytest.raises(IntegrityError), Session.begin() as session:
        session.execute(text(f"UPDATE jobs SET {broken}"))


def test_status_is_written_by_one_statement_only() -> None:
    """No other code of ours assigns ``Job.status`` or updates ``jobs.status``."""
    root = pathlib.Path(__file__).resolve().parents[2]
    sources = {
        file.name: file.read_text() for room in ("api", "models", "tasks") for file in (root / room).rglob("*.py")
    }

    writers = [name for name, source in sources.items() if "SET status" in source or ".values(status" in source]
    assigners = [name for name, source in sources.items() if any(map(assigns_status, ast.walk(ast.parse(source))))]

    assert (writers, assigners) == (["states.py"], [])


def assigns_status(node: ast.AST) -> bool:
    """``anything.status = …``; of a response it is spelled ``status_code``."""
    return isinstance(node, ast.Assign) and any(
        isinstance(t, ast.Attribute) and t.attr == "status" for t in node.targets
    )


def test_a_waiting_job_past_its_deadline_fails_and_a_running_one_is_left_to_its_worker() -> None:
    """Time ends a wait; a call under way is broken by the watch."""
    waiting, running, early = a_job(), a_job(status=ANALYZING), a_job()
    for job_id in (waiting, running):
        change(job_id, deadline_at=text("now() - interval '1 second'"))

    with Session.begin() as session:
        expired = leases.expire(session)

    assert expired == [waiting]
    assert (the_job(waiting).status, the_job(waiting).error_code) == (FAILED, "deadline_exceeded")
    assert (the_job(running).status, the_job(early).status) == (ANALYZING, CREATED)

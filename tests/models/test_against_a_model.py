"""The verbs against real PostgreSQL and, step by step, against a model of them in plain Python.

Hypothesis draws the order: creating with and without a key, announcing, claims
by hints that are true, late or repeated, asking, renewing, leases that run out,
endings by attempts that are the present one or were long overtaken, cancelling,
redriving, deadlines. After every step the rows are those of the model, and no
invariant is broken.

    PARLEY_CHAOS=full pytest -n 0 -s tests/models/test_against_a_model.py      10,000 steps
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from models import announcements, attempts, dead_letters, invariants, jobs, leases
from models.announcements import Room
from models.attempts import Claimed, Ending, Outcome
from models.base import Session
from models.errors import AlreadyFinished, DeadLetterNotFound
from models.jobs import JobType, NewJob, QueueClass
from models.owners import ANYONE
from tests.factories import WORKER, change

IS_LONG = os.environ.get("PARLEY_CHAOS") == "full"
EXAMPLES, STEPS = (300, 50) if IS_LONG else (24, 40)
FOR_EVER = 3600.0
OWNERS = ("address:192.0.2.1", "address:192.0.2.2")
WAITING = ("created", "retrying")
RUNNING = ("processing", "analyzing")
FINISHED = ("completed", "failed", "cancelled")
JUST_NOW = text("clock_timestamp() - interval '1 second'")
# What each outcome may leave, and what the job is then; written out by hand, as in test_states.
ENDINGS = {
    Outcome.COMPLETED: (("analyzing",), "completed"),
    Outcome.FAILED: (RUNNING, "failed"),
    Outcome.RETRIED: (RUNNING, "retrying"),
    Outcome.SNOOZED: (RUNNING, "retrying"),
    Outcome.RELEASED: (RUNNING, "retrying"),
}


@dataclass
class Twin:
    """What a row should be."""

    max_attempts: int
    status: str = "created"
    failures: int = 0
    lost: int = 0
    is_due: bool = True
    may_come_due: bool = True
    """Its back-off is over."""
    is_announced: bool = False
    is_late: bool = False
    """Its deadline has passed."""
    lease_is_over: bool = False
    result: str | None = None
    outcomes: list[str | None] = field(default_factory=list)
    """Of its attempts."""

    @property
    def attempt(self) -> int:
        """How often it was claimed."""
        return len(self.outcomes)

    def leave(self, status: str, outcome: str | None = None) -> None:
        """What every end of an attempt or of a job does."""
        if self.status in RUNNING:
            self.outcomes[-1] = outcome
        self.status, self.is_announced, self.lease_is_over = status, False, False

    def row(self) -> tuple[object, ...]:
        """To be compared."""
        state = (self.status, self.attempt, self.failures, self.lost, self.is_due, self.is_announced, self.result)
        return (*state, self.status in RUNNING, self.status in FINISHED)


Token = tuple[str, int]
"""A job's id and the attempt somebody believes to hold."""


class Verbs(RuleBasedStateMachine):
    """Each rule does something to the rows and the same to the twins, and compares what both answered."""

    states = 0
    """Compared, over all examples: one after each step."""
    ids = Bundle("ids")
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.twins: dict[str, Twin] = {}
        self.by_key: dict[tuple[str, str], str] = {}

    @initialize()
    def empty(self) -> None:
        """Each example begins with no rows."""
        with Session.begin() as session:
            session.execute(text("DELETE FROM idempotency_keys"))
            session.execute(text("DELETE FROM jobs"))

    # Creating

    def _new(self, owner: str, max_attempts: int) -> NewJob:
        return NewJob(
            owner=owner, type=JobType.CHAT, message="Hello", max_attempts=max_attempts, deadline_seconds=FOR_EVER
        )

    @rule(target=ids, owner=st.sampled_from(OWNERS), max_attempts=st.integers(1, 3))
    def create(self, owner: str, max_attempts: int) -> str:
        """A new job."""
        with Session.begin() as session:
            job_id = jobs.create(session, self._new(owner, max_attempts))
        self.twins[job_id] = Twin(max_attempts)
        return job_id

    @rule(target=ids, owner=st.sampled_from(OWNERS), key=st.sampled_from("ab"))
    def create_with_key(self, owner: str, key: str) -> object:
        """A new job, or the one this owner's key has made."""
        with Session.begin() as session:
            job_id, is_new = jobs.create_once(session, self._new(owner, 2), key=key, said={})

        assert is_new == ((owner, key) not in self.by_key)
        assert self.by_key.setdefault((owner, key), job_id) == job_id
        if not is_new:
            return multiple()
        self.twins[job_id] = Twin(2)
        return job_id

    # Announcing

    @rule(most=st.sampled_from([1, 100]))
    def announce(self, most: int) -> None:
        """Those that wait, are due and have not been announced; each once."""
        with Session.begin() as session:
            hints = announcements.stamp(
                session, QueueClass.INTERACTIVE, room=Room(slots=1000, free=most), again_after=FOR_EVER
            )

        expected = {
            (job_id, twin.attempt)
            for job_id, twin in self.twins.items()
            if twin.status in WAITING and twin.is_due and not twin.is_announced and not twin.is_late
        }
        assert len(set(hints)) == len(hints) == min(most, len(expected))
        assert set(hints) <= expected
        for job_id, _ in hints:
            self.twins[job_id].is_announced = True

    @rule(job_id=ids, is_late=st.booleans())
    def take_back(self, job_id: str, is_late: bool) -> None:
        """A hint that could not be published; of the attempt before, if it is late."""
        twin = self.twins[job_id]
        with Session.begin() as session:
            announcements.take_back(session, [(job_id, twin.attempt - is_late)])

        if twin.status in WAITING and not is_late:
            twin.is_announced = False

    @rule()
    def promote(self) -> None:
        """Back-offs that are over."""
        with Session.begin() as session:
            announcements.promote(session)

        for twin in self.twins.values():
            twin.is_due = twin.is_due or (twin.status in WAITING and twin.may_come_due)

    @rule(job_id=ids)
    def back_off_ends(self, job_id: str) -> None:
        """Time passes for one job."""
        change(job_id, next_attempt_at=JUST_NOW)
        self.twins[job_id].may_come_due = True

    # An attempt

    @rule(target=tokens, hints=st.lists(st.tuples(ids, st.integers(0, 3)), min_size=1, max_size=3), again=st.booleans())
    def claim(self, hints: list[Token], again: bool) -> object:
        """A bundle of hints; some are repeated, most are late."""
        return self._claim(hints * 2 if again else hints)

    @rule(target=tokens, job_id=ids)
    def claim_truly(self, job_id: str) -> object:
        """By a hint that is right, so that jobs get on."""
        return self._claim([(job_id, self.twins[job_id].attempt)])

    def _claim(self, hints: list[Token]) -> object:
        with Session.begin() as session:
            claims = attempts.claim(session, hints, worker=WORKER, lease_seconds=FOR_EVER)

        expected = {
            (job_id, number)
            for job_id, number in hints
            if (twin := self.twins[job_id]).status in WAITING and twin.is_due and twin.attempt == number
        }
        assert sorted((each.id, each.attempt - 1) for each in claims) == sorted(expected)
        for job_id, _ in expected:
            twin = self.twins[job_id]
            twin.leave("processing")
            twin.outcomes.append(None)
        return multiple(*((each.id, each.attempt) for each in claims))

    @rule(token=tokens)
    def ask(self, token: Token) -> None:
        """The model gets the prompt, if the attempt is still the present one."""
        job_id, number = token
        claimed = Claimed(
            id=job_id, attempt=number, type="chat", message="", failures=0, max_attempts=1, lost_count=0, seconds_left=1
        )
        with Session.begin() as session:
            ours = attempts.asked(session, [claimed], model="m")

        twin = self.twins[job_id]
        is_present = twin.status == "processing" and twin.attempt == number
        assert (job_id in ours) == is_present
        if is_present:
            twin.status = "analyzing"

    @rule(token=tokens)
    def renew(self, token: Token) -> None:
        """The lease, if it is still held; even one that has run out and was not reaped yet."""
        with Session.begin() as session:
            ours = leases.own(session, [token], worker=WORKER, renew_for=FOR_EVER)

        twin = self.twins[token[0]]
        is_held = twin.status in RUNNING and twin.attempt == token[1]
        assert (token in ours) == is_held
        if is_held:
            twin.lease_is_over = False

    @rule(token=tokens, outcome=st.sampled_from(list(ENDINGS)), delay=st.sampled_from([0.0, FOR_EVER]))
    def end(self, token: Token, outcome: Outcome, delay: float) -> None:
        """By whoever believes to hold the attempt: it counts for the present one, once."""
        self._end(token, outcome, delay)

    @rule(token=consumes(tokens))
    def complete(self, token: Token) -> None:
        """What mostly happens."""
        self.ask(token)
        self._end(token, Outcome.COMPLETED, 0)

    def _end(self, token: Token, outcome: Outcome, delay: float) -> None:
        job_id, number = token
        twin = self.twins[job_id]
        if outcome is Outcome.RETRIED and twin.failures + 1 >= twin.max_attempts:
            outcome = Outcome.FAILED  # as tasks.retry decides
        words = {"text": f"of attempt {number}", "error_code": "x", "error_message": "y"}
        ending = Ending(job_id=job_id, attempt=number, outcome=outcome, delay_seconds=delay, **words)  # type: ignore[arg-type]
        with Session.begin() as session:
            taken = attempts.record(session, [ending])

        sources, target = ENDINGS[outcome]
        counts = twin.attempt == number and twin.status in sources
        event(f"{outcome} {'counts' if counts else 'is fenced'}")
        assert taken == ({token} if counts else set())
        if not counts:
            return
        twin.leave(target, outcome.value)
        twin.result = words["text"] if outcome is Outcome.COMPLETED else None
        if outcome in (Outcome.RETRIED, Outcome.FAILED):
            twin.failures = min(twin.failures + 1, twin.max_attempts)
        if outcome in (Outcome.RETRIED, Outcome.SNOOZED):
            twin.is_due, twin.may_come_due = False, delay == 0
        if outcome is Outcome.RELEASED:
            twin.may_come_due = True

    # What goes wrong

    @rule(job_id=ids)
    def lease_runs_out(self, job_id: str) -> None:
        """Its worker is heard of no more."""
        twin = self.twins[job_id]
        if twin.status in RUNNING:
            change(job_id, lease_until=JUST_NOW)
            twin.lease_is_over = True

    @rule()
    def reap(self) -> None:
        """Jobs whose lease has run out."""
        with Session.begin() as session:
            reaped = leases.reap(session)

        lost = {job_id: twin for job_id, twin in self.twins.items() if twin.lease_is_over}
        assert sorted(reaped) == sorted(lost)
        for twin in lost.values():
            twin.leave("retrying", "lost")
            twin.lost += 1
            twin.may_come_due = True

    @rule(job_id=ids)
    def deadline_passes(self, job_id: str) -> None:
        """A job that runs is its worker's to stop; one that waits fails."""
        change(job_id, deadline_at=JUST_NOW)
        self.twins[job_id].is_late = True
        with Session.begin() as session:
            expired = leases.expire(session)

        late = {each: twin for each, twin in self.twins.items() if twin.is_late and twin.status in WAITING}
        assert sorted(expired) == sorted(late)
        for twin in late.values():
            twin.leave("failed")

    # What people do

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        """Stops what is unfinished; says so of what is not."""
        twin = self.twins[job_id]
        try:
            with Session.begin() as session:
                answer: object = jobs.cancel(session, job_id, reader=ANYONE)
        except AlreadyFinished:
            answer = AlreadyFinished

        known = {"cancelled": False, "completed": AlreadyFinished, "failed": AlreadyFinished}
        assert answer is known.get(twin.status, True)
        if answer is True:
            twin.leave("cancelled", "cancelled")

    @rule(job_id=ids)
    def redrive_later(self, job_id: str) -> None:
        """One of many: it comes due after those before it, whatever hints there still are from before."""
        twin = self.twins[job_id]
        with Session.begin() as session:
            driven = dead_letters.redrive_all(session, [job_id], delays=[FOR_EVER])

        assert driven == ({job_id} if twin.status == "failed" else set())
        if driven:
            twin.leave("created")
            twin.failures = twin.lost = 0
            twin.is_due = twin.may_come_due = twin.is_late = False
            self._claim([(job_id, twin.attempt)])

    @rule(job_id=ids)
    def redrive(self, job_id: str) -> None:
        """A dead letter gets another round."""
        twin = self.twins[job_id]
        try:
            with Session.begin() as session:
                dead_letters.redrive(session, job_id)
            is_driven = True
        except DeadLetterNotFound:
            is_driven = False

        assert is_driven == (twin.status == "failed")
        if is_driven:
            twin.leave("created")
            twin.failures = twin.lost = 0
            twin.is_due = twin.may_come_due = True
            twin.is_late = False

    # What must hold

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        """All of them, and the ledger of attempts."""
        Verbs.states += 1
        with Session.begin() as session:
            rows = session.execute(text(ROWS)).all()
            ledger = session.execute(text("SELECT job_id::text, attempt, outcome FROM attempts")).all()

        assert {row[0]: tuple(row[1:]) for row in rows} == {job_id: twin.row() for job_id, twin in self.twins.items()}
        assert {(job_id, number): outcome for job_id, number, outcome in ledger} == {
            (job_id, number): outcome
            for job_id, twin in self.twins.items()
            for number, outcome in enumerate(twin.outcomes, start=1)
        }

    @invariant()
    def no_invariant_is_broken(self) -> None:
        """The same queries that production is asked."""
        with Session.begin() as session:
            assert [each for each in invariants.check(session) if not each.holds] == []


ROWS = """
    SELECT id::text, status, attempt, failures, lost_count, due, announced_at IS NOT NULL, result,
           lease_until IS NOT NULL, finished_at IS NOT NULL
    FROM jobs
"""


@pytest.mark.usefixtures("db")
@pytest.mark.timeout(1800 if IS_LONG else 120)
def test_the_verbs_do_what_the_model_does() -> None:
    """In whatever order they come."""
    run_state_machine_as_test(
        Verbs,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=not IS_LONG,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"\nE14: {Verbs.states} states compared")  # noqa: T201

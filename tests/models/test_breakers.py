"""Facts about models, and the guarded changes of their breakers."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from models import attempts, breakers
from models.attempts import Attempt, Ending, Outcome
from models.base import Session
from models.breakers import BreakerState, Change, Probe, Seen, Tally
from models.states import JobStatus
from tasks.llm import failures
from tests.factories import a_job, now

pytestmark = pytest.mark.usefixtures("db")
MODEL = "m"
OPEN = Change(to=BreakerState.OPEN, open_seconds=10, wait_seconds=10)


@pytest.fixture(autouse=True)
def _row(db: object) -> None:
    with Session.begin() as session:
        breakers.keep(session, [MODEL])


def call(
    outcome: Outcome | None, code: str | None = None, *, model: str = MODEL, ago: float = 1, asked_ago: float = 2
) -> str:
    """An attempt that ended like this, so many seconds ago."""
    job_id = a_job(status=JobStatus.ANALYZING)
    moment = now()
    with Session.begin() as session:
        session.execute(
            update(Attempt)
            .where(Attempt.job_id == job_id)
            .values(
                model=model,
                asked_at=moment - dt.timedelta(seconds=asked_ago),
                finished_at=outcome and moment - dt.timedelta(seconds=ago),
                outcome=outcome,
                error_code=code,
            )
        )
    return job_id


def tally() -> Tally:
    with Session.begin() as session:
        return breakers.tally(session, MODEL)


def seen() -> Seen:
    with Session.begin() as session:
        (found,) = breakers.seen(session)
    return found


def change(found: Seen, wanted: Change) -> bool:
    with Session.begin() as session:
        return breakers.change(session, found, wanted)


def move_in_time(*, seconds: float) -> None:
    """Let the breaker have changed so much earlier."""
    back = dt.timedelta(seconds=seconds)
    with Session.begin() as session:
        session.execute(
            update(breakers.Breaker).values(
                changed_at=breakers.Breaker.changed_at - back, retry_at=breakers.Breaker.retry_at - back
            )
        )


@pytest.mark.parametrize(
    ("outcome", "code", "counted"),
    [
        (Outcome.COMPLETED, None, (1, 0)),
        (Outcome.RETRIED, "provider_unreachable", (1, 1)),
        (Outcome.RETRIED, "provider_timeout", (1, 1)),
        (Outcome.FAILED, "provider_unavailable", (1, 1)),
        (Outcome.SNOOZED, "provider_unavailable", (1, 1)),
        (Outcome.FAILED, "provider_rejected", (1, 0)),
        (Outcome.SNOOZED, "provider_throttled", (1, 0)),
        (Outcome.RETRIED, "provider_cut", (1, 0)),
        (Outcome.FAILED, "deadline_exceeded", (0, 0)),
        (Outcome.FAILED, "poison", (0, 0)),
        (Outcome.SNOOZED, "no_room_alone", (0, 0)),
        (Outcome.CANCELLED, None, (0, 0)),
        (Outcome.LOST, "worker_lost", (0, 0)),
        (Outcome.RELEASED, "stopping", (0, 0)),
        (None, None, (0, 0)),
    ],
)
def test_only_silence_and_5xx_speak_against_a_model(
    outcome: Outcome | None, code: str | None, counted: tuple[int, int]
) -> None:
    """A refusal is an answer; what we broke off ourselves says nothing at all."""
    call(outcome, code)

    assert tally() == Tally(calls=counted[0], failures=counted[1])


def test_only_this_models_calls_of_the_last_half_minute_count() -> None:
    """However many others there are."""
    call(Outcome.COMPLETED, model="another")
    call(Outcome.COMPLETED, ago=31, asked_ago=32)
    call(Outcome.COMPLETED, ago=29, asked_ago=40)

    assert tally() == Tally(calls=1, failures=0)


def test_the_newest_hundred_calls_count() -> None:
    """A busy model's outage must not wait until it outweighs half a minute of good calls."""
    for _ in range(30):
        call(Outcome.COMPLETED, ago=10, asked_ago=11)
    for _ in range(breakers.NEWEST_CALLS):
        call(Outcome.RETRIED, "provider_timeout", ago=5, asked_ago=6)

    assert tally() == Tally(calls=breakers.NEWEST_CALLS, failures=breakers.NEWEST_CALLS)


def test_calls_begun_before_the_breaker_closed_do_not_count() -> None:
    """They belong to the outage that is over, however late they end."""
    call(Outcome.RETRIED, "provider_timeout", ago=0, asked_ago=5)
    change(seen(), OPEN)
    change(seen(), Change(to=BreakerState.CLOSED, open_seconds=10))
    call(Outcome.COMPLETED, ago=0, asked_ago=-0.001)

    assert tally() == Tally(calls=1, failures=0)


def test_a_change_of_what_is_no_longer_as_it_was_found_changes_nothing() -> None:
    """Two announcers may judge the same calls."""
    found = seen()

    assert [change(found, OPEN), change(found, OPEN)] == [True, False]
    assert (seen().state, seen().changes) == (BreakerState.OPEN, 1)
    assert seen().wait_seconds == pytest.approx(10, abs=1)


def test_of_two_announcers_at_once_one_may_send_the_probe() -> None:
    """The right is a row lock: nobody waits for it."""
    change(seen(), OPEN)
    move_in_time(seconds=11)
    found = seen()

    def may_probe() -> bool:
        with Session.begin() as session:
            return breakers.may_probe(session, found)

    with ThreadPoolExecutor(1) as elsewhere, Session.begin() as session:
        mine = breakers.may_probe(session, found)
        others = elsewhere.submit(may_probe).result(5)

    assert (mine, others, may_probe()) == (True, False, True)


def test_no_probe_before_its_time() -> None:
    """Ten seconds are ten seconds."""
    change(seen(), OPEN)

    with Session.begin() as session:
        assert not breakers.may_probe(session, seen())


@pytest.mark.parametrize(
    ("outcome", "code", "probe"),
    [
        (Outcome.COMPLETED, None, Probe.PASSED),
        (Outcome.FAILED, "provider_rejected", Probe.PASSED),
        (Outcome.SNOOZED, "provider_unavailable", Probe.FAILED),
        (Outcome.LOST, "worker_lost", Probe.VOID),
        (Outcome.CANCELLED, None, Probe.VOID),
        (Outcome.FAILED, "deadline_exceeded", Probe.VOID),
        (None, None, Probe.RUNNING),
    ],
)
def test_a_probe_is_known_by_its_attempt(outcome: Outcome | None, code: str | None, probe: Probe) -> None:
    """What the attempt's row says is what the probe found."""
    job_id = call(outcome, code)

    change(seen(), Change(to=BreakerState.HALF_OPEN, open_seconds=10, probe=(job_id, 1)))

    assert seen().probe is probe


def test_a_probe_nobody_has_claimed_has_no_attempt() -> None:
    """Its hint may be lost."""
    change(seen(), Change(to=BreakerState.HALF_OPEN, open_seconds=10, probe=(a_job(), 1)))

    assert seen().probe is Probe.UNCLAIMED


def test_recording_a_failure_tells_the_announcer_to_judge() -> None:
    """Only what counts does; and only once for each attempt."""
    ids = [call(None) for _ in range(3)]
    codes = ["provider_unavailable", "provider_timeout", "provider_cut"]
    endings = [
        Ending(job_id=job_id, attempt=1, outcome=Outcome.RETRIED, error_code=code, error_message="No.")
        for job_id, code in zip(ids, codes, strict=True)
    ]

    for _ in range(2):
        with Session.begin() as session:
            attempts.record(session, endings)

    assert seen().failed_calls == 2


def test_models_that_are_no_longer_asked_have_no_breaker() -> None:
    """One that is left open would be shown for ever; one that stays keeps its state."""
    change(seen(), OPEN)
    with Session.begin() as session:
        breakers.keep(session, [MODEL, "new"])
        both = breakers.seen(session)
        breakers.keep(session, ["new"])
        one = breakers.seen(session)

    assert [(each.model, each.state) for each in both] == [(MODEL, "open"), ("new", "closed")]
    assert [each.model for each in one] == ["new"]


def test_the_codes_that_count_are_codes_of_the_providers() -> None:
    """Two lists of the same codes, in two rooms."""
    verdicts = {failures.TIMEOUT, failures.UNREACHABLE, failures.UNAVAILABLE}

    assert {verdict.code for verdict in verdicts} == breakers.FAILURES

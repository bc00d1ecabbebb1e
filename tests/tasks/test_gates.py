"""What is announced, and for which model, while breakers are open."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from models import announcements, attempts, breakers, heartbeats
from models.attempts import Attempt, Ending, Outcome
from models.base import Session
from models.breakers import Breaker, BreakerState
from models.jobs import QueueClass
from models.states import JobStatus
from tasks.gates import Gates
from tests.factories import a_job, change, claim, create, now, the_job

pytestmark = pytest.mark.usefixtures("db")
SLOTS = 20
AGAIN_AFTER = 5.0


def gates(*chain: str) -> Gates:
    """Of one dispatcher."""
    made = Gates(chain, guarded=[model for model in chain if model != "offline"], least_calls=20)
    with Session.begin() as session:
        for each in QueueClass:
            heartbeats.beat(session, kind=heartbeats.WORKER, instance=each, queue_class=each, slots=SLOTS)
        made.keep(session)
    return made


def tick(by: Gates, queue_class: QueueClass = QueueClass.INTERACTIVE) -> list[str]:
    """The jobs it announces."""
    with Session.begin() as session:
        room = announcements.room(session, queue_class, again_after=AGAIN_AFTER)
        hints = by.stamp(session, queue_class, room=room, again_after=AGAIN_AFTER)
    by.report()
    return [job_id for job_id, _ in hints]


def calls(count: int, code: str | None, *, model: str = "m") -> None:
    """So many attempts end now, as a worker records them."""
    outcome = Outcome.RETRIED if code else Outcome.COMPLETED
    ids = [a_job(status=JobStatus.ANALYZING) for _ in range(count)]
    with Session.begin() as session:
        session.execute(update(Attempt).where(Attempt.job_id.in_(ids)).values(model=model, asked_at=now()))
        texts = {"text": None if code else "Yes.", "error_code": code, "error_message": code and "No."}
        endings = [
            Ending(job_id=job_id, attempt=1, outcome=outcome, delay_seconds=3600, **texts)  # type: ignore[arg-type]
            for job_id in ids
        ]
        attempts.record(session, endings)


def breaker(model: str = "m") -> Breaker:
    with Session() as session:
        found = session.get(Breaker, model)
    assert found is not None
    return found


def let_pass(seconds: float) -> None:
    """Move all breakers back in time, and all announcements."""
    back = dt.timedelta(seconds=seconds)
    with Session.begin() as session:
        session.execute(update(Breaker).values(changed_at=Breaker.changed_at - back, retry_at=Breaker.retry_at - back))


def end_probe(code: str | None) -> None:
    """Claim it, ask, and record how the call went."""
    job_id = breaker().probe_job_id
    assert job_id is not None
    claimed = claim(job_id, expected=the_job(job_id).attempt)
    assert claimed is not None
    assert claimed.is_probe
    outcome = Outcome.SNOOZED if code else Outcome.COMPLETED
    with Session.begin() as session:
        attempts.asked(session, [claimed], model="m")
        ending = Ending(
            job_id=job_id,
            attempt=claimed.attempt,
            outcome=outcome,
            text=None if code else "Yes.",
            error_code=code,
            error_message=code and "No.",
            delay_seconds=3600,
        )
        attempts.record(session, [ending])


def an_open_one(*chain: str) -> Gates:
    """Gates whose first model has just been found out of order."""
    made = gates(*chain)
    calls(20, "provider_unavailable")
    tick(made)
    assert breaker().state is BreakerState.OPEN
    return made


@pytest.mark.parametrize(("good", "bad", "opens"), [(0, 19, False), (0, 20, True), (11, 10, False), (10, 10, True)])
def test_it_opens_at_exactly_half_of_at_least_twenty_calls(good: int, bad: int, opens: bool) -> None:
    """At the next tick, not at the next second."""
    mine = gates("m")
    job_id = create()

    calls(good, None)
    calls(bad, "provider_timeout")

    assert tick(mine) == ([] if opens else [job_id])
    assert breaker().state is (BreakerState.OPEN if opens else BreakerState.CLOSED)


def test_permanent_errors_open_nothing() -> None:
    """A model that refuses is there."""
    mine = gates("m")
    calls(30, "provider_rejected")

    tick(mine)

    assert breaker().state is BreakerState.CLOSED


def test_while_it_is_open_nothing_is_announced_for_either_class() -> None:
    """And what waits keeps its attempts."""
    mine = an_open_one("m")
    waiting = [create(), a_job(queue_class=QueueClass.BATCH)]

    assert [tick(mine, each) for each in QueueClass] == [[], []]
    assert [the_job(job_id).attempt for job_id in waiting] == [0, 0]


def test_after_ten_seconds_exactly_one_job_goes_first_whoever_announces() -> None:
    """Two dispatchers, two classes, one probe."""
    mine = an_open_one("m")
    other = Gates(["m"], guarded=["m"], least_calls=20)
    for _ in range(5):
        create()
        a_job(queue_class=QueueClass.BATCH)
    let_pass(10)

    with ThreadPoolExecutor(4) as threads:
        ticks = [threads.submit(tick, by, each) for by in (mine, other) for each in QueueClass]
        announced = [job_id for done in ticks for job_id in done.result(10)]

    assert len(announced) == 1
    assert breaker().state is BreakerState.HALF_OPEN
    assert breaker().probe_job_id == announced[0]


def test_a_probe_that_fails_keeps_it_closed_to_jobs_twice_as_long_each_time_up_to_a_minute() -> None:
    """10, 20, 40, 60, 60."""
    mine = an_open_one("m")
    waits = [breaker().open_seconds]
    for _ in range(4):
        create()
        let_pass(60)
        tick(mine)
        end_probe("provider_unavailable")
        tick(mine)
        waits.append(breaker().open_seconds)

    assert waits == [10, 20, 40, 60, 60]
    assert breaker().state is BreakerState.OPEN


def test_a_failed_probe_costs_its_job_nothing() -> None:
    """It went for all."""
    mine = an_open_one("m")
    job_id = create()
    let_pass(10)
    tick(mine)

    end_probe("provider_timeout")

    assert (the_job(job_id).status, the_job(job_id).failures) == (JobStatus.RETRYING, 0)


def test_a_probe_that_goes_well_closes_it_and_jobs_come_slowly() -> None:
    """4 in flight, then 8, 16, then all there is room for."""
    mine = an_open_one("m")
    create()
    let_pass(10)
    tick(mine)
    end_probe(None)
    for _ in range(40):
        create()

    in_flight = []
    for _ in range(4):
        tick(mine)
        with Session.begin() as session:
            in_flight.append(announcements.in_flight(session, 0, again_after=AGAIN_AFTER))
        let_pass(5)

    assert in_flight == [4, 8, 16, SLOTS]


def test_calls_of_the_outage_do_not_open_it_again() -> None:
    """They are still in the window."""
    mine = an_open_one("m")
    create()
    let_pass(10)
    tick(mine)
    end_probe(None)
    tick(mine)

    calls(1, "provider_timeout")
    tick(mine)

    assert breaker().state is BreakerState.CLOSED


def test_one_that_closed_too_soon_stays_open_twice_as_long() -> None:
    """A model that can take one call, but not all."""
    mine = an_open_one("m")
    create()
    let_pass(10)
    tick(mine)
    end_probe(None)
    tick(mine)

    calls(20, "provider_timeout")
    tick(mine)

    assert (breaker().state, breaker().open_seconds) == (BreakerState.OPEN, 20)


@pytest.mark.parametrize("how", ["hint lost", "cancelled", "worker lost"])
def test_a_probe_that_tells_nothing_is_followed_by_another(how: str) -> None:
    """At once where it has ended; where nobody claimed it, after a bound."""
    mine = an_open_one("m")
    first, second = create(), create()
    let_pass(10)
    assert tick(mine) == [first]

    if how == "hint lost":
        assert tick(mine) == []
        let_pass(6)
    else:
        claim(first)
        outcome = {"cancelled": Outcome.CANCELLED, "worker lost": Outcome.LOST}[how]
        with Session.begin() as session:
            session.execute(
                update(Attempt)
                .where(Attempt.job_id == first)
                .values(outcome=outcome, finished_at=now(), asked_at=now())
            )

    assert tick(mine) == [second]
    assert breaker().open_seconds == 10


def test_with_a_fallback_only_the_probe_goes_to_the_first_model() -> None:
    """All others are answered meanwhile."""
    mine = an_open_one("m", "offline")
    ids = [create() for _ in range(3)]
    before = tick(mine)
    for job_id in ids:
        change(job_id, announced_at=None)
    let_pass(10)

    after = tick(mine)

    assert before == ids
    assert sorted(after) == sorted(ids)
    assert [the_job(job_id).choice for job_id in ids] == [0, 1, 1]
    assert breaker().probe_job_id == ids[0]


def test_a_job_that_was_handed_down_is_no_probe_of_a_model_above() -> None:
    """However urgent it is: it has used up its attempts there."""
    mine = an_open_one("m", "offline")
    handed_down, next_one = a_job(fallback=1, rank_at=now() - dt.timedelta(hours=1)), create()
    let_pass(10)

    tick(mine)

    assert [the_job(job_id).choice for job_id in (handed_down, next_one)] == [1, 0]
    assert breaker().probe_job_id == next_one


def test_a_job_that_was_handed_down_does_not_come_up_again() -> None:
    """Nor does it wait for a breaker above."""
    mine = gates("m", "second", "offline")
    down, far_down = a_job(fallback=1), a_job(fallback=7)

    assert sorted(tick(mine)) == sorted([down, far_down])
    assert [the_job(job_id).choice for job_id in (down, far_down)] == [1, 2]


def test_a_chain_that_is_open_from_somewhere_on_pauses_only_who_is_there() -> None:
    """What waiting jobs are told."""
    mine = an_open_one("m", "second")

    with Session.begin() as session:
        found = breakers.seen(session)

    assert mine.paused_from(found) is None
    assert Gates(["second", "m"], guarded=["second", "m"], least_calls=20).paused_from(found) == 1
    assert Gates(["m"], guarded=["m"], least_calls=20).paused_from(found) == 0


def test_nothing_is_guarded_where_there_is_no_model() -> None:
    """The offline provider is always there."""
    mine = gates("offline")
    job_id = create()
    calls(30, "provider_timeout", model="offline")

    assert tick(mine) == [job_id]
    with Session.begin() as session:
        assert breakers.seen(session) == ()

"""Which jobs the workers are told about."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from models import announcements, heartbeats
from models.announcements import Room
from models.base import Session
from models.jobs import QueueClass
from models.states import JobStatus
from tests.factories import a_job, change, claim, create, now, the_job

pytestmark = pytest.mark.usefixtures("db")
CLASS = QueueClass.INTERACTIVE


def stamped(most: int = 100, *, slots: int = 1000) -> list[str]:
    with Session.begin() as session:
        announcements.promote(session)
        room = Room(slots=slots, free=most)
        return [job_id for job_id, _ in announcements.stamp(session, CLASS, room=room, again_after=5)]


def room() -> int:
    with Session.begin() as session:
        return announcements.room(session, CLASS, again_after=5).free


def a_worker(slots: int, *, silent_for: int = 0) -> None:
    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance=f"w{slots}", queue_class=CLASS, slots=slots)
        session.execute(
            text("UPDATE heartbeats SET seen_at = seen_at - make_interval(secs => :s) WHERE instance = :i"),
            {"s": silent_for, "i": f"w{slots}"},
        )


def test_a_job_is_announced_once_until_the_announcement_counts_as_lost() -> None:
    """Redis may forget a hint; PostgreSQL remembers when it was sent."""
    job_id = create()

    assert stamped() == [job_id]
    assert stamped() == []
    change(job_id, announced_at=now() - dt.timedelta(seconds=6))
    assert stamped() == [job_id]


def test_an_announcement_taken_back_is_due_at_once() -> None:
    """What could not be published has not been said."""
    job_id = create()
    with Session.begin() as session:
        hints = announcements.stamp(session, CLASS, room=Room(slots=10, free=10), again_after=5)
        announcements.take_back(session, hints)

    assert stamped() == [job_id]


@pytest.mark.parametrize(
    "columns",
    [
        {"next_attempt_at": now() + dt.timedelta(hours=1), "due": False},
        {"deadline_at": now() - dt.timedelta(minutes=1)},
        {"status": JobStatus.ANALYZING},
        {"status": JobStatus.COMPLETED},
        {"status": JobStatus.FAILED},
        {"status": JobStatus.CANCELLED},
    ],
)
def test_what_is_not_due_is_not_announced(columns: dict[str, object]) -> None:
    """Waiting out a back-off, past its deadline, running or finished."""
    a_job(**columns)

    assert stamped() == []


def test_owners_take_turns_however_much_one_of_them_sends() -> None:
    """Fair share: the second owner's only job is second, not eleventh."""
    for number in range(10):
        a_job(owner="loud", rank_at=now() + dt.timedelta(seconds=number))
    quiet = a_job(owner="quiet", rank_at=now() + dt.timedelta(hours=1))

    assert stamped(most=3)[1] == quiet


def test_what_an_owner_has_running_counts_as_turns_it_has_had() -> None:
    """A newcomer comes before the next job of one who holds slots already."""
    for _ in range(3):
        a_job(owner="busy", status=JobStatus.ANALYZING)
    a_job(owner="busy")
    newcomer = [a_job(owner="newcomer", rank_at=now() + dt.timedelta(hours=1, seconds=n)) for n in range(3)]

    assert stamped(most=3) == newcomer


def test_nobody_gets_more_than_half_of_the_slots_while_another_waits() -> None:
    """Running and announced jobs count; alone, an owner may have them all."""
    for _ in range(3):
        a_job(owner="loud", status=JobStatus.ANALYZING)
    loud = [a_job(owner="loud", rank_at=now() + dt.timedelta(seconds=n)) for n in range(4)]
    quiet = a_job(owner="quiet", rank_at=now() + dt.timedelta(hours=1))

    assert stamped(slots=8) == [quiet, loud[0]]
    claim(quiet)
    assert stamped(slots=8) == loud[1:]


def test_a_back_off_that_is_over_lets_a_job_in_again() -> None:
    """The announcer looks only at what is due, however much is not."""
    over = a_job(status=JobStatus.RETRYING, due=False, next_attempt_at=now() - dt.timedelta(seconds=1))
    a_job(status=JobStatus.RETRYING, due=False, next_attempt_at=now() + dt.timedelta(seconds=60))

    assert stamped() == [over]


def test_an_owners_own_jobs_go_by_rank() -> None:
    """Rank is creation less a minute for each step of priority."""
    late_urgent = create(priority=9)
    early = a_job(rank_at=the_job(late_urgent).rank_at + dt.timedelta(seconds=30))

    assert stamped() == [late_urgent, early]


def test_room_is_free_slots_less_what_is_announced_and_unclaimed() -> None:
    """Counted from rows at each tick, so it cannot drift."""
    a_worker(20)
    for _ in range(5):
        a_job(status=JobStatus.ANALYZING)
    for _ in range(3):
        create()
    stamped()

    assert room() == 20 - 5 - 3


def test_a_few_jobs_are_announced_although_every_slot_is_taken() -> None:
    """They stand at a worker's door when a slot falls free."""
    a_worker(2)
    for _ in range(2):
        a_job(status=JobStatus.ANALYZING)
    create()

    assert room() == announcements.SMALLEST_WINDOW


def test_there_is_no_room_to_fill_when_nothing_is_due() -> None:
    """An idle announcer does not even look for the order of the queue."""
    a_worker(20)
    a_job(due=False)

    assert room() == 0


@pytest.mark.parametrize("silent_for", [None, 11])
def test_nothing_is_announced_while_no_worker_lives(silent_for: int | None) -> None:
    """Hints for nobody would pile up in Redis, again every few seconds."""
    create()
    if silent_for is not None:
        a_worker(20, silent_for=silent_for)

    assert room() == 0


def test_one_announcer_at_a_time() -> None:
    """The lock is for one tick: it goes with the transaction."""

    def try_elsewhere() -> bool:
        with Session.begin() as session:
            return announcements.take_turn(session, CLASS)

    with ThreadPoolExecutor(1) as elsewhere, Session.begin() as session:
        assert announcements.take_turn(session, CLASS)
        during = elsewhere.submit(try_elsewhere).result(5)
    after = try_elsewhere()

    assert (during, after) == (False, True)

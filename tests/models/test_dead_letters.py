"""Dead letters: found by filter, redriven by the hundred but not at once, discarded."""

from __future__ import annotations

import datetime as dt
import itertools
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from models import announcements, dead_letters, snapshots
from models.base import Session
from models.dead_letters import Filter, Limits, Redrive
from models.errors import BacklogFull, DeadLetterNotFound
from models.jobs import QueueClass
from models.states import JobStatus
from tests.factories import a_job, now, the_job

pytestmark = pytest.mark.usefixtures("db")
AMPLE = Limits(most_waiting=1000, most_waiting_per_owner=1000)


def dead(*, minutes_ago: float = 0, **columns: object) -> str:
    """A dead letter."""
    return a_job(status=JobStatus.FAILED, finished_at=now() - dt.timedelta(minutes=minutes_ago), **columns)


def page(**which: object) -> list[str]:
    with Session() as session:
        return [letter.id for letter in dead_letters.page(session, Filter(**which), limit=100)]  # type: ignore[arg-type]


def redrive(
    *, most: int = 100, per_second: float = 10, limits: Limits = AMPLE, which: Filter | None = None
) -> tuple[int, set[str]]:
    """As the view does it: how many, and whose letters were left."""
    with Session.begin() as session:
        many = Redrive(session, which or Filter(), most=most, per_second=per_second, limits=limits)
    may_be_more = True
    while may_be_more:
        with Session.begin() as session:
            may_be_more = many.some(session)
    return many.done, many.full


def test_each_filter_finds_its_letters_and_all_hold_together() -> None:
    """The latest first; the times are a half-open range."""
    late = dead(error_code="a", model="m")
    middle = dead(error_code="a", model="n", minutes_ago=10)
    early = dead(error_code="b", minutes_ago=20)
    moment = the_job(middle).finished_at

    assert page() == [late, middle, early]
    assert page(error_code="a") == [late, middle]
    assert page(model="n") == [middle]
    assert page(finished_after=moment) == [late, middle]
    assert page(finished_before=moment) == [early]
    assert page(error_code="a", model="m", finished_after=moment) == [late]
    assert page(error_code="b", finished_after=moment) == []


def test_what_is_discarded_is_shown_only_to_those_who_ask_for_it() -> None:
    """It stays failed, and a second time changes nothing."""
    put_aside, other = dead(), dead()
    times = []
    for _ in range(2):
        with Session.begin() as session:
            dead_letters.discard(session, put_aside)
        times.append((the_job(put_aside).discarded_at, the_job(put_aside).updated_at))

    assert page() == [other]
    assert page(discarded=True) == [put_aside]
    assert the_job(put_aside).status is JobStatus.FAILED
    assert times[0] == times[1]
    assert times[0][0] is not None


def test_only_dead_letters_can_be_discarded() -> None:
    """A job that has not failed has nothing to hide."""
    job_id = a_job(status=JobStatus.COMPLETED)

    with Session() as session, pytest.raises(DeadLetterNotFound):
        dead_letters.discard(session, job_id)


def test_many_are_discarded_the_oldest_first() -> None:
    """As many as were asked for, of those that match."""
    young, old, oldest = (dead(error_code="a", minutes_ago=minutes) for minutes in (1, 2, 3))
    other = dead(error_code="b", minutes_ago=4)

    with Session.begin() as session:
        number = dead_letters.discard_some(session, Filter(error_code="a"), most=2)

    assert number == 2
    assert page() == [young, other]
    assert page(discarded=True) == [old, oldest]


def test_many_are_redriven_one_after_the_other_and_their_deadlines_with_them() -> None:
    """The oldest is due at once; each further one a fraction of a second later."""
    ids = [dead(minutes_ago=30 - number, deadline_seconds=60.0) for number in range(5)]

    before = now()
    number, _ = redrive(per_second=0.1)
    after = now()

    assert number == 5
    for place, job in enumerate(map(the_job, ids)):
        delay = dt.timedelta(seconds=10 * place)
        assert (job.status, job.due, job.failures) == (JobStatus.CREATED, place == 0, 0)
        assert before + delay <= job.next_attempt_at <= after + delay
        assert job.deadline_at - job.next_attempt_at == pytest.approx(
            dt.timedelta(seconds=60), abs=dt.timedelta(milliseconds=5)
        )


def test_a_redriven_letter_that_is_not_due_is_not_announced_before_its_time() -> None:
    """So the rate holds, and fair share is the announcer's as for any job."""
    ids = [dead(minutes_ago=30 - number) for number in range(3)]
    redrive(per_second=0.1)

    def announced() -> set[str]:
        room = announcements.Room(slots=10, free=10)
        with Session.begin() as session:
            announcements.promote(session)
            return {
                job_id for job_id, _ in announcements.stamp(session, QueueClass.INTERACTIVE, room=room, again_after=60)
            }

    first = announced()
    with Session.begin() as session:
        session.execute(text("UPDATE jobs SET next_attempt_at = next_attempt_at - interval '15 seconds'"))

    assert first == {ids[0]}
    assert announced() == {ids[1]}


def test_a_redrive_takes_no_more_than_it_is_told_in_however_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delays go on from one transaction to the next."""
    monkeypatch.setattr(dead_letters, "REDRIVEN_AT_ONCE", 2)
    ids = [dead(minutes_ago=30 - number) for number in range(7)]

    number, _ = redrive(most=5, per_second=0.01)

    assert number == 5
    assert page() == ids[:4:-1]
    times = [the_job(job_id).next_attempt_at for job_id in ids[:5]]
    gaps = [round((later - sooner).total_seconds()) for sooner, later in itertools.pairwise(times)]
    assert gaps == [100] * 4


def test_discarded_letters_are_redriven_only_if_asked_for() -> None:
    """And are then no longer discarded."""
    hidden, shown = dead(discarded_at=now()), dead()

    assert redrive()[0] == 1
    assert [the_job(shown).status, the_job(hidden).status] == [JobStatus.CREATED, JobStatus.FAILED]
    assert redrive(which=Filter(discarded=True))[0] == 1
    assert (the_job(hidden).status, the_job(hidden).discarded_at) == (JobStatus.CREATED, None)


def test_no_owner_gets_more_waiting_jobs_than_it_may_have_and_others_are_not_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits already counts, by the last snapshot; the rest of that owner's letters stay."""
    monkeypatch.setattr(dead_letters, "REDRIVEN_AT_ONCE", 3)
    greedy = [dead(owner="greedy", minutes_ago=60 - number) for number in range(6)]
    modest = [dead(owner="modest", minutes_ago=1) for _ in range(2)]
    with Session.begin() as session:
        session.execute(
            text("""INSERT INTO snapshots (name, taken_at, body)
                    VALUES ('backlog', now(), '{"waiting": 2, "owners": {"greedy": 2}}')""")
        )

    number, full = redrive(limits=Limits(most_waiting=100, most_waiting_per_owner=4))

    assert (number, full) == (4, {"greedy"})
    assert [the_job(job_id).status for job_id in greedy] == [JobStatus.CREATED] * 2 + [JobStatus.FAILED] * 4
    assert [the_job(job_id).status for job_id in modest] == [JobStatus.CREATED] * 2


def test_the_backlog_as_a_whole_has_its_limit() -> None:
    """What fits is redriven; where nothing fits, the redrive is refused."""
    ids = [dead(minutes_ago=3 - number) for number in range(3)]
    with Session.begin() as session:
        snapshots.take_backlog(session)

    number, _ = redrive(limits=Limits(most_waiting=2, most_waiting_per_owner=100))
    with Session.begin() as session:
        snapshots.take_backlog(session)

    assert number == 2
    assert page() == [ids[2]]
    with pytest.raises(BacklogFull):
        redrive(limits=Limits(most_waiting=2, most_waiting_per_owner=100))


def test_two_redrives_at_once_share_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each letter is redriven by one of them, and none is left."""
    monkeypatch.setattr(dead_letters, "REDRIVEN_AT_ONCE", 5)
    ids = [dead() for _ in range(60)]
    ready = Barrier(4)

    def drive(_: int) -> int:
        ready.wait()
        return redrive()[0]

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(drive, range(4)))

    assert sum(numbers) == 60
    assert {the_job(job_id).status for job_id in ids} == {JobStatus.CREATED}


def test_what_another_redrive_has_in_hand_is_passed_over() -> None:
    """Nobody waits for anybody."""
    held, free = dead(minutes_ago=2), dead(minutes_ago=1)

    with Session.begin() as session:
        dead_letters.redrive(session, held)
        number, _ = redrive()

    assert number == 1
    assert {the_job(job_id).status for job_id in (held, free)} == {JobStatus.CREATED}


def test_the_count_leaves_the_discarded_out() -> None:
    """And so does the age of the oldest."""
    with Session() as session:
        none = dead_letters.count(session)
    for minutes in (1, 5, 60):
        dead(minutes_ago=minutes, discarded_at=now() if minutes == 60 else None)

    with Session() as session:
        number, oldest = dead_letters.count(session)

    assert none == (0, None)
    assert number == 2
    assert oldest == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (Filter(), "ix_jobs_dead "),
        (Filter(error_code="a"), "ix_jobs_dead_code"),
        (Filter(model="m"), "ix_jobs_dead_model"),
        (Filter(finished_after=now()), "ix_jobs_dead "),
        (Filter(discarded=True), "ix_jobs_discarded"),
    ],
    ids=["none", "code", "model", "time", "discarded"],
)
def test_every_filter_has_an_index_in_the_order_of_the_list(which: Filter, index: str) -> None:
    """A sort would read all that match for each page."""
    position = {"limit": 10, "at": now(), "id": "00000000-0000-4000-8000-000000000000"}
    for number in range(60):  # or all indexes would cost the same
        dead(error_code=f"code {number}", model=f"model {number}", discarded_at=now() if number % 20 == 0 else None)
    with Session() as session:
        session.execute(text("ANALYZE jobs; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        plan = "\n".join(session.scalars(text(f"EXPLAIN {dead_letters._PAGE.text}"), {**vars(which), **position}).all())

    assert f"Index Scan Backward using {index}" in plan
    assert "Sort" not in plan

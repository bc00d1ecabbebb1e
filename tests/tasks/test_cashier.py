"""Budgets: what is let through, what waits, and by how much they are overspent."""

from __future__ import annotations

import datetime as dt
import queue
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models import announcements, attempts, budgets, heartbeats, invariants
from models.attempts import Ending, Outcome
from models.base import Session
from models.budgets import Budgets
from models.jobs import QueueClass
from models.settings import Settings
from models.states import JobStatus
from tasks.cashier import Cashier
from tasks.gates import Gates
from tests.factories import a_chat, a_job, a_user, change, claim, create, now, record, the_job
from tests.system.outages import FULL

pytestmark = pytest.mark.usefixtures("db")
AGAIN_AFTER = 60.0
SLOTS = 40
ONE = Decimal("0.01")
"""What a job is reckoned to cost: an answer of 1,000 tokens at 10 for a million; prompts are free."""


def allowing(*, day: str | None = None, owner_day: str | None = None, **more: Any) -> Budgets:
    """Budgets, as settings would make them."""
    known: dict[str, Any] = {
        "day": day and Decimal(day),
        "owner_day": owner_day and Decimal(owner_day),
        "soft_percent": 80,
        "inputs": [Decimal(0)],
        "outputs": [Decimal(10)],
        "context_tokens": 8000,
        "output_tokens": 1000,
    }
    return Budgets(**{**known, **more})


def cashier(**amounts: Any) -> Cashier:
    """Of one dispatcher, beside workers with so many slots."""
    with Session.begin() as session:
        for each in QueueClass:
            heartbeats.beat(session, kind=heartbeats.WORKER, instance=each, queue_class=each, slots=SLOTS)
    return Cashier(allowing(**amounts), again_after=AGAIN_AFTER)


GATES = Gates(["m"], guarded=(), least_calls=0)


def tick(by: Cashier, queue_class: QueueClass = QueueClass.INTERACTIVE) -> list[tuple[str, int]]:
    """What it announces, as the dispatcher has it done."""
    with Session.begin() as session:
        room = announcements.room(session, queue_class, again_after=AGAIN_AFTER)
        return by.stamp(session, queue_class, gates=GATES, room=room, again_after=AGAIN_AFTER)


def spend(owner: str, cost: str) -> None:
    """On this day."""
    with Session.begin() as session:
        session.execute(
            text("""INSERT INTO spending SELECT :owner, CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - days, 'm',
                           1, 1, 1, CAST(:cost AS numeric), 0 FROM unnest(ARRAY[0, 1]) AS days"""),
            {"owner": owner, "cost": cost},
        )


def reserved() -> Decimal:
    with Session() as session:
        return budgets.look(session, allowing(day="1"), again_after=AGAIN_AFTER).reserved


def test_jobs_are_let_through_while_anything_is_left() -> None:
    """The last of them may cost more than that; what was spent on other days does not count."""
    spend("user:b", "0.1")
    for _ in range(5):
        create(owner="user:a")

    announced = tick(cashier(day="0.125"))

    assert len(announced) == 3
    assert reserved() == 3 * ONE
    assert [the_job(job_id).reserved for job_id, _ in announced] == [ONE] * 3


def test_who_has_nothing_left_waits_and_others_go_on() -> None:
    """And do not wait behind it, however much of it waits."""
    for _ in range(2 * SLOTS):
        create(owner="user:poor")
    spend("user:poor", "0.1")
    rich = create(owner="user:rich")
    by = cashier(owner_day="0.1")

    assert [job_id for job_id, _ in tick(by)] == [rich]
    with Session() as session:
        assert by.standing(session) == {"all": False, "owners": ["user:poor"]}


def test_a_crowd_that_has_nothing_left_stands_in_nobodys_way() -> None:
    """Were they only taken back, all that may be announced at once would be theirs, at every tick."""
    for number in range(SLOTS):
        create(owner=f"user:poor-{number}")
        spend(f"user:poor-{number}", "0.1")
    rich = create(owner="user:rich")

    assert [job_id for job_id, _ in tick(cashier(owner_day="0.1"))] == [rich]


def test_of_a_crowd_of_any_size_nobody_who_waits_is_forgotten() -> None:
    """More than are named where nothing waits; they would all be taken back, and stamped again before anybody else."""
    create(owner="user:poor-0")
    with Session.begin() as session:
        session.execute(_CROWD, {"more": budgets.MOST_NAMED})
        session.execute(_THEIR_SPENDING)
    rich = create(owner="user:rich")
    by = cashier(owner_day="0.1")

    assert [job_id for job_id, _ in tick(by)] == [rich]
    with Session() as session:
        assert len(by.standing(session)["owners"]) == budgets.MOST_NAMED + 1


def test_of_those_for_whom_nothing_waits_the_first_are_named() -> None:
    """However many people have spent theirs: the api reads them once a second."""
    with Session.begin() as session:
        session.execute(_STRANGERS, {"people": budgets.MOST_NAMED + 5})

    with Session() as session:
        assert len(cashier(owner_day="0.1").standing(session)["owners"]) == budgets.MOST_NAMED


_CROWD = text("""
    INSERT INTO jobs SELECT (jsonb_populate_record(jobs, jsonb_build_object(
        'id', gen_random_uuid(), 'owner', 'user:poor-' || number))).*
    FROM jobs, generate_series(1, :more) AS number
""")
_SPENDING = """INSERT INTO spending SELECT {owner}, CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date), 'm',
                      1, 1, 1, 0.1, 0 FROM {whom}"""
_THEIR_SPENDING = text(_SPENDING.format(owner="owner", whom="jobs"))
_STRANGERS = text(_SPENDING.format(owner="'user:' || number", whom="generate_series(1, :people) AS number"))


def test_nobody_else_reserves_until_what_was_reserved_is_stored() -> None:
    """The announcer of the other class, perhaps in another dispatcher, would not know of it yet."""
    create()
    by = cashier(day="1")
    attempt = text("SELECT pg_try_advisory_xact_lock(:space, hashtext('budgets'))")

    with Session.begin() as session:
        room = announcements.room(session, QueueClass.INTERACTIVE, again_after=AGAIN_AFTER)
        by.stamp(session, QueueClass.INTERACTIVE, gates=GATES, room=room, again_after=AGAIN_AFTER)
        with Session.begin() as other:
            assert not other.scalar(attempt, {"space": announcements.LOCK_SPACE})

    with Session.begin() as other:
        assert other.scalar(attempt, {"space": announcements.LOCK_SPACE})


def test_without_a_budget_there_is_no_cashier() -> None:
    """Nothing is asked, and no lock is taken."""
    assert Cashier.of(Settings()) is None
    assert Cashier.of(Settings(budget_day="1")) is not None


def test_what_nothing_is_left_for_is_taken_back_as_if_it_had_not_been_announced() -> None:
    """It is due, and is announced as soon as something is left."""
    ids = {create(owner="user:a") for _ in range(3)}
    announced = {job_id for job_id, _ in tick(cashier(owner_day="0.01"))}

    (first,) = announced
    assert [(the_job(job_id).announced_at, the_job(job_id).reserved) for job_id in ids - {first}] == [(None, None)] * 2
    assert {job_id for job_id, _ in tick(cashier(owner_day="1"))} == ids - {first}


def finished(job_id: str, outcome: Outcome = Outcome.COMPLETED, cost: Decimal = ONE) -> None:
    """Claimed, and recorded with what it cost."""
    claimed = claim(job_id)
    assert claimed
    why: dict[str, Any] = {"text": "So."} if outcome is Outcome.COMPLETED else {"error_code": "x", "error_message": "X"}
    with Session.begin() as session:
        attempts.asked(session, [claimed], model="m")
    assert record(claimed, outcome=outcome, cost=cost, price_version="1", prompt_tokens=1, completion_tokens=1, **why)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.LOST, Outcome.CANCELLED}))
def test_what_it_did_cost_takes_the_place_of_what_was_reserved(outcome: Outcome) -> None:
    """Whatever became of the attempt."""
    job_id = create()
    tick(cashier(day="1"))
    assert reserved() == ONE

    finished(job_id, outcome, Decimal("0.004"))

    with Session() as session:
        purse = budgets.look(session, allowing(day="1"), again_after=AGAIN_AFTER)
    assert (purse.spent, purse.reserved, the_job(job_id).reserved) == (Decimal("0.004"), Decimal(0), None)


def test_an_announcement_that_got_lost_holds_nothing_for_ever() -> None:
    """Redis may have been erased: what was reserved for it must not keep it from being announced again."""
    job_id = create()
    by = cashier(day="0.01")
    assert len(tick(by)) == 1
    assert tick(by) == []

    change(job_id, announced_at=now() - dt.timedelta(seconds=AGAIN_AFTER + 1))

    assert [each for each, _ in tick(by)] == [job_id]
    assert reserved() == ONE


def test_what_is_reserved_goes_by_the_message_the_model_and_the_room_of_a_chat() -> None:
    """Three bytes a token; a model further down the chain at its own price."""
    prices: dict[str, Any] = {
        "inputs": [Decimal(3), Decimal(0)],
        "outputs": [Decimal(10), Decimal(1)],
        "output_tokens": 100,
    }
    plain, handed_down = a_job(message="x" * 3000), a_job(choice=1)
    user = a_user()
    in_chat = a_job(purpose="title", chat_id=a_chat(user), message="x")
    with Session.begin() as session:
        budgets.reserve(
            session, allowing(day="9", **prices), [(plain, 0), (handed_down, 0), (in_chat, 0)], again_after=9
        )

    assert the_job(plain).reserved == (3 * (1000 + budgets.PROMPT_TOKENS) + 10 * 100) / Decimal(10**6)
    assert the_job(handed_down).reserved == Decimal(100) / 10**6
    assert the_job(in_chat).reserved == Decimal(3 * 8000 + 10 * 100) / 10**6


def many(count: int, *, owners: int) -> None:
    """Jobs that wait, of so many owners."""
    with Session.begin() as session:
        session.execute(
            text("""INSERT INTO jobs (id, owner, type, queue_class, message, status, max_attempts, deadline_seconds,
                                      rank_at, deadline_at)
                    SELECT gen_random_uuid(), 'user:' || n % :owners, 'chat', 'interactive', 'Hello', 'created', 5, 600,
                           clock_timestamp(), clock_timestamp() + interval '10 minutes'
                    FROM generate_series(1, :count) AS n"""),
            {"count": count, "owners": owners},
        )


class Workers:
    """So many that together they have all slots, and record what each job did cost as soon as they have asked."""

    def __init__(self, number: int, *, cost: Decimal) -> None:
        self._hints: queue.Queue[list[tuple[str, int]] | None] = queue.Queue()
        self._number, self._cost = number, cost
        self._pool = ThreadPoolExecutor(number)
        self.working = [self._pool.submit(self._work, f"worker-{n}-{uuid.uuid4()}") for n in range(number)]

    def take(self, hints: list[tuple[str, int]]) -> None:
        """In small bundles, so that all have some."""
        for place in range(0, len(hints), 7):
            self._hints.put(hints[place : place + 7])

    def stop(self) -> None:
        """Once all is done; raises what one of them has raised."""
        for _ in range(self._number):
            self._hints.put(None)
        for one in self.working:
            one.result(60)

    def _work(self, name: str) -> None:
        while (hints := self._hints.get()) is not None:
            with Session.begin() as session:
                claims = attempts.claim(session, hints, worker=name, lease_seconds=60)
                attempts.asked(session, claims, model="m")
            given: dict[str, Any] = {"cost": self._cost, "price_version": "1", "prompt_tokens": 1}
            with Session.begin() as session:
                endings = [
                    Ending(job_id=one.id, attempt=one.attempt, outcome=Outcome.COMPLETED, text="So.", **given)
                    for one in claims
                ]
                attempts.record(session, endings)
            self._hints.task_done()


@pytest.mark.parametrize(
    ("jobs", "owners", "reckoned_wrong"),
    [
        pytest.param(1000, 1, Decimal(1), id="1000-right"),
        pytest.param(1000, 3, Decimal("1.5"), id="1000-dearer"),
        *([pytest.param(20_000, 50, Decimal(3), id="20000-dearer")] if FULL else []),
    ],
)
def test_a_budget_is_overspent_by_no_more_than_a_job_for_each_slot(
    jobs: int, owners: int, reckoned_wrong: Decimal
) -> None:
    """Two announcers and four workers at once, and calls that cost more than was reserved for them."""
    many(jobs, owners=owners)
    budget, cost = ONE * jobs / 4, ONE * reckoned_wrong
    by, workers = [cashier(day=str(budget)) for _ in range(2)], Workers(4, cost=cost)
    idle = threading.Barrier(2)
    turn = threading.Lock()  # as the advisory lock of a queue class has it

    def announcing(one: Cashier) -> None:
        idle.wait()
        while True:
            with turn:
                hints = tick(one)
                workers.take(hints)
            if not hints and is_over():
                return

    with ThreadPoolExecutor(2) as announcers:
        for done in [announcers.submit(announcing, one) for one in by]:
            done.result(240)
    workers.stop()

    with Session() as session:
        purse = budgets.look(session, allowing(day=str(budget)), again_after=AGAIN_AFTER)
        completed = session.scalar(text("SELECT count(*) FROM jobs WHERE status = 'completed'"))
        broken = [each.name for each in invariants.check(session) if not each.holds]
    over = purse.spent - budget
    print(  # noqa: T201
        f"\n{jobs} jobs, budget {budget}, spent {purse.spent}: over by {over / cost:.1f} jobs of {SLOTS} slots"
    )
    assert 0 <= over <= SLOTS * cost
    assert (purse.reserved, purse.is_empty) == (Decimal(0), True)
    assert purse.spent == completed * cost
    assert broken == []


def is_over() -> bool:
    """Whether nothing runs, and nothing is announced."""
    with Session() as session:
        under_way = "status IN ('processing', 'analyzing') OR announced_at IS NOT NULL"
        return not session.scalar(text(f"SELECT EXISTS (SELECT FROM jobs WHERE {under_way})"))


def test_two_classes_share_one_budget() -> None:
    """The announcer of batches counts what that of the others has reserved."""
    create()
    a_job(queue_class=QueueClass.BATCH)
    by = cashier(day="0.01")

    assert [len(tick(by, each)) for each in (QueueClass.INTERACTIVE, QueueClass.BATCH)] == [1, 0]
    assert the_job(create()).status is JobStatus.CREATED

"""What calls cost: noted on the attempt whatever became of it, added up once, for whom and for which day."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models import attempts, erasures, jobs, owners, spending
from models.attempts import Ending, Outcome
from models.base import Session
from models.owners import ANYONE
from tests.factories import a_user, ask, claim, create, the_attempt

pytestmark = pytest.mark.usefixtures("db")
FAILED = {"error_code": "provider_rejected", "error_message": "No."}


def end(*endings: Ending) -> None:
    with Session.begin() as session:
        attempts.record(session, endings)


def ending(
    owner: str = "user:a", *, tokens: int | None = 10, cost: str | None = "0.5", outcome: Outcome = Outcome.COMPLETED
) -> Ending:
    """Of a job that a worker has just asked ``some-model`` about."""
    job_id = create(owner=owner)
    claimed = claim(job_id)
    assert claimed
    assert ask(claimed)
    given: dict[str, Any] = {} if outcome in (Outcome.COMPLETED, Outcome.RELEASED) else FAILED
    amount = None if cost is None else Decimal(cost)
    counted = {"prompt_tokens": tokens, "completion_tokens": None if tokens is None else 1}
    ours = {"cost": amount, "price_version": cost and "7", "text": "So.", **counted, **given}
    return Ending(job_id=job_id, attempt=1, outcome=outcome, **ours)


def spent() -> list[tuple[Any, ...]]:
    """Owner, model, calls, prompt tokens, cost, unpriced calls."""
    columns = "owner, model, calls, prompt_tokens, cost, unpriced_calls"
    with Session() as session:
        return [tuple(row) for row in session.execute(text(f"SELECT {columns} FROM spending ORDER BY owner, model"))]


def test_each_owners_calls_to_each_model_add_up() -> None:
    """Those of one bundle, and of bundles after one another; exactly."""
    end(ending(cost="0.1"), ending("user:b", cost="0.3"), ending(cost="0.2"))
    end(ending(cost="0.000000000001"))

    assert spent() == [
        ("user:a", "some-model", 3, 30, Decimal("0.300000000001"), 0),
        ("user:b", "some-model", 1, 10, Decimal("0.3"), 0),
    ]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.LOST, Outcome.CANCELLED}))
def test_an_attempt_costs_whatever_became_of_it(outcome: Outcome) -> None:
    """The model's server has been paid."""
    one = ending(outcome=outcome)

    end(one)

    attempt = the_attempt(one.job_id, 1)
    assert (attempt.outcome, attempt.cost, attempt.price_version) == (outcome, Decimal("0.5"), "7")
    assert spent() == [("user:a", "some-model", 1, 10, Decimal("0.5"), 0)]


def test_a_job_that_was_cancelled_meanwhile_costs_as_well() -> None:
    """Its answer is dropped; its attempt, that ended before, gets the cost later."""
    late = ending(outcome=Outcome.RELEASED)
    with Session.begin() as session:
        jobs.cancel(session, late.job_id, reader=ANYONE)

    end(late)

    attempt = the_attempt(late.job_id, 1)
    assert (attempt.outcome, attempt.cost) == (Outcome.CANCELLED, Decimal("0.5"))
    assert spent() == [("user:a", "some-model", 1, 10, Decimal("0.5"), 0)]


def test_what_is_recorded_twice_is_counted_once() -> None:
    """A recorder that does not know whether its write arrived repeats it."""
    once = ending()

    end(once)
    end(once)

    assert spent() == [("user:a", "some-model", 1, 10, Decimal("0.5"), 0)]


def test_a_price_that_nobody_knows_is_null_and_not_nought() -> None:
    """Beside calls whose price is known, what is known adds up, and how many were not is said."""
    end(ending(cost=None))
    assert spent() == [("user:a", "some-model", 1, 10, None, 1)]

    end(ending(cost="0.25"), ending(cost=None))
    assert spent() == [("user:a", "some-model", 3, 30, Decimal("0.25"), 2)]


def test_calls_that_nobody_counted_leave_no_row() -> None:
    """Those of the offline model, for one."""
    one = ending(tokens=None, cost="0")

    end(one)

    assert the_attempt(one.job_id, 1).cost == 0
    assert spent() == []


def test_an_estimate_counts_once_and_as_not_known() -> None:
    """It has no tokens, by which the others are told apart."""
    one = ending(tokens=None, cost="0.5")

    end(one)
    end(one)

    assert the_attempt(one.job_id, 1).cost == Decimal("0.5")
    assert spent() == [("user:a", "some-model", 1, 0, Decimal("0.5"), 1)]


def sql(statement: str, **given: object) -> None:
    with Session.begin() as session:
        session.execute(text(statement), given)


def a_row(owner: str, day: dt.date, cost: str | None, *, model: str = "m", calls: int = 1) -> None:
    sql(
        "INSERT INTO spending VALUES (:owner, :day, :model, :calls, 10, 1, CAST(:cost AS numeric), :unpriced)",
        owner=owner,
        day=day,
        model=model,
        calls=calls,
        cost=cost,
        unpriced=int(cost is None),
    )


JUNE = dt.date(2026, 6, 1)


def test_days_come_the_latest_first_page_by_page_each_with_all_models() -> None:
    """Nobody else's among them."""
    for age in range(3):
        a_row("user:a", JUNE - dt.timedelta(days=age), f"0.{age}")
    a_row("user:a", JUNE, "1", model="n")
    a_row("user:b", JUNE, "5")

    with Session() as session:
        first = spending.days(session, "user:a", limit=2)
        second = spending.days(session, "user:a", limit=2, before=first[-1]["day"])

    assert [(row["day"], row["cost"], row["calls"]) for row in (*first, *second)] == [
        (JUNE, Decimal("1.0"), 2),
        (JUNE - dt.timedelta(days=1), Decimal("0.1"), 1),
        (JUNE - dt.timedelta(days=2), Decimal("0.2"), 1),
    ]


def test_a_report_has_all_of_a_month_and_the_rest_together() -> None:
    """However many owners there were, its sum is that of the month."""
    july = dt.date(2026, 7, 1)
    for number in range(5):
        a_row(f"user:{number}", JUNE + dt.timedelta(days=number), str(number))
    a_row("user:9", JUNE, None)
    a_row("user:4", july, "100")

    with Session() as session:
        given = {"first": JUNE, "last": july - dt.timedelta(days=1)}
        rows = spending.report(session, **given, most=2)
        total = spending.total(session, **given)

    assert [(row["owner"], row["cost"], row["unpriced_calls"]) for row in rows] == [
        ("user:4", Decimal(4), 0),
        ("user:3", Decimal(3), 0),
        (spending.OTHERS, Decimal(3), 1),
    ]
    assert (total["cost"], total["calls"]) == (Decimal(10), 6)


def test_a_day_without_any_call_cost_nothing() -> None:
    """That is known: unknown is what calls have cost of which nobody said."""
    with Session() as session:
        nothing = spending.total(session, first=JUNE, last=JUNE)

    assert (nothing["calls"], nothing["cost"], nothing["unpriced_calls"]) == (0, Decimal(0), 0)


def test_what_an_ended_account_has_spent_stays_spent_but_not_as_its_own() -> None:
    """The bill of the month is what it was."""
    people = [a_user(password_hash="x") for _ in range(2)]
    for user_id in people:
        a_row(owners.of_user(user_id), JUNE, "2")

    for user_id in people:
        with Session.begin() as session:
            assert erasures.account(session, user_id, verified="x")

    assert spent() == [(spending.ERASED, "m", 2, 20, Decimal(4), 0)]


def test_old_days_are_forgotten() -> None:
    """So many at a time."""
    sql(
        """INSERT INTO spending SELECT 'user:a', CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - age, 'm',
                  age, 1, 1, 1, 0 FROM unnest(ARRAY[1, 400, 402, 403, 404]) AS age"""
    )

    with Session.begin() as session:
        assert [spending.prune(session, most=2) for _ in range(3)] == [2, 1, 0]

    assert spent() == [("user:a", "m", calls, 1, Decimal(1), 0) for calls in (1, 400)]

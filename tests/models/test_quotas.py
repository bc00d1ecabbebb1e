"""Daily quotas: what is counted, once, for whom, and for which day."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from models import attempts, quotas
from models.attempts import Ending, Outcome
from models.base import Session
from models.states import JobStatus
from tests.factories import a_job, claim, create

pytestmark = pytest.mark.usefixtures("db")


def end(*endings: Ending) -> None:
    with Session.begin() as session:
        attempts.record(session, endings)


def ending(owner: str, tokens: int, *, outcome: Outcome = Outcome.COMPLETED) -> Ending:
    """Of a job that a worker has just asked about."""
    job_id = create(owner=owner)
    claim(job_id)
    why: dict[str, Any] = (
        {} if outcome is Outcome.COMPLETED else {"error_code": "provider_rejected", "error_message": "No."}
    )
    return Ending(
        job_id=job_id, attempt=1, outcome=outcome, text="So.", prompt_tokens=tokens, completion_tokens=1, **why
    )


def used() -> dict[str, int]:
    with Session() as session:
        return {row.owner: row.tokens for row in session.execute(text("SELECT owner, tokens FROM usage"))}


def exhausted(most: int) -> frozenset[str]:
    with Session() as session:
        return quotas.exhausted(session, most=most).owners


def test_each_owners_calls_add_up() -> None:
    """Those of one bundle, and of bundles after one another; prompts and answers."""
    end(ending("user:a", 10), ending("user:b", 20), ending("user:a", 30))
    end(ending("user:a", 40))

    assert used() == {"user:a": 83, "user:b": 21}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.RETRIED, Outcome.SNOOZED])
def test_a_call_costs_whatever_became_of_it(outcome: Outcome) -> None:
    """The model's server has been paid."""
    end(ending("user:a", 10, outcome=outcome))

    assert used() == {"user:a": 11}


def test_a_job_that_was_cancelled_meanwhile_costs_as_well() -> None:
    """Its answer is dropped, its tokens are not."""
    late = ending("user:a", 10)
    with Session.begin() as session:
        session.execute(text("UPDATE jobs SET attempt = 2, status = 'retrying', lease_until = NULL, leased_by = NULL"))

    end(late)

    assert used() == {"user:a": 11}


def test_what_is_recorded_twice_is_counted_once() -> None:
    """A recorder that does not know whether its write arrived repeats it."""
    once = ending("user:a", 10)

    end(once)
    end(once)

    assert used() == {"user:a": 11}


def test_calls_that_nobody_counted_leave_no_row() -> None:
    """Not every server of a model says how many tokens there were."""
    job_id = a_job(status=JobStatus.ANALYZING)

    end(Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="So."))

    assert used() == {}


def test_who_has_used_as_much_as_allowed_is_exhausted_until_the_day_ends() -> None:
    """Yesterday's do not count."""
    end(ending("user:a", 99), ending("user:b", 98))
    with Session.begin() as session:
        session.execute(
            text("""INSERT INTO usage SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - 1, 'user:c', 500""")
        )

    assert exhausted(100) == {"user:a"}
    assert exhausted(99) == {"user:a", "user:b"}
    with Session() as session:
        assert 0 < quotas.exhausted(session, most=1).seconds_left <= 86_400


def test_old_days_are_forgotten() -> None:
    """So many at a time."""
    with Session.begin() as session:
        session.execute(
            text("""INSERT INTO usage SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - age, 'user:a', age
                    FROM unnest(ARRAY[1, 35, 37, 38, 39]) AS age""")
        )

    with Session.begin() as session:
        assert [quotas.prune(session, most=2) for _ in range(3)] == [2, 1, 0]

    with Session() as session:
        assert set(session.execute(text("SELECT tokens FROM usage")).scalars()) == {1, 35}

"""What is known about the queue as a whole."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from models import snapshots
from models.base import Session
from models.jobs import QueueClass
from models.states import JobStatus
from tests.factories import a_job, now

pytestmark = pytest.mark.usefixtures("db")
CLASS = QueueClass.INTERACTIVE


def taken(*, share: int = 100) -> Any:
    with Session.begin() as session:
        snapshots.take_backlog(session)
        snapshots.take(session, CLASS, share=share)
        return snapshots.latest(session)


def test_the_queue_is_in_the_order_in_which_it_will_be_announced() -> None:
    """Owners in turn, each by rank; announced jobs stand in it until they are claimed; those not due do not."""
    first, third = (a_job(owner="a", rank_at=now() + dt.timedelta(seconds=n)) for n in (1, 2))
    second = a_job(owner="b", rank_at=now() + dt.timedelta(seconds=3), announced_at=now())
    a_job(owner="c", due=False, next_attempt_at=now() + dt.timedelta(hours=1))
    a_job(owner="c", queue_class=QueueClass.BATCH)

    assert taken()[CLASS]["ids"] == [first, second, third]


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    """Whatever became of them, they are no longer in the way."""
    for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        a_job(status=status)
    a_job(status=JobStatus.COMPLETED, finished_at=now() - dt.timedelta(seconds=31))

    assert taken()[CLASS]["rate"] == pytest.approx(3 / 30)


def test_who_holds_his_share_is_named_while_another_waits() -> None:
    """Alone, nobody is limited."""
    for _ in range(2):
        a_job(owner="loud", status=JobStatus.ANALYZING)
    a_job(owner="loud")
    alone = taken(share=2)[CLASS]["limited"]
    a_job(owner="quiet")

    assert (alone, taken(share=2)[CLASS]["limited"]) == ([], ["loud"])


def test_the_backlog_counts_all_that_waits_and_names_the_owners() -> None:
    """Of every class, due or not."""
    assert taken()[snapshots.BACKLOG]["waiting"] == 0
    for number in range(3):
        a_job(owner="loud", due=number % 2 == 0)
    for _ in range(2):
        a_job(owner="quiet", queue_class=QueueClass.BATCH)
    a_job(owner="quiet", status=JobStatus.ANALYZING)

    body = taken()[snapshots.BACKLOG]

    assert (body["waiting"], body["owners"]) == (5, {"loud": 3, "quiet": 2})

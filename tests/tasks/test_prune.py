"""What the dispatcher deletes, and how much at a time."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, select

from models import heartbeats
from models.base import Session
from models.jobs import Job
from models.states import JobStatus
from tasks import dispatcher
from tests.factories import a_job, now

pytestmark = pytest.mark.usefixtures("db")


def jobs_left() -> int:
    with Session() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_finished_jobs_are_removed_after_the_days_of_the_settings() -> None:
    """So many at a time; it says whether there may be more."""
    for days in (1, 3, 3, 3):
        a_job(status=JobStatus.COMPLETED, finished_at=now() - dt.timedelta(days=days))

    answers = [
        (dispatcher.prune(retention_days=2, audit_days=365, session_days=30, most=2), jobs_left()) for _ in range(2)
    ]

    assert answers == [(True, 2), (False, 1)]


def test_processes_that_are_long_gone_are_forgotten() -> None:
    """Their rows would add up; the youngest of a kind stays."""
    with Session.begin() as session:
        for instance, hours in (("old", 48), ("older", 72)):
            heartbeats.beat(session, kind=heartbeats.WORKER, instance=instance)
            session.execute(
                heartbeats.Heartbeat.__table__.update()  # type: ignore[attr-defined]
                .where(heartbeats.Heartbeat.instance == instance)
                .values(seen_at=now() - dt.timedelta(hours=hours))
            )

    dispatcher.prune(retention_days=30, audit_days=365, session_days=30)

    with Session() as session:
        assert list(session.scalars(select(heartbeats.Heartbeat.instance))) == ["old"]

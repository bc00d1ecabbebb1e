"""Retention: how long finished work is kept, and what is left of it afterwards.

Finished jobs are removed by age, attempts and idempotency keys with them, and a
tombstone tells a job that is gone from one that never was. What is unfinished
has no age. Tombstones go too, a year later. A batch's own row is its tombstone.

A job whose idempotency key still lives is spared, however short the retention:
without it the same request would make a second job.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, owners
from models.base import Bare, Base
from models.errors import JobGone, Refusal

DAY_SECONDS = 86_400
TOMBSTONE_DAYS = 365
"""By then whoever still polls will not be told anything new by 404."""


class Tombstone(Base):
    """A job that was kept long enough: asked for, it is gone, not unknown."""

    __tablename__ = "tombstones"
    __table_args__ = (Index("ix_tombstones_removed_at", "removed_at"),)

    job_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner: Mapped[str | None] = mapped_column(Text)
    """Whose it was; null: removed by an older version, which did not write it down. Only an operator learns of it."""
    removed_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())


# statement_timestamp(), for an index cannot be searched for what a volatile function answers. SKIP LOCKED:
# several dispatchers may sweep, and an operator may just be redriving one of these.
_SWEEP = text("""
    WITH old AS (
        SELECT id, owner FROM jobs WHERE finished_at < statement_timestamp() - make_interval(secs => :seconds)
        AND NOT EXISTS (SELECT FROM idempotency_keys WHERE job_id = jobs.id AND expires_at > clock_timestamp())
        ORDER BY finished_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), buried AS (
        INSERT INTO tombstones (job_id, owner) SELECT id, owner FROM old ON CONFLICT DO NOTHING
    )
    DELETE FROM jobs USING old WHERE jobs.id = old.id
""")
_SWEEP_BATCHES = text("""
    DELETE FROM batches WHERE id = ANY(ARRAY(
        SELECT id FROM batches WHERE created_at < statement_timestamp() - make_interval(secs => :seconds)
        AND NOT EXISTS (SELECT FROM jobs WHERE batch_id = batches.id)
        AND NOT EXISTS (SELECT FROM idempotency_keys WHERE batch_id = batches.id AND expires_at > clock_timestamp())
        LIMIT :most FOR UPDATE SKIP LOCKED))
""")
_SWEEP_TOMBSTONES = text("""
    DELETE FROM tombstones WHERE job_id = ANY(ARRAY(
        SELECT job_id FROM tombstones WHERE removed_at < statement_timestamp() - make_interval(secs => :seconds)
        ORDER BY removed_at LIMIT :most FOR UPDATE SKIP LOCKED))
""")


def sweep(session: Session, *, days: float, most: int) -> int:
    """Remove up to ``most`` jobs that finished so many days ago; how many there were.

    Batches that lost their last job a year ago go, too.
    """
    removed: int = session.execute(_SWEEP, {"seconds": days * DAY_SECONDS, "most": most}).rowcount  # type: ignore[attr-defined]
    session.execute(_SWEEP_BATCHES, {"seconds": (days + TOMBSTONE_DAYS) * DAY_SECONDS, "most": most})
    return removed


def sweep_tombstones(session: Session, *, most: int) -> int:
    """Remove up to ``most`` tombstones that have stood for a year; how many there were."""
    limits = {"seconds": TOMBSTONE_DAYS * DAY_SECONDS, "most": most}
    return session.execute(_SWEEP_TOMBSTONES, limits).rowcount  # type: ignore[attr-defined,no-any-return]


# Both are looked up whatever is found, so that the time taken does not tell either.
_LEFT = text(f"""
    SELECT EXISTS (SELECT FROM tombstones WHERE job_id = CAST(:id AS uuid) AND {owners.READABLE}) AS gone,
           EXISTS (SELECT FROM tombstones WHERE job_id = CAST(:id AS uuid) AND NOT {owners.READABLE}) OR
           EXISTS (SELECT FROM jobs WHERE id = CAST(:id AS uuid) AND NOT {owners.READABLE_JOB}) AS anothers
""")  # noqa: S608


def absence(session: Session | Bare, job_id: str, *, reader: str, unknown: Refusal) -> Refusal:
    """Why there is no such job for this reader: `JobGone` if it was removed, else ``unknown``.

    For when it was not found. Only who might have read it learns that it was there.
    """
    left = session.execute(_LEFT, {"id": job_id, "reader": reader}).mappings().one_or_none()
    assert left is not None
    if left["gone"]:
        return JobGone()
    if left["anothers"]:
        unknown.anothers = f"job:{job_id}"
    return unknown

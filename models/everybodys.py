"""Everybody's jobs and batches, page by page, for an operator: what became of them, never what was said in them.

A page of jobs is read along one index. Those that have ended come by the time of their end; a page looks at `LOOKED_AT`
of them at most, so it may have fewer than were asked for, none even, and still not be the last. Those that have not
ended are few enough to be sorted, for `MOST_WAITING` bounds them.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import owners, retention
from models.errors import JobNotFound
from models.jobs import JobType
from models.states import FINISHED, RUNNING, WAITING, JobStatus, in_sql

LOOKED_AT = 5_000
BATCHES_AT_ONCE = 25
"""The jobs of each that is shown are counted."""

Position = tuple[dt.datetime, str]
"""``(time, id)`` of a row."""
Row = Mapping[Any, Any]


class Ended(enum.StrEnum):
    """Several statuses together."""

    NO = "unfinished"
    YES = "ended"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which jobs; what is None does not matter."""

    status: JobStatus | Ended = Ended.NO
    type: JobType | None = None
    owner: str | None = None

    @property
    def statuses(self) -> list[str]:
        """All of them."""
        if isinstance(self.status, JobStatus):
            return [self.status]
        return sorted(FINISHED if self.status is Ended.YES else WAITING | RUNNING)

    @property
    def has_ended(self) -> bool:
        """Whether those have that are asked for."""
        return self.statuses[0] in FINISHED


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of them."""

    jobs: Sequence[Row]
    end: Position | None
    """Behind which to go on; None: there are no more."""


_PLAIN = """owner, status, type, queue_class, priority, created_at, updated_at, finished_at, attempt, failures,
            max_attempts, lost_count, error_code, error_message, model, leased_by"""
_BRIEF = f"id::text AS id, batch_id::text AS batch_id, {_PLAIN}"
_ASKED = """status = ANY(CAST(:statuses AS text[])) AND (CAST(:type AS text) IS NULL OR type = :type)
            AND (CAST(:owner AS text) IS NULL OR owner = :owner)"""
_ENDED = text(f"""
    WITH looked_at AS MATERIALIZED (
        SELECT id, batch_id, {_PLAIN} FROM jobs WHERE finished_at IS NOT NULL
        AND (CAST(:at AS timestamptz) IS NULL OR (finished_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
        ORDER BY finished_at DESC, id DESC LIMIT {LOOKED_AT}
    ), found AS (
        SELECT {_BRIEF} FROM looked_at WHERE {_ASKED} ORDER BY finished_at DESC, looked_at.id DESC LIMIT :limit
    )
    SELECT last.*, found.* FROM (
        SELECT finished_at AS last_at, id::text AS last_id, (SELECT count(*) FROM looked_at) AS looked_at
        FROM looked_at ORDER BY finished_at, id LIMIT 1
    ) AS last LEFT JOIN found ON true ORDER BY found.finished_at DESC, found.id DESC
""")  # noqa: S608
_UNFINISHED = text(f"""
    SELECT {_BRIEF} FROM jobs WHERE (status IN {in_sql(WAITING)} OR status IN {in_sql(RUNNING)}) AND {_ASKED}
    AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
    ORDER BY created_at DESC, jobs.id DESC LIMIT :limit
""")  # noqa: S608
_ONE = text(f"SELECT {_BRIEF} FROM jobs WHERE id = CAST(:id AS uuid)")  # noqa: S608


def page(session: Session, which: Filter, *, limit: int, before: Position | None = None) -> Page:
    """At most ``limit`` jobs behind ``before``: the last to end first, or the last to be made."""
    at, job_id = before or (None, None)
    given = {"statuses": which.statuses, "type": which.type, "owner": which.owner, "limit": limit + 1}
    query, time = (_ENDED, "finished_at") if which.has_ended else (_UNFINISHED, "created_at")
    rows = session.execute(query, {**given, "at": at, "id": job_id}).mappings().all()
    found = [row for row in rows if row["id"] is not None]
    if len(found) > limit:
        return Page(jobs=found[:limit], end=(found[limit - 1][time], found[limit - 1]["id"]))
    if which.has_ended and rows and rows[0]["looked_at"] == LOOKED_AT:
        return Page(jobs=found, end=(rows[0]["last_at"], rows[0]["last_id"]))
    return Page(jobs=found, end=None)


def one(session: Session, job_id: str) -> Row:
    """One of them.

    Raises:
        JobNotFound, JobGone: there is no such job.
    """
    row = session.execute(_ONE, {"id": job_id}).mappings().one_or_none()
    if row is None:
        raise retention.absence(session, job_id, reader=owners.ANYONE, unknown=JobNotFound())
    return row


# There is no index by time alone: of batches there are not so many that sorting them takes long.
_BATCHES = text("""
    WITH shown AS (
        SELECT id, owner, total, created_at, cancelled_at FROM batches
        WHERE (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
        ORDER BY created_at DESC, id DESC LIMIT :limit
    )
    SELECT id::text AS id, owner, total, created_at, cancelled_at, COALESCE((
        SELECT json_object_agg(status, number) FROM (
            SELECT status, count(*) AS number FROM jobs WHERE batch_id = shown.id GROUP BY status) AS counted
    ), '{}') AS counts
    FROM shown ORDER BY created_at DESC, shown.id DESC
""")


def batches(session: Session, *, limit: int, before: Position | None = None) -> Sequence[Row]:
    """Batches behind ``before``, the latest first, each with ``counts`` of its jobs by status.

    Jobs that were removed after their time are in no count, only in ``total``.
    """
    at, batch_id = before or (None, None)
    return session.execute(_BATCHES, {"limit": limit, "at": at, "id": batch_id}).mappings().all()

"""States: what a job can be, what it may become, and the one statement that changes it.

    created ──▶ processing ──▶ analyzing ──▶ completed
       ▲            │  ▲           │
       │            ▼  │           │
       │          retrying ◀───────┤
       │                           ▼
       └────── redrive ──────── failed       any unfinished ──▶ cancelled

Two workers may be told about the same job (Celery delivers at least once), and
a worker that was given up for dead may wake up and answer. So every change is a
guarded UPDATE: it names the states it may leave and the attempt it belongs to,
and it matches no row when it comes too late. Callers learn that from the
absence of their row and stop; it is not an error.

The attempt is a fencing token: Martin Kleppmann, "How to do distributed
locking" (2016).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.orm import Session


class JobStatus(enum.StrEnum):
    """One set of names for database, wire and page."""

    CREATED = "created"
    """Stored, waiting for a worker."""
    PROCESSING = "processing"
    """Claimed; the prompt is being assembled."""
    ANALYZING = "analyzing"
    """The model has the prompt."""
    RETRYING = "retrying"
    """Waits for its next attempt."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Given up: this is the dead letter."""
    CANCELLED = "cancelled"


MAY_BECOME: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.CREATED: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.ANALYZING, JobStatus.RETRYING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.ANALYZING: frozenset({JobStatus.COMPLETED, JobStatus.RETRYING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.RETRYING: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.FAILED: frozenset({JobStatus.CREATED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

WAITING = frozenset({JobStatus.CREATED, JobStatus.RETRYING})
RUNNING = frozenset({JobStatus.PROCESSING, JobStatus.ANALYZING})
FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
DEAD = "status = 'failed' AND discarded_at IS NULL"
"""A dead letter that is to be seen, for the WHERE of a partial index or of a query that wants to use it."""


def in_sql(states: frozenset[JobStatus]) -> str:
    """``('created', 'retrying')``, for the WHERE of a partial index or of a query that wants to use it."""
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


_TYPES = {
    "id": "uuid",
    "attempt": "int",
    "delay": "float8",
    "truncated": "boolean",
    "degraded": "boolean",
    "cached": "boolean",
    "fallback": "int",
    "prompt_tokens": "int",
    "completion_tokens": "int",
    "cost": "numeric",
}

# Only what was `held` is written: a batch may hold endings of two attempts of one
# job, and just one of them is the present one. `held` locks in id order, so that
# two bundles that share jobs cannot deadlock, and judges the newest version of
# each row, so that who waited for the lock sees what the winner made of it.
_MOVE = """
WITH given AS (
    SELECT * FROM unnest({arrays}) AS given({names})
), held AS MATERIALIZED (
    SELECT given.* FROM jobs JOIN given USING (id)
    WHERE jobs.attempt = COALESCE(given.attempt, jobs.attempt) AND jobs.status = ANY(CAST(:sources AS text[]))
    AND {only_if}
    ORDER BY jobs.id FOR UPDATE OF jobs
), moved AS (
    UPDATE jobs SET status = :target, updated_at = clock_timestamp(), {changes}
    FROM held WHERE jobs.id = held.id
    RETURNING jobs.*
), logged AS (
    {log}
)
SELECT {returning} FROM moved
"""


def move(  # noqa: PLR0913
    session: Session,
    rows: Sequence[Mapping[str, Any]],
    *,
    to: JobStatus,
    leaving: frozenset[JobStatus] | None = None,
    only_if: str = "true",
    changes: str,
    log: str,
    returning: str = "id",
    **parameters: object,
) -> Sequence[RowMapping]:
    """The one statement that writes ``jobs.status``; for `models` only.

    Args:
        rows: ``id`` and ``attempt`` of each job (``attempt`` None: whichever it is), and more columns for
            ``changes`` (which knows them as ``held.<column>``) and ``log`` (``given.<column>``). All rows have
            the same columns.
        leaving: those of the states it may come from that this verb is for; all of them, if not given. A worker ends
            only what runs, although a waiting job may fail too, by its deadline.
        only_if: what else must hold of the job, as SQL.
        changes: what else the UPDATE sets, as SQL.
        log: the statement that notes it in ``attempts``, as SQL over ``moved`` (and ``given``).
        returning: columns of the jobs that did move, ``id`` among them.
    """
    if not rows:
        return []
    columns = tuple(rows[0])
    statement = _move_statement(columns, only_if, changes, log, returning)
    arrays = {column: [row[column] for row in rows] for column in columns}
    sources = [state.value for state in leaving or MAY_BECOME if to in MAY_BECOME[state]]
    given = {**arrays, **parameters, "sources": sources, "target": to.value}
    moved = session.execute(statement, given).mappings().all()
    note_change(session, (row["id"] for row in moved), status=to)
    return moved


_CHANGED = "changed jobs"


def note_change(session: Session, job_ids: Iterable[object], *, status: JobStatus) -> None:
    """Have whoever waits for these jobs told, should this session commit (`models.live.changes` does it)."""
    session.info.setdefault(_CHANGED, {}).update((str(job_id), status.value) for job_id in job_ids)


def changed_in(session: Session) -> Mapping[str, str]:
    """The jobs that the transaction just committed has changed, with their status; forgets them."""
    changed: Mapping[str, str] = session.info.pop(_CHANGED, {})
    return changed


@cache
def _move_statement(columns: tuple[str, ...], only_if: str, changes: str, log: str, returning: str) -> TextClause:
    arrays = ", ".join(f"CAST(:{column} AS {_TYPES.get(column, 'text')}[])" for column in columns)
    names = ", ".join(columns)
    return text(
        _MOVE.format(arrays=arrays, names=names, only_if=only_if, changes=changes, log=log, returning=returning)
    )

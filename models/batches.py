"""Batches: many prompts handed in together, answered one by one.

Each prompt is a job of the queue class ``batch`` with a position; all are stored
by one transaction. How far a batch is, its jobs say: nothing is counted twice.
What has been answered is read in `models.batch_results`.

Rows go in as JSON, a page in one parameter: psycopg2's green mode has no COPY,
and 10,000 prompts so cost 0.05 s of CPU here and 0.45 s in all, where
``execute_values`` costs 0.23 s and 0.9 s.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, dead_letters, idempotency, jobs, traces
from models.base import Bare, Base
from models.errors import BatchCancelled, BatchGone, BatchNotFound
from models.jobs import PRIORITY_SECONDS, NewJob, QueueClass
from models.owners import READABLE
from models.states import FINISHED, JobStatus, in_sql

MOST_PROMPTS = 10_000
CUSTOM_ID_CHARACTERS = 200
PAGE_ROWS = 500
PAGE_CHARACTERS = 1_000_000
"""A page of rows ends with the row that reaches this: one statement stays far below its time limit."""
UNFINISHED = frozenset(JobStatus) - FINISHED


class Batch(Base):
    """What was handed in together. How far it is, its jobs say.

    It begins with a job at least, so one without any has lost the last to `models.retention`. The row
    stays as its tombstone.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(f"total BETWEEN 1 AND {MOST_PROMPTS}", name="total_in_range"),
        Index("ix_batches_owner", "owner", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    total: Mapped[int]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    cancelled_at: Mapped[dt.datetime | None]


@dataclass(frozen=True, kw_only=True)
class Prompt(NewJob):
    """A job to be, as one of a batch."""

    custom_id: str | None = None
    """What its owner calls it; no two of a batch may have the same."""


_OPEN = """
    INSERT INTO batches (id, owner, total) SELECT CAST(:id AS uuid), :owner, :total
"""
_CREATE = text(_OPEN)
_CREATE_ONCE = text(
    f"WITH claimed AS ({idempotency.CLAIM_FOR_BATCH}) {_OPEN} WHERE EXISTS (SELECT FROM claimed) RETURNING id"
)
# The position is part of rank_at, so that the first of equals is asked first.
_FILL = text(f"""
    INSERT INTO jobs (id, owner, type, queue_class, message, priority, status, max_attempts, deadline_seconds, run_at,
                      created_at, updated_at, next_attempt_at, due, rank_at, deadline_at, start_by,
                      batch_id, batch_position, custom_id, traceparent)
    SELECT gen_random_uuid(), batches.owner, type, '{QueueClass.BATCH}', message, priority, 'created', max_attempts,
           deadline_seconds, run_at, created_at, created_at, from_t, from_t <= created_at,
           from_t - make_interval(secs => priority * {PRIORITY_SECONDS}) + position * interval '1 microsecond',
           from_t + make_interval(secs => deadline_seconds), from_t + make_interval(secs => ttl_seconds),
           batches.id, position, custom_id, :traceparent
    FROM batches, json_to_recordset(CAST(:rows AS json)) AS given (
        type text, message text, priority int, max_attempts int, deadline_seconds float8, ttl_seconds float8,
        run_at timestamptz, custom_id text, position int
    ), LATERAL (SELECT GREATEST(created_at, run_at) AS from_t) AS start
    WHERE batches.id = CAST(:id AS uuid)
""")  # noqa: S608


def create(session: Session, prompts: Sequence[Prompt]) -> str:
    """Store a batch and its jobs; answers its id. All of ``prompts`` have the same owner."""
    batch = _opened(prompts)
    session.execute(_CREATE, batch)
    _fill(session, str(batch["id"]), prompts)
    return str(batch["id"])


def create_once(session: Session, prompts: Sequence[Prompt], *, key: str, request_hash: bytes) -> tuple[str, bool]:
    """Store a batch unless this owner's key already made one: ``(batch id, whether it is new)``.

    However many arrive at once with one key, the first wins and the others wait for its commit.

    Args:
        request_hash: of the validated prompts without our defaults, which may change while a key lives.

    Raises:
        IdempotencyKeyReused: the key was used for another request.
    """
    batch = _opened(prompts)
    once = {**batch, "key": key, "request_hash": request_hash}
    while session.execute(_CREATE_ONCE, once).one_or_none() is None:
        made = idempotency.made_by(session, scope=prompts[0].owner, key=key, request_hash=request_hash)
        if made is not None:
            return made, False
    _fill(session, str(batch["id"]), prompts)
    return str(batch["id"]), True


def _opened(prompts: Sequence[Prompt]) -> dict[str, object]:
    return {"id": str(uuid.uuid4()), "owner": prompts[0].owner, "total": len(prompts)}


def _fill(session: Session, batch_id: str, prompts: Sequence[Prompt]) -> None:
    for page in _pages(prompts):
        rows = json.dumps(page, ensure_ascii=False, default=str)
        session.execute(_FILL, {"id": batch_id, "rows": rows, "traceparent": traces.carried()})


def _pages(prompts: Sequence[Prompt]) -> Iterator[list[dict[str, object]]]:
    page: list[dict[str, object]] = []
    characters = 0
    for position, prompt in enumerate(prompts):
        page.append({**vars(prompt), "position": position})
        characters += len(prompt.message)
        if len(page) == PAGE_ROWS or characters >= PAGE_CHARACTERS:
            yield page
            page, characters = [], 0
    if page:
        yield page


_SHOWN = text(f"""
    SELECT id::text AS id, owner, total, created_at, cancelled_at,
           (SELECT json_object_agg(status, number) FROM (
               SELECT status, count(*) AS number FROM jobs WHERE batch_id = batches.id GROUP BY status) AS counted
           ) AS counts
    FROM batches WHERE id = CAST(:id AS uuid) AND {READABLE}
""")  # noqa: S608
_IS_ANOTHERS = text(f"""
    SELECT EXISTS (SELECT FROM batches WHERE id = CAST(:id AS uuid) AND NOT {READABLE}) AS is_anothers
""")  # noqa: S608


def shown(session: Session | Bare, batch_id: str, *, reader: str) -> Mapping[Any, Any]:
    """The batch, and how many of its jobs have which status. One statement.

    Jobs that were finished and have been removed since are in no count, only in ``total``.

    Raises:
        BatchNotFound: there is none that the reader may see.
        BatchGone: all its jobs have been removed.
    """
    given = {"id": batch_id, "reader": reader}
    batch = session.execute(_SHOWN, given).mappings().one_or_none()
    if batch is None:
        found = session.execute(_IS_ANOTHERS, given).mappings().one_or_none()
        refusal = BatchNotFound()
        if found and found["is_anothers"]:
            refusal.anothers = f"batch:{batch_id}"
        raise refusal
    if batch["counts"] is None:
        raise BatchGone
    return batch


_CANCEL = text(f"""
    UPDATE batches SET cancelled_at = COALESCE(cancelled_at, clock_timestamp()) WHERE id = CAST(:id AS uuid)
    AND {READABLE} AND EXISTS (SELECT FROM jobs WHERE batch_id = batches.id) RETURNING id
""")  # noqa: S608
_UNFINISHED = text(f"""
    SELECT id::text AS id, batch_position AS position FROM jobs
    WHERE batch_id = CAST(:id AS uuid) AND batch_position > :after AND status IN {in_sql(UNFINISHED)} AND {READABLE}
    ORDER BY batch_position LIMIT {PAGE_ROWS}
""")  # noqa: S608
_FAILED = text(f"""
    SELECT id::text AS id, batch_position AS position FROM jobs
    WHERE batch_id = CAST(:id AS uuid) AND batch_position > :after AND status = 'failed' AND discarded_at IS NULL
    AND {READABLE} ORDER BY batch_position LIMIT {PAGE_ROWS}
""")  # noqa: S608


def cancel_some(session: Session, batch_id: str, *, reader: str, after: int) -> int | None:
    """Cancel some unfinished jobs behind a position; answers where it stopped, None at the end.

    In pieces, because each keeps its jobs locked until it is committed, and workers wait for them.

    Raises:
        BatchNotFound, BatchGone: there is none that the reader may see.
    """
    given = {"id": batch_id, "reader": reader, "after": after}
    if session.execute(_CANCEL, given).one_or_none() is None:
        shown(session, batch_id, reader=reader)  # which says why
    return _each(session, _UNFINISHED, given, partial(jobs.cancel_all, reader=reader))


def retry_some(session: Session, batch_id: str, *, reader: str, after: int) -> int | None:
    """Redrive some failed jobs behind a position; answers where it stopped, None at the end.

    Raises:
        BatchNotFound, BatchGone: there is none that the reader may see.
        BatchCancelled: its owner wants no more of it.
    """
    if shown(session, batch_id, reader=reader)["cancelled_at"] is not None:
        raise BatchCancelled
    given = {"id": batch_id, "reader": reader, "after": after}
    return _each(session, _FAILED, given, dead_letters.redrive_all)


def _each(
    session: Session, query: Any, given: Mapping[str, object], verb: Callable[[Session, Sequence[str]], object]
) -> int | None:
    found = session.execute(query, given).all()
    if not found:
        return None
    verb(session, [row.id for row in found])
    return int(found[-1].position)

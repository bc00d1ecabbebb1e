"""Batch results: what became of each prompt, read page by page.

In order of position a page ends before the first job that is unfinished, so
"behind this position" is all a reader has to remember. In order of finishing
that needs more care: a transaction may stamp ``finished_at`` and commit later
than one with a later stamp, and a reader that had gone past it would never see
it. So nothing is shown from the beginning of the oldest transaction that was
writing when the page was asked for (`horizon`). All processes have one database
user; PostgreSQL hides the transactions of others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import UNFINISHED
from models.owners import READABLE
from models.states import FINISHED, in_sql

PAGE_ROWS = 500
PAGE_BYTES = 2 * 1024 * 1024
"""A page ends with the result that reaches this, so that what is held in memory is this and one result."""

# octet_length() of a long text is read from its header, so nothing is fetched that is not shown.
_PAGE = """
    SELECT page.*, prompt_tokens, completion_tokens FROM (
        SELECT *, sum(size) OVER {order} - size AS before, bool_and(finished) OVER {order} AS unbroken FROM (
            SELECT id, batch_position AS position, custom_id, status, result, truncated, error_code, error_message,
                   model, degraded, attempt, finished_at, COALESCE(octet_length(result), 0) AS size,
                   status IN {finished} AS finished
            FROM jobs WHERE batch_id = CAST(:id AS uuid) AND {readable} AND {behind} ORDER BY {by} LIMIT {most}
        ) AS jobs
    ) AS page LEFT JOIN attempts ON job_id = page.id AND attempts.attempt = page.attempt
    WHERE before < {bytes} AND unbroken ORDER BY {sorted}
"""


def _page(*, by: str, behind: str) -> Any:
    names = by.replace("batch_position", "position")
    return text(
        _PAGE.format(
            order=f"(ORDER BY {names})",
            sorted=names,
            by=by,
            readable=READABLE,
            behind=behind,
            finished=in_sql(FINISHED),
            most=PAGE_ROWS,
            bytes=PAGE_BYTES,
        )
    )


_BY_POSITION = _page(by="batch_position", behind="batch_position > :position")
_BY_TIME = _page(
    by="finished_at, batch_position",
    behind="finished_at < :horizon AND (finished_at, batch_position) > (:at, :position)",
)
# The time before the others' transactions are read: one that begins in between must not be missed.
_HORIZON = text("""
    SELECT LEAST(statement_timestamp(), min(xact_start)) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")
_IS_OVER = text(f"""
    SELECT NOT EXISTS (
        SELECT FROM jobs WHERE batch_id = CAST(:id AS uuid) AND status IN {in_sql(UNFINISHED)} AND {READABLE})
""")  # noqa: S608


def by_position(session: Session, batch_id: str, *, reader: str, after: int) -> Sequence[Mapping[Any, Any]]:
    """Finished jobs behind this position up to the first that is unfinished; at most a page."""
    return session.execute(_BY_POSITION, {"id": batch_id, "reader": reader, "position": after}).mappings().all()


def by_time(
    session: Session, batch_id: str, *, reader: str, after: tuple[dt.datetime, int], before: dt.datetime
) -> Sequence[Mapping[Any, Any]]:
    """Jobs that finished after ``(finished_at, position)`` and before the horizon; at most a page."""
    given = {"id": batch_id, "reader": reader, "at": after[0], "position": after[1], "horizon": before}
    return session.execute(_BY_TIME, given).mappings().all()


def horizon(session: Session) -> dt.datetime:
    """The time up to which nothing can become visible any more that is not visible to the next statement.

    Each statement must see what has been committed before it (`Autocommit`).
    """
    moment: dt.datetime = session.execute(_HORIZON).scalar_one()
    return moment


def is_over(session: Session, batch_id: str, *, reader: str) -> bool:
    """Whether no job of the batch that the reader may see is unfinished."""
    return bool(session.execute(_IS_OVER, {"id": batch_id, "reader": reader}).scalar_one())

"""Own jobs: what one owner has handed in, page by page, the latest first.

A page is read along one index. With a filter that hardly any job passes it could
be read to its end, so a page looks at `LOOKED_AT` jobs at most: it may have fewer
than were asked for, none even, and still not be the last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from models.base import Bare
from models.jobs import JobType
from models.states import JobStatus

LOOKED_AT = 5_000

Position = tuple[dt.datetime, str]
"""``(created_at, id)`` of a job."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which of them; what is None does not matter."""

    status: JobStatus | None = None
    type: JobType | None = None
    created_after: dt.datetime | None = None
    """Or at that time."""
    created_before: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of them."""

    jobs: list[dict[str, Any]]
    end: Position | None
    """Behind which to go on; None: there are no more."""


# As in models/dead_letters.py: the planner sees which conditions are none.
_PAGE = text("""
    WITH looked_at AS MATERIALIZED (
        SELECT id, status, type, created_at, updated_at, finished_at, batch_id, error_code, error_message, model
        FROM jobs WHERE owner = :owner AND owner <> ''
        AND (CAST(:created_after AS timestamptz) IS NULL OR created_at >= CAST(:created_after AS timestamptz))
        AND (CAST(:created_before AS timestamptz) IS NULL OR created_at < CAST(:created_before AS timestamptz))
        AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
        ORDER BY created_at DESC, id DESC LIMIT :most
    ), found AS (
        SELECT * FROM looked_at
        WHERE (CAST(:status AS text) IS NULL OR status = :status) AND (CAST(:type AS text) IS NULL OR type = :type)
        ORDER BY created_at DESC, id DESC LIMIT :limit
    )
    SELECT last.*, found.*, found.id::text AS id, found.batch_id::text AS batch_id FROM (
        SELECT created_at AS last_at, id::text AS last_id, (SELECT count(*) FROM looked_at) AS looked_at
        FROM looked_at ORDER BY created_at, id LIMIT 1
    ) AS last LEFT JOIN found ON true ORDER BY found.created_at DESC, found.id DESC
""")


def page(session: Bare, owner: str, which: Filter, *, limit: int, before: Position | None = None) -> Page:
    """At most ``limit`` of this owner's jobs, behind ``before``."""
    at, job_id = before or (None, None)
    most = limit + 1 if which.status is None and which.type is None else LOOKED_AT
    given: Mapping[str, object] = {**vars(which), "owner": owner, "most": most, "limit": limit + 1}
    rows = session.execute(_PAGE, {**given, "at": at, "id": job_id}).mappings().all()
    found = [row for row in rows if row["id"] is not None]
    if len(found) > limit:
        return Page(jobs=found[:limit], end=(found[limit - 1]["created_at"], found[limit - 1]["id"]))
    if rows and rows[0]["looked_at"] == most:
        return Page(jobs=found, end=(rows[0]["last_at"], rows[0]["last_id"]))
    return Page(jobs=found, end=None)

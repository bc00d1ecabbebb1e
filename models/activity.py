"""Activity: how many people use the installation today, and how much each of them asks.

A day is one of UTC. Whoever signed in, prolonged a session or handed in a job was active on it. Every owner of a job
that is still kept is looked up, so this is asked once a minute at most, and not by whoever wants to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.quotas import TODAY

AGAIN_SECONDS = 60.0
QUANTILES = (0.5, 0.95, 1.0)

_MIDNIGHT = f"(({TODAY})::timestamp AT TIME ZONE 'UTC')"
# Owners by a loose index scan, and of each only what it handed in today: both along ix_jobs_owner.
_ACTIVITY = text(f"""
    WITH RECURSIVE owners AS (
        (SELECT owner FROM jobs WHERE owner <> '' ORDER BY owner LIMIT 1)
        UNION ALL
        SELECT (SELECT jobs.owner FROM jobs WHERE jobs.owner <> '' AND jobs.owner > owners.owner
                ORDER BY jobs.owner LIMIT 1)
        FROM owners WHERE owner IS NOT NULL
    ), counted AS (
        SELECT owner, (SELECT count(*) FROM jobs WHERE jobs.owner = owners.owner AND jobs.owner <> ''
                       AND created_at >= {_MIDNIGHT}) AS jobs
        FROM owners WHERE owner IS NOT NULL
    ), asked AS (
        SELECT * FROM counted WHERE jobs > 0
    ), active AS (
        SELECT owner FROM asked WHERE owner LIKE 'user:%'
        UNION SELECT 'user:' || user_id FROM sessions WHERE created_at >= {_MIDNIGHT}
        UNION SELECT 'user:' || user_id FROM refresh_tokens JOIN sessions ON sessions.id = session_id
              WHERE used_at >= {_MIDNIGHT}
    )
    SELECT (SELECT count(*) FROM active) AS users, count(*) AS owners, COALESCE(sum(jobs), 0)::bigint AS jobs,
           percentile_disc(CAST(:quantiles AS float8[])) WITHIN GROUP (ORDER BY jobs) AS jobs_per_owner
    FROM asked
""")  # noqa: S608


def read(session: Session) -> Mapping[str, Any]:
    """``users`` active today; ``owners`` (guests, too) who handed in ``jobs`` today; and ``jobs_per_owner``.

    The last has a number of jobs for each of `QUANTILES`, or is null: nobody handed in any.
    """
    return dict(session.execute(_ACTIVITY, {"quantiles": list(QUANTILES)}).mappings().one())

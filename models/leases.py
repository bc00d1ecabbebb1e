"""Leases: how a job survives its worker.

A running job is leased to its worker for some seconds, and the worker renews
it. A worker that vanished renews nothing; when the lease has run out the reaper
puts the job back, and the attempt number keeps whatever the lost worker may
still write from having an effect.

When the reaper itself, or the database, was away, workers could not renew
either: their leases ran out through no fault of theirs. So a reaper that finds
the last good tick long ago first grants an *amnesty*. Workers that had been
silent before are not among those it is for: each outage would put off the
recovery of what they have lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import heartbeats
from models.states import RUNNING, WAITING, JobStatus, in_sql, move

AMNESTY_AFTER_SECONDS = 5.0
REAPED_AT_ONCE = 500

_RENEW = text("""
    WITH mine AS (
        SELECT jobs.id, jobs.attempt FROM jobs
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS given(id, attempt) USING (id)
        WHERE jobs.attempt = given.attempt AND jobs.leased_by = :worker
        ORDER BY jobs.id FOR UPDATE OF jobs
    )
    UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM mine WHERE jobs.id = mine.id RETURNING jobs.id::text AS id, jobs.attempt
""")
_OWN = text("""
    SELECT jobs.id::text AS id, jobs.attempt FROM jobs
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS given(id, attempt) USING (id)
    WHERE jobs.attempt = given.attempt AND jobs.leased_by = :worker
""")


def own(
    session: Session, running: Sequence[tuple[str, int]], *, worker: str, renew_for: float | None = None
) -> set[tuple[str, int]]:
    """Those of the running attempts that still are this worker's; ``renew_for`` so many seconds, if given."""
    parameters = {
        "ids": [job_id for job_id, _ in running],
        "attempts": [attempt for _, attempt in running],
        "worker": worker,
    }
    statement = _OWN if renew_for is None else _RENEW
    return {(row.id, row.attempt) for row in session.execute(statement, {**parameters, "seconds": renew_for})}


def grant_amnesty(session: Session, *, lease_seconds: float) -> bool:
    """Extend the leases of workers that may live if no reaper has ticked for a while; whether it had to."""
    away = heartbeats.seconds_since(session, heartbeats.REAPER)
    heartbeats.beat(session, kind=heartbeats.REAPER, instance="any")
    if away is not None and away <= AMNESTY_AFTER_SECONDS:
        return False
    session.execute(_EXTEND, {"seconds": lease_seconds, "away": away})
    return True


# A worker that had been silent for long when the reaper last ticked could have beaten, and did not. Unknown (no tick
# ever, no beat any more) is no proof.
_EXTEND = text(f"""
    UPDATE jobs SET lease_until = GREATEST(lease_until, clock_timestamp() + make_interval(secs => :seconds))
    WHERE id = ANY(ARRAY(
        SELECT id FROM jobs WHERE status IN {in_sql(RUNNING)} AND NOT EXISTS (
            SELECT FROM heartbeats WHERE kind = '{heartbeats.WORKER}' AND instance = jobs.leased_by
            AND seen_at < clock_timestamp() - make_interval(secs => CAST(:away AS float8) + {heartbeats.LIVE_SECONDS}))
        ORDER BY id FOR UPDATE))
""")  # noqa: S608
_OVERDUE = text(f"""
    SELECT id::text AS id, attempt FROM jobs WHERE status IN {in_sql(RUNNING)} AND lease_until < clock_timestamp()
    ORDER BY id LIMIT {REAPED_AT_ONCE} FOR UPDATE SKIP LOCKED
""")  # noqa: S608


def reap(session: Session) -> list[str]:
    """Put jobs whose lease has run out back in the queue, due at once; answers their ids. No failure is counted."""
    moved = move(
        session,
        [dict(row) for row in session.execute(_OVERDUE).mappings()],
        to=JobStatus.RETRYING,
        changes="""lost_count = jobs.lost_count + 1, next_attempt_at = clock_timestamp(), announced_at = NULL,
                   lease_until = NULL, leased_by = NULL, reserved = NULL""",
        log="""UPDATE attempts SET finished_at = moved.updated_at, outcome = 'lost', error_code = 'worker_lost'
               FROM moved
               WHERE job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.finished_at IS NULL""",
        returning="id::text AS id",
    )
    return [row["id"] for row in moved]


_EXPIRED = text(f"""
    SELECT id::text AS id, attempt FROM jobs WHERE id IN (
        (SELECT id FROM jobs WHERE status IN {in_sql(WAITING)} AND deadline_at < statement_timestamp()
         LIMIT {REAPED_AT_ONCE})
        UNION ALL
        (SELECT id FROM jobs WHERE status = 'created' AND start_by < statement_timestamp() LIMIT {REAPED_AT_ONCE})
    ) AND status IN {in_sql(WAITING)} ORDER BY id FOR UPDATE SKIP LOCKED
""")  # noqa: S608


def expire(session: Session) -> list[str]:
    """Fail waiting jobs that are past their deadline, or that nobody began in time; answers their ids.

    (A running one is stopped by its worker.)
    """
    moved = move(
        session,
        [dict(row) for row in session.execute(_EXPIRED).mappings()],
        to=JobStatus.FAILED,
        leaving=WAITING,
        changes="""finished_at = clock_timestamp(), announced_at = NULL, reserved = NULL,
                   error_code = 'deadline_exceeded',
                   error_message = CASE WHEN jobs.deadline_at < clock_timestamp()
                       THEN 'The job was not finished before its deadline.'
                       ELSE 'No worker began the job within its ttlSeconds.' END
                       || COALESCE(' Its last attempt ended with ' || jobs.error_code || '.', '')""",
        log="SELECT 1",
        returning="id::text AS id",
    )
    return [row["id"] for row in moved]

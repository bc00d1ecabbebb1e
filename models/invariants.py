"""Invariants: what must hold of the stored jobs at any moment, whatever has failed.

Each is a query that finds the rows which break it, so a row is a defect, or
somebody's hand in the database. What CHECK constraints guarantee (a completed
job has a result, a running one a lease) needs no query. Chaos runs end with
them, the state machine test asks them after every step, and an operator may ask
them of production.

Some read whole tables. Each is therefore given a limited time, and all of them
together too; one that was cut short says so instead of saying that all is well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import errors
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import generations
from models.states import RUNNING, WAITING, in_sql
from models.users import AI_ID

SHOWN = 20
MOST_COUNTED = 1000
SECONDS_EACH = 4.0
SECONDS_IN_ALL = 20.0
LATE_SECONDS = 10
"""The dispatcher looks every second; after so many somebody should have acted."""

_WORDS = {
    "waiting": in_sql(WAITING),
    "running": in_sql(RUNNING),
    "generations": generations.PURPOSES,
    "ai": AI_ID,
    "is_late": f"< clock_timestamp() - interval '{LATE_SECONDS} seconds'",
}
_QUERIES: Mapping[str, str] = {
    "lease_ran_out": "SELECT id FROM jobs WHERE status IN {running} AND lease_until {is_late}",
    "deadline_has_passed": "SELECT id FROM jobs WHERE status IN {waiting} AND deadline_at {is_late}",
    "ttl_has_passed": "SELECT id FROM jobs WHERE status = 'created' AND start_by {is_late}",
    "overlooked": "SELECT id FROM jobs WHERE status IN {waiting} AND NOT due AND next_attempt_at {is_late}",
    "announced_without_waiting": """
        SELECT id FROM jobs WHERE announced_at IS NOT NULL AND status NOT IN {waiting}""",
    "attempt_without_record": """
        SELECT jobs.id FROM jobs LEFT JOIN attempts ON job_id = jobs.id
        GROUP BY jobs.id
        HAVING jobs.attempt <> count(attempts) OR jobs.attempt <> COALESCE(max(attempts.attempt), 0)""",
    "open_attempt_of_a_job_that_does_not_run": """
        SELECT jobs.id FROM attempts JOIN jobs ON jobs.id = job_id WHERE attempts.finished_at IS NULL
        AND NOT (jobs.status IN {running} AND jobs.attempt = attempts.attempt)""",
    "closed_attempt_of_a_job_that_runs": """
        SELECT jobs.id FROM attempts JOIN jobs ON jobs.id = job_id WHERE attempts.finished_at IS NOT NULL
        AND jobs.status IN {running} AND jobs.attempt = attempts.attempt""",
    "answered_other_than_once": """
        SELECT jobs.id FROM jobs LEFT JOIN attempts ON job_id = jobs.id AND outcome = 'completed'
        GROUP BY jobs.id HAVING count(attempts) <> (jobs.status = 'completed')::int""",
    "answered_by_an_older_attempt": """
        SELECT jobs.id FROM attempts JOIN jobs ON jobs.id = job_id
        WHERE outcome = 'completed' AND attempts.attempt <> jobs.attempt""",
    "overlapping_attempts": """
        SELECT job_id AS id FROM (
            SELECT job_id, started_at,
                   lag(COALESCE(finished_at, 'infinity')) OVER (PARTITION BY job_id ORDER BY attempt) AS last_ended_at
            FROM attempts) AS attempts
        WHERE started_at < last_ended_at""",
    "failures_without_attempts": """
        SELECT jobs.id FROM jobs LEFT JOIN attempts ON job_id = jobs.id
        WHERE jobs.failures > 0 OR jobs.lost_count > 0
        GROUP BY jobs.id HAVING jobs.failures > count(*) FILTER (WHERE outcome IN ('retried', 'failed'))
        OR jobs.lost_count > count(*) FILTER (WHERE outcome = 'lost')""",
    "made_by_two_keys": """
        SELECT COALESCE(job_id, batch_id) AS id FROM idempotency_keys GROUP BY 1 HAVING count(*) > 1""",
    "made_by_a_key_of_another_owner": """
        SELECT jobs.id FROM idempotency_keys JOIN jobs ON jobs.id = job_id WHERE scope <> owner""",
    # A batch is stored whole; later its jobs may have been kept long enough and be gone, or its owner may be.
    "incomplete_batch": """
        SELECT batches.id FROM batches LEFT JOIN jobs ON batch_id = batches.id
        WHERE batches.created_at > clock_timestamp() - interval '10 minutes'
        AND NOT EXISTS (SELECT FROM users WHERE batches.owner = 'user:' || users.id AND deleted_at IS NOT NULL)
        GROUP BY batches.id HAVING count(jobs) <> batches.total""",
    # Where the AI has been shown the door since, nothing is missing.
    "reply_that_was_not_posted": """
        SELECT jobs.id FROM jobs JOIN chat_members ON chat_members.chat_id = jobs.chat_id AND user_id = '{ai}'
        WHERE jobs.purpose IN ('reply', 'recap') AND jobs.status = 'completed'
        AND jobs.finished_at > chat_members.joined_at AND NOT EXISTS (
            SELECT FROM messages WHERE messages.chat_id = jobs.chat_id AND sender_id = '{ai}'
            AND client_msg_id = 'ai:' || jobs.id)""",
    "posted_before_its_time": """
        SELECT jobs.id FROM jobs JOIN messages ON messages.chat_id = jobs.chat_id AND sender_id = '{ai}'
            AND client_msg_id = 'ai:' || jobs.id
        WHERE jobs.chat_id IS NOT NULL AND jobs.status NOT IN ('completed', 'cancelled')""",
    "two_generations_at_once": """
        SELECT max(id::text)::uuid AS id FROM jobs WHERE status IN {running} AND purpose IN {generations}
        GROUP BY chat_id HAVING count(*) > 1""",
    "reserved_for_nothing": """
        SELECT id FROM jobs WHERE reserved IS NOT NULL AND announced_at IS NULL AND status NOT IN {running}""",
    "cost_without_price": """
        SELECT job_id AS id FROM attempts WHERE (cost IS NULL) <> (price_version IS NULL)""",
    "removed_and_still_there": """
        SELECT jobs.id FROM tombstones JOIN jobs ON jobs.id = job_id""",
}
"""By name; each selects the ids of the jobs (or the batch) that break it."""

NAMES = tuple(_QUERIES)
_ONE_BY_ONE: Mapping[str, str] = {
    name: f"""
        SELECT '{name}' AS name, count(*) AS broken, (array_agg(id::text))[1\\:{SHOWN}] AS ids
        FROM (SELECT DISTINCT id FROM ({query.format(**_WORDS)}) AS rows LIMIT {MOST_COUNTED}) AS ids"""  # noqa: S608
    for name, query in _QUERIES.items()
}
_STATEMENTS: Mapping[str, TextClause] = {name: text(query) for name, query in _ONE_BY_ONE.items()}
_AT_ONCE = text(" UNION ALL ".join(_ONE_BY_ONE.values()))
# Never above what this connection began with: the process that waits allows no statement more.
_LIMIT = text("""
    SELECT set_config('statement_timeout', LEAST(:milliseconds, NULLIF(CAST(reset_val AS int), 0))::text, true)
    FROM pg_settings WHERE name = 'statement_timeout'
""")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What one query found."""

    name: str
    count: int | None
    """At most `MOST_COUNTED`; None if time ran out before it was known."""
    violations: list[str]
    """Ids, the first `SHOWN` of them."""

    @property
    def holds(self) -> bool:
        """Whether it is known to be unbroken."""
        return self.count == 0


def check(session: Session, *, seconds: float | None = None) -> list[Checked]:
    """Ask all of them.

    At once, which costs a small store next to nothing; where that takes too long, one after the other.

    Args:
        seconds: for each question, and for all of them; None: `SECONDS_EACH`, and `SECONDS_IN_ALL`.
    """
    each, in_all = (SECONDS_EACH, SECONDS_IN_ALL) if seconds is None else (seconds, seconds)
    until = time.monotonic() + in_all
    found = _asked(session, _AT_ONCE, seconds=each)
    if found is None:
        found = {}
        for name in NAMES:
            found |= _asked(session, _STATEMENTS[name], seconds=min(each, until - time.monotonic())) or {}
    return [found.get(name) or Checked(name=name, count=None, violations=[]) for name in NAMES]


def _asked(session: Session, statement: TextClause, *, seconds: float) -> dict[str, Checked] | None:
    """What a statement found; None if time ran out."""
    if seconds <= 0:
        return None
    try:
        with session.begin_nested():
            session.execute(_LIMIT, {"milliseconds": max(1, int(seconds * 1000))})
            rows = session.execute(statement).all()
    except DBAPIError as error:
        if not isinstance(error.orig, errors.QueryCanceled):
            raise
        return None
    return {row.name: Checked(name=row.name, count=row.broken, violations=row.ids or []) for row in rows}

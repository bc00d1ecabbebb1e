"""Figures: what the database says of the whole installation, in few short statements.

They are facts and not counts of one process, so each api that is asked says the same. The jobs that are counted are
those which have not ended (``MOST_WAITING`` bounds them) and the dead letters (up to one more than
`dead_letters.COUNTED`); nothing here reads what has long been answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import breakers, dead_letters, heartbeats
from models.breakers import Seen
from models.states import RUNNING, WAITING, in_sql

_UNFINISHED = text(f"""
    SELECT status, type, queue_class, count(*) AS jobs FROM jobs
    WHERE status IN {in_sql(WAITING)} OR status IN {in_sql(RUNNING)} GROUP BY status, type, queue_class
""")  # noqa: S608
_OLDEST = text(f"""
    SELECT queue_class, CAST(EXTRACT(EPOCH FROM clock_timestamp() - min(next_attempt_at)) AS float8) AS seconds
    FROM jobs WHERE status IN {in_sql(WAITING)} AND due GROUP BY queue_class
""")  # noqa: S608
_AT_WORK = text(f"""
    SELECT kind, count(*) AS processes, sum(slots) AS slots FROM heartbeats
    WHERE seen_at > clock_timestamp() - interval '{heartbeats.LIVE_SECONDS} seconds' GROUP BY kind
""")  # noqa: S608
_CONNECTIONS = text("""
    SELECT substr(application_name, 8) AS process, COALESCE(state, 'unknown') AS state, count(*) AS connections
    FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parley %' GROUP BY 1, 2
""")
_BYTES = text("SELECT pg_database_size(current_database())")
# Counted by whichever dispatcher samples, for it takes too long to be asked by each scrape.
_ACTIVITY = text("""
    SELECT body->'activity' FROM samples WHERE span = '1h' AND until > clock_timestamp() - interval '15 minutes'
    ORDER BY at DESC LIMIT 1
""")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of about one moment. Ages are seconds."""

    unfinished: Mapping[tuple[str, str, str], int]
    """Jobs by status, type and queue class."""
    oldest: Mapping[str, float]
    """Of each queue class that has due jobs: since when the first of them could have been begun."""
    dead_letters: int
    oldest_dead_letter: float | None
    breakers: Sequence[Seen]
    heartbeats: Mapping[str, float]
    """The youngest of each kind that ever beat."""
    at_work: Mapping[str, int]
    """Live processes of each kind."""
    slots: int
    """Of the live workers."""
    connections: Mapping[tuple[str, str], int]
    """To the database, by process and by what it does."""
    database_bytes: int
    activity: Mapping[str, Any] | None
    """As `models.activity.read` has it, some minutes old; None: nobody knows."""


def read(session: Session) -> Figures:
    """All of them."""
    letters, oldest_letter = dead_letters.count(session)
    at_work = session.execute(_AT_WORK).all()
    return Figures(
        unfinished={(row.status, row.type, row.queue_class): row.jobs for row in session.execute(_UNFINISHED)},
        oldest={row.queue_class: row.seconds for row in session.execute(_OLDEST)},
        dead_letters=letters,
        oldest_dead_letter=oldest_letter,
        breakers=breakers.seen(session),
        heartbeats=heartbeats.ages(session),
        at_work={row.kind: row.processes for row in at_work},
        slots=sum(row.slots for row in at_work if row.kind == heartbeats.WORKER),
        connections={(row.process, row.state): row.connections for row in session.execute(_CONNECTIONS)},
        database_bytes=session.execute(_BYTES).scalar_one(),
        activity=session.execute(_ACTIVITY).scalar_one_or_none(),
    )

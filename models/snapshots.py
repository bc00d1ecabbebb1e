"""Snapshots: how long the queue is and who stands where in it, as of about a second ago.

Counting a backlog for each poll would cost more than the poll. The announcer
counts once, for all who ask.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.announcements import EVERYTHING, TURNS
from models.base import Bare, Base
from models.states import WAITING, in_sql

BACKLOG = "backlog"
"""The snapshot of all classes together; the others have the name of their class."""
POSITIONS = 1000
LOOKED_AT = 100_000
"""Jobs that are put in order, shared among the owners: exact for up to a hundred owners."""
MOST_OWNERS = 1000
"""Those with the most waiting jobs are listed; only they can be near a limit."""
RATE_SECONDS = 30


class Snapshot(Base):
    """The queue of one class, or the backlog of all."""

    __tablename__ = "snapshots"
    # Rewritten every second and worth nothing afterwards: no write-ahead log.
    __table_args__ = {"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    taken_at: Mapped[dt.datetime]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


_STORE = """
    {queue}
    INSERT INTO snapshots (name, taken_at, body) SELECT :name, clock_timestamp(), {body}
    ON CONFLICT (name) DO UPDATE SET taken_at = excluded.taken_at, body = excluded.body
"""
_QUEUE = text(
    _STORE.format(
        queue=TURNS,
        body=f"""jsonb_build_object(
            'ids', (SELECT COALESCE(jsonb_agg(id ORDER BY turn, rank_at), '[]') FROM (
                SELECT id, turn, rank_at FROM queue ORDER BY turn, rank_at LIMIT {POSITIONS}) AS first),
            'rate', (SELECT count(*) / {RATE_SECONDS}.0 FROM jobs WHERE queue_class = :queue_class
                     AND finished_at > statement_timestamp() - interval '{RATE_SECONDS} seconds'),
            'paused_from', CAST(:paused_from AS int),
            'limited', (SELECT COALESCE(jsonb_agg(owner), '[]') FROM busy, crowd WHERE is_one AND held >= :share))""",  # noqa: S608
    )
)
_BACKLOG = text(
    _STORE.format(
        queue="",
        body=f"""(
            SELECT jsonb_build_object(
                'budget', CAST(:budget AS jsonb), 'waiting', COALESCE(sum(waiting), 0),
                'owners', COALESCE(jsonb_object_agg(owner, waiting) FILTER (WHERE place <= {MOST_OWNERS}), '{{}}'))
            FROM (SELECT owner, count(*) AS waiting, row_number() OVER (ORDER BY count(*) DESC) AS place
                  FROM jobs WHERE status IN {in_sql(WAITING)} GROUP BY owner) AS owners)""",  # noqa: S608
    )
)
_ALL = text("""
    SELECT COALESCE(json_object_agg(name, body || jsonb_build_object('taken_at', taken_at)), '{}') AS bodies
    FROM snapshots
""")


def take(session: Session, queue_class: str, *, share: int, paused_from: int | None = None) -> None:
    """Note who stands where in the queue of one class, how fast it moves, who is limited, and what rests.

    Args:
        share: slots one owner may hold while another waits; who holds them is limited.
        paused_from: jobs handed down so far in the chain, or farther, wait for a breaker; None: no jobs do.
    """
    parameters = {"name": queue_class, "queue_class": queue_class, "most": POSITIONS, "looked_at": LOOKED_AT}
    session.execute(
        _QUEUE, {**vars(EVERYTHING), **parameters, "again_after": 0, "share": share, "paused_from": paused_from}
    )


def take_backlog(session: Session, *, budget: Mapping[str, Any] | None = None) -> None:
    """Note how much waits, in all and of each owner. Reads the index of all waiting jobs.

    Args:
        budget: for whom nothing is left of it (`models.budgets.Purse.as_json`); None: there is none.
    """
    session.execute(_BACKLOG, {"name": BACKLOG, "budget": json.dumps(budget)})


def latest(session: Session | Bare) -> Mapping[str, Any]:
    """The body of each snapshot, by name; empty before the first was taken."""
    found = session.execute(_ALL, {}).mappings().one_or_none()
    bodies: Mapping[str, Any] = found["bodies"] if found else {}
    return bodies

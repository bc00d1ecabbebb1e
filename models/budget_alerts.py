"""Budget alerts: that a day's budget has run low, or is used up. Each is told once, whoever finds it first.

    tell: one row for each budget, level and day ──▶ claim ──▶ done, or given up: it is posted no more
                                                      ▲  └──▶ again, later ─┐
                                                      └─────────────────────┘

The row is what makes it once: of several dispatchers, and of one that starts anew, only one inserts it. Where there is
a receiver the row is posted to it, too, by the rules of `models.notifications`: a claim puts its time a minute ahead,
and the attempt is a fencing token.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import CheckConstraint, Date, Index, Numeric, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, stored_by_value
from models.quotas import TODAY

LEASE_SECONDS = 60
"""Longer than one post may take."""
KEPT_DAYS = 7
"""Longer than it is tried."""
ALL = ""
"""Owner of the budget of all together."""


class Level(enum.StrEnum):
    """How far a budget has gone."""

    LOW = "low"
    USED = "used"


class BudgetAlert(Base):
    """One budget that has come to one level on one day."""

    __tablename__ = "budget_alerts"
    __table_args__ = (
        CheckConstraint("attempt >= 0", name="counters_in_range"),
        Index("ix_budget_alerts_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
    )

    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    level: Mapped[Level] = mapped_column(stored_by_value(Level), primary_key=True)
    owner: Mapped[str] = mapped_column(Text, primary_key=True)
    """`ALL`: all together."""
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), server_default=text("gen_random_uuid()"))
    """What a receiver knows it by."""
    budget: Mapped[Decimal] = mapped_column(Numeric)
    spent: Mapped[Decimal] = mapped_column(Numeric)
    """When it was found."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=text("clock_timestamp()"))
    next_attempt_at: Mapped[dt.datetime | None]
    """When it is to be posted; while it is claimed, until when nobody else may. Null: it is posted no more."""
    attempt: Mapped[int] = mapped_column(server_default="0")
    """Claims so far."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt came to nothing."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was found first here."""

    level: Level
    owner: str | None
    """None: all together."""
    budget: Decimal
    spent: Decimal


# In the order of the key, so that two who tell the same wait for each other, but never in a circle.
_TELL = text(f"""
    WITH sums AS (
        SELECT COALESCE(owner, '{ALL}') AS owner, sum(cost) AS spent FROM spending
        WHERE day = CAST(:day AS date) AND cost IS NOT NULL GROUP BY ROLLUP (owner)
    )
    INSERT INTO budget_alerts (day, level, owner, budget, spent, next_attempt_at)
    SELECT CAST(:day AS date), :level, found.owner, CAST(:budget AS numeric), COALESCE(sums.spent, 0),
           CASE WHEN :is_posted THEN clock_timestamp() END
    FROM unnest(CAST(:owners AS text[])) AS found(owner) LEFT JOIN sums USING (owner) ORDER BY found.owner
    ON CONFLICT (day, level, owner) DO NOTHING
    RETURNING level, NULLIF(owner, '{ALL}') AS owner, budget, spent
""")  # noqa: S608


def tell(  # noqa: PLR0913
    session: Session, *, day: dt.date, level: Level, owners: Sequence[str], budget: Decimal, is_posted: bool
) -> list[Told]:
    """Note that these have come so far; those of which nobody knew.

    Args:
        owners: whose budget, or `ALL`.
        budget: what each of them may spend.
        is_posted: whether there is a receiver.
    """
    given = {"day": day, "level": level, "owners": list(owners), "budget": budget, "is_posted": is_posted}
    rows = session.execute(_TELL, given).mappings().all()
    return [Told(**{**row, "level": Level(row["level"])}) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """One alert in the hands of whoever posts it."""

    id: str
    attempt: int
    """From 1."""
    now: int
    """Seconds since 1970, by the database's clock, when it was claimed."""
    day: dt.date
    level: str
    owner: str | None
    """None: all together."""
    budget: Decimal
    spent: Decimal
    created_at: dt.datetime


# statement_timestamp(): an index cannot be searched for what a volatile function answers.
_CLAIM = text(f"""
    UPDATE budget_alerts SET attempt = attempt + 1,
        next_attempt_at = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
    WHERE (day, level, owner) = (
        SELECT day, level, owner FROM budget_alerts WHERE next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id::text AS id, attempt, CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS bigint) AS now, day, level,
        NULLIF(owner, '{ALL}') AS owner, budget, spent, created_at
""")  # noqa: S608


def claim(session: Session) -> Claimed | None:
    """Take one that is to be posted, for `LEASE_SECONDS`; None: none is."""
    row = session.execute(_CLAIM).mappings().one_or_none()
    return Claimed(**row) if row else None


_END = text("""
    UPDATE budget_alerts SET error = :error,
        next_attempt_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS float8))
    WHERE id = CAST(:id AS uuid) AND attempt = :attempt
""")


def done(session: Session, alert: Claimed) -> None:
    """The receiver has it."""
    _end(session, alert)


def again(session: Session, alert: Claimed, *, error: str, seconds: float) -> None:
    """It was not taken; try again so many seconds later."""
    _end(session, alert, error=error, seconds=seconds)


def give_up(session: Session, alert: Claimed, *, error: str) -> None:
    """It was not taken, nor will be."""
    _end(session, alert, error=error)


def _end(session: Session, alert: Claimed, *, error: str | None = None, seconds: float | None = None) -> None:
    """Without seconds, for good: a time plus null is null."""
    session.execute(_END, {"id": alert.id, "attempt": alert.attempt, "error": error, "seconds": seconds})


_PRUNE = text(f"""
    DELETE FROM budget_alerts WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM budget_alerts WHERE day < {TODAY} - {KEPT_DAYS} LIMIT :most FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def prune(session: Session, *, most: int) -> int:
    """Forget up to ``most`` old rows; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]


_ERASE = text("DELETE FROM budget_alerts WHERE owner = :owner")


def erase(session: Session, owner: str) -> None:
    """Forget whose budget it was."""
    session.execute(_ERASE, {"owner": owner})

"""Spending: what each owner's calls to each model cost on each day.

A day is one of UTC, that on which the call was recorded. Here it is kept for longer than jobs are, so that it can be
compared with a bill. ``cost`` is of those calls whose price was known; ``unpriced_calls`` says how many others
there were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Date, Index, Numeric, Text, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Bare, Base
from models.quotas import TODAY

KEPT_DAYS = 400
ERASED = "erased"
"""Owner of what those have spent whose account has ended: the bill is paid all the same."""
OTHERS = "others"
"""In a report: owners beyond those that are listed, together."""
MOST_LISTED = 10_000


class Spending(Base):
    """One owner's calls to one model on one day."""

    __tablename__ = "spending"
    __table_args__ = (
        Index("ix_spending_day", "day"),
        # Counted up again and again: room for the next version on the same page.
        {"postgresql_with": {"fillfactor": "50"}},
    )

    owner: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    """Attempts that were charged for, or may have been, whatever became of them."""
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal | None] = mapped_column(Numeric)
    """Null: no price of any of them is known."""
    unpriced_calls: Mapped[int] = mapped_column(BigInteger)
    """Those whose cost is not known, or estimated."""


# Of attempts that have no tokens yet, as `models.quotas` counts: what is recorded twice is counted once.
_COUNT = text(f"""
    INSERT INTO spending AS kept (owner, day, model, calls, prompt_tokens, completion_tokens, cost, unpriced_calls)
    SELECT jobs.owner, {TODAY}, COALESCE(attempts.model, ''), count(*), sum(COALESCE(given.prompt_tokens, 0)),
           sum(COALESCE(given.completion_tokens, 0)), sum(given.cost),
           count(*) FILTER (WHERE given.cost IS NULL OR given.prompt_tokens IS NULL)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:prompt_tokens AS int[]),
                CAST(:completion_tokens AS int[]), CAST(:costs AS numeric[]))
        AS given(id, attempt, prompt_tokens, completion_tokens, cost)
    JOIN attempts ON attempts.job_id = given.id AND attempts.attempt = given.attempt
        AND attempts.prompt_tokens IS NULL AND attempts.completion_tokens IS NULL AND attempts.cost IS NULL
    JOIN jobs ON jobs.id = given.id
    GROUP BY 1, 3 ORDER BY 1, 3
    ON CONFLICT (owner, day, model) DO UPDATE SET calls = kept.calls + excluded.calls,
        prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = kept.completion_tokens + excluded.completion_tokens,
        cost = COALESCE(kept.cost + excluded.cost, kept.cost, excluded.cost),
        unpriced_calls = kept.unpriced_calls + excluded.unpriced_calls
""")  # noqa: S608

Call = tuple[str, int, int | None, int | None, Decimal | None]
"""Job id, attempt, tokens of the prompt and of the answer, and what they cost."""


def count(session: Session, calls: Iterable[Call]) -> None:
    """Add these calls to what their owners have spent. When it is to be called, `models.quotas.count` says."""
    if counted := [call for call in calls if call[2] or call[3] or call[4]]:
        names = ("ids", "attempts", "prompt_tokens", "completion_tokens", "costs")
        session.execute(_COUNT, dict(zip(names, map(list, zip(*counted, strict=True)), strict=True)))


_SUMS = """COALESCE(sum(calls), 0)::bigint AS calls, COALESCE(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
           COALESCE(sum(completion_tokens), 0)::bigint AS completion_tokens,
           CASE WHEN count(*) = 0 THEN 0 ELSE sum(cost) END AS cost,
           COALESCE(sum(unpriced_calls), 0)::bigint AS unpriced_calls"""
_DAYS = text(f"""
    SELECT day, {_SUMS} FROM spending WHERE owner = :owner AND day < COALESCE(CAST(:before AS date), 'infinity')
    GROUP BY day ORDER BY day DESC LIMIT :limit
""")  # noqa: S608

Sums = Mapping[Any, Any]
"""``calls``, ``prompt_tokens``, ``completion_tokens``, ``cost`` (None: unknown; of no calls 0), ``unpriced_calls``."""


def days(session: Session | Bare, owner: str, *, limit: int, before: dt.date | None = None) -> Sequence[Sums]:
    """What one owner has spent on each ``day`` on which it has, the latest first."""
    given = {"owner": owner, "limit": limit, "before": before}
    return session.execute(_DAYS, given).mappings().all()


_TODAY = text(f"SELECT {TODAY} AS day")
_TOTAL = text(f"SELECT {_SUMS} FROM spending WHERE day BETWEEN :first AND :last")  # noqa: S608
_BY = """
    SELECT {by} AS name, {sums} FROM spending WHERE day BETWEEN :first AND :last
    GROUP BY 1 ORDER BY sum(cost) DESC NULLS LAST, 1 LIMIT :limit
"""
_BY_MODEL, _BY_OWNER = (text(_BY.format(by=by, sums=_SUMS)) for by in ("model", "owner"))


def today(session: Session) -> dt.date:
    """Which day it is, in UTC, by the database."""
    day: dt.date = session.execute(_TODAY).scalar_one()
    return day


def total(session: Session, *, first: dt.date, last: dt.date) -> Sums:
    """What all have spent on these days."""
    return session.execute(_TOTAL, {"first": first, "last": last}).mappings().one()


def by_model(session: Session, day: dt.date, *, limit: int) -> Sequence[Sums]:
    """What was spent on each model (``name``), the dearest first."""
    return session.execute(_BY_MODEL, {"first": day, "last": day, "limit": limit}).mappings().all()


def by_owner(session: Session, day: dt.date, *, limit: int) -> Sequence[Sums]:
    """Who (``name``) has spent most."""
    return session.execute(_BY_OWNER, {"first": day, "last": day, "limit": limit}).mappings().all()


_REPORT = text(f"""
    WITH rows AS (
        SELECT owner, model, {_SUMS} FROM spending WHERE day BETWEEN :first AND :last GROUP BY owner, model
    ), ranked AS (
        SELECT *, row_number() OVER (ORDER BY cost DESC NULLS LAST, owner, model) AS place FROM rows
    )
    SELECT CASE WHEN place <= :most THEN owner ELSE '{OTHERS}' END AS owner, model, {_SUMS}, min(place) AS place
    FROM ranked GROUP BY 1, model, CASE WHEN place <= :most THEN place END ORDER BY min(place)
""")  # noqa: S608


def report(session: Session, *, first: dt.date, last: dt.date, most: int = MOST_LISTED) -> Sequence[Sums]:
    """What each ``owner`` has spent on each ``model``, the dearest first; all of it, the rest as `OTHERS`."""
    return session.execute(_REPORT, {"first": first, "last": last, "most": most}).mappings().all()


_PRUNE = text(f"""
    DELETE FROM spending WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM spending WHERE day < {TODAY} - {KEPT_DAYS} LIMIT :most FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def prune(session: Session, *, most: int) -> int:
    """Forget up to ``most`` old rows; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]


_ERASE = text(f"""
    WITH gone AS (
        DELETE FROM spending WHERE owner = :owner
        RETURNING day, model, calls, prompt_tokens, completion_tokens, cost, unpriced_calls
    )
    INSERT INTO spending AS kept (owner, day, model, calls, prompt_tokens, completion_tokens, cost, unpriced_calls)
    SELECT '{ERASED}', gone.* FROM gone ORDER BY day, model
    ON CONFLICT (owner, day, model) DO UPDATE SET calls = kept.calls + excluded.calls,
        prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = kept.completion_tokens + excluded.completion_tokens,
        cost = COALESCE(kept.cost + excluded.cost, kept.cost, excluded.cost),
        unpriced_calls = kept.unpriced_calls + excluded.unpriced_calls
""")  # noqa: S608


def erase(session: Session, owner: str) -> None:
    """Forget whose spending it was, before its jobs are locked. The sums stay."""
    session.execute(_ERASE, {"owner": owner})

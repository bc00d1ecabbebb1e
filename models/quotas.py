"""Quotas: how many tokens each owner's jobs have used today, and who has used all.

What runs at once and what may wait are limited elsewhere: the announcer gives
nobody more than half of the slots while another waits (`models.announcements`),
and `api.queue` counts what waits. This is for what adds up.

A day is one of UTC. What is accepted is answered: a quota is looked at when a
job is handed in, so what waits then may still go beyond it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Date, Text, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Bare, Base

KEPT_DAYS = 35
TODAY = "CAST(statement_timestamp() AT TIME ZONE 'UTC' AS date)"


class Usage(Base):
    """What one owner's jobs used on one day."""

    __tablename__ = "usage"
    # Counted up again and again: room for the next version on the same page.
    __table_args__ = {"postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012

    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    owner: Mapped[str] = mapped_column(Text, primary_key=True)
    tokens: Mapped[int] = mapped_column(BigInteger)
    """Of prompts and answers, of every call that was counted by the model's server, whatever became of the job."""


# Of attempts that have none yet: a recorder that does not know whether its last write arrived writes it again.
_COUNT = text(f"""
    INSERT INTO usage (day, owner, tokens)
    SELECT {TODAY}, jobs.owner, sum(given.tokens)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:tokens AS bigint[])) AS given(id, attempt, tokens)
    JOIN attempts ON attempts.job_id = given.id AND attempts.attempt = given.attempt
        AND attempts.prompt_tokens IS NULL AND attempts.completion_tokens IS NULL
    JOIN jobs ON jobs.id = given.id
    GROUP BY jobs.owner ORDER BY jobs.owner
    ON CONFLICT (day, owner) DO UPDATE SET tokens = usage.tokens + excluded.tokens
""")  # noqa: S608


def count(session: Session, used: Iterable[tuple[str, int, int]]) -> None:
    """Add the tokens of these calls, each ``(job id, attempt, tokens)``, to those of their owners.

    To be called before they are written to the attempts, and before any other row is
    locked: two workers then wait for each other's owners, but never in a circle.
    """
    if counted := [one for one in used if one[2]]:
        ids, attempts, tokens = map(list, zip(*counted, strict=True))
        session.execute(_COUNT, {"ids": ids, "attempts": attempts, "tokens": tokens})


@dataclass(frozen=True)
class Exhausted:
    """Who may hand in nothing more today."""

    owners: frozenset[str] = frozenset()
    seconds_left: float = 0.0
    """Of the day."""


_EXHAUSTED = text(f"""
    SELECT COALESCE(array_agg(owner), '{{}}') AS owners,
           CAST(EXTRACT(EPOCH FROM {TODAY} + 1 - statement_timestamp() AT TIME ZONE 'UTC') AS float8) AS seconds_left
    FROM usage WHERE day = {TODAY} AND tokens >= :most
""")  # noqa: S608


def exhausted(session: Session | Bare, *, most: int) -> Exhausted:
    """The owners that have used at least so many tokens today."""
    found = session.execute(_EXHAUSTED, {"most": most}).mappings().one_or_none() or {}
    return Exhausted(frozenset(found["owners"]), found["seconds_left"])


_PRUNE = text(f"""
    DELETE FROM usage WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM usage WHERE day < {TODAY} - {KEPT_DAYS} LIMIT :most FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def prune(session: Session, *, most: int) -> int:
    """Forget up to ``most`` old days; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]


_ERASE = text("DELETE FROM usage WHERE owner = :owner")


def erase(session: Session, owner: str) -> None:
    """Forget what an owner has used, before its jobs are locked."""
    session.execute(_ERASE, {"owner": owner})

"""Audit: who did what that somebody may have to answer for. Ids, never content.

Rows are only added. A trigger refuses to change one, and to delete one younger
than `KEPT_AT_LEAST_DAYS`; retention removes those that are older than its setting.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Row, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.base import Bare, Base

KEPT_AT_LEAST_DAYS = 30
DAY_SECONDS = 86_400


class AuditEntry(Base):
    """Something that was done, or refused."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_at", "at", "id"),
        Index("ix_audit_log_actor", "actor", "id"),
        Index("ix_audit_log_action", "action", "id"),
        Index("ix_audit_log_subject", "subject", "id", postgresql_where=text("subject IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    actor: Mapped[str] = mapped_column(Text)
    """The owner word of whoever did it: `models.owners`."""
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    """What it was done to: an owner word, or ``job:<id>``."""
    request_id: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """Codes and numbers that say more."""


_NOTE = text("""
    INSERT INTO audit_log (actor, action, subject, request_id, facts)
    VALUES (:actor, :action, :subject, :request_id, CAST(:facts AS jsonb))
""")


def note(
    session: Session | Bare, *, actor: str, action: str, request_id: str, subject: str | None = None, **facts: object
) -> None:
    """Put it on record.

    Args:
        facts: codes and numbers that say more.
    """
    row = {"actor": actor, "action": action, "subject": subject, "request_id": request_id}
    session.execute(_NOTE, {**row, "facts": json.dumps(facts, default=str)})


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which notes; what is None does not matter."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    after: dt.datetime | None = None
    """Or at that time."""
    before: dt.datetime | None = None


# As in models/dead_letters.py: the planner sees which conditions are none.
_PAGE = text("""
    SELECT id, at, actor, action, subject, request_id, facts FROM audit_log
    WHERE (CAST(:actor AS text) IS NULL OR actor = :actor)
    AND (CAST(:action AS text) IS NULL OR action = :action)
    AND (CAST(:subject AS text) IS NULL OR subject = :subject)
    AND (CAST(:after AS timestamptz) IS NULL OR at >= CAST(:after AS timestamptz))
    AND (CAST(:before AS timestamptz) IS NULL OR at < CAST(:before AS timestamptz))
    AND (CAST(:below AS bigint) IS NULL OR id < :below)
    ORDER BY id DESC LIMIT :limit
""")
_SWEEP = text("""
    DELETE FROM audit_log WHERE id = ANY(ARRAY(
        SELECT id FROM audit_log WHERE at < statement_timestamp() - make_interval(secs => :seconds)
        ORDER BY at, id LIMIT :most FOR UPDATE SKIP LOCKED))
""")


def page(session: Session, which: Filter, *, limit: int, below: int | None = None) -> Sequence[Row[Any]]:
    """Notes, the newest first; ``below`` is the id of the last one already seen."""
    return session.execute(_PAGE, {**vars(which), "limit": limit, "below": below}).all()


def sweep(session: Session, *, days: float, most: int) -> int:
    """Remove up to ``most`` notes that are older than so many days; how many there were."""
    limits = {"seconds": max(days, KEPT_AT_LEAST_DAYS) * DAY_SECONDS, "most": most}
    return session.execute(_SWEEP, limits).rowcount  # type: ignore[attr-defined,no-any-return]

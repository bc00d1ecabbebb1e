"""Audit: who did what that somebody may have to answer for. Ids, never content.

Rows are only added. A trigger refuses to change one, and to delete one younger
than `KEPT_AT_LEAST_DAYS`; retention removes those that are older than its setting.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.base import Bare, Base

KEPT_AT_LEAST_DAYS = 30


class AuditEntry(Base):
    """Something that was done, or refused."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_at", "at", "id"),
        Index("ix_audit_log_actor", "actor", "id"),
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

"""Invitations: codes that let somebody register where registration is not open to all."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base


class Invitation(Base):
    """A code for one account."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint("(used_by IS NULL) = (used_at IS NULL)", name="used_by_iff_used"),
        Index("ix_invitations_expires_at", "expires_at"),
    )

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    created_by: Mapped[str] = mapped_column(Text)
    """The owner word of whoever made it: `models.owners`."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    expires_at: Mapped[dt.datetime]
    used_by: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    used_at: Mapped[dt.datetime | None]

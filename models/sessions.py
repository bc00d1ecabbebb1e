"""Sessions: who is signed in where. A session is one family of refresh tokens; revoking it ends them all."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, LargeBinary, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base


class UserSession(Base):
    """One sign-in on one device, until it is signed out, expires, or an old refresh token comes back."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id", postgresql_where=text("revoked_at IS NULL")),
        Index("ix_sessions_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class RefreshToken(Base):
    """What a session is prolonged with, once."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """SHA-256: the token is random, so a slow hash would add nothing."""
    session_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("sessions.id", ondelete="CASCADE"))
    issued_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    used_at: Mapped[dt.datetime | None]

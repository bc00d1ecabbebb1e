"""API keys: what a script signs in with. Shown once; only a hash is kept."""

from __future__ import annotations

import datetime as dt
import enum

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base


class Scope(enum.StrEnum):
    """What a key may be used for, at most: never for more than its user may."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    CHATS_READ = "chats:read"
    CHATS_WRITE = "chats:write"
    ADMIN = "admin"
    """What the user may as an operator or an admin."""


class ApiKey(Base):
    """One key of one user."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_key_hash", "key_hash", unique=True),
        Index("ix_api_keys_user_id", "user_id", "created_at", "id"),
        Index("ix_api_keys_prefix", "prefix", postgresql_where=text("revoked_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    """How the key begins, for finding it again when one turns up where it should not be."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the whole."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    """To the minute."""
    revoked_at: Mapped[dt.datetime | None]

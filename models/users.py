"""Users: people with an account."""

from __future__ import annotations

import datetime as dt
import enum

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base, stored_by_value


class Role(enum.StrEnum):
    """What somebody may do beyond their own things."""

    USER = "user"
    """Nothing."""
    OPERATOR = "operator"
    """Read everything, redrive and discard dead letters. Each look at another's things is on record."""
    ADMIN = "admin"
    """What an operator may, and say who has which role."""


class User(Base):
    """An account. Once deleted nothing of the person is left in it; the row stays, for what refers to it."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("(deleted_at IS NULL) = (username IS NOT NULL)", name="username_until_deleted"),
        CheckConstraint("deleted_at IS NULL OR password_hash IS NULL", name="no_password_once_deleted"),
        Index("uq_users_username", "username", unique=True),
        Index("uq_users_phone_hash", "phone_hash", unique=True, postgresql_where=text("phone_hash IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    username: Mapped[str | None] = mapped_column(Text)
    """In its one spelling: NFKC, case folded. Null once deleted, so that it is free again."""
    display_name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    """argon2id, with its parameters in it. Null: nobody can sign in."""
    phone_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """HMAC of the number; the number itself is kept nowhere."""
    role: Mapped[Role] = mapped_column(stored_by_value(Role), server_default=Role.USER)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    last_active_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    """To the hour: it is written when tokens are, not with every request."""
    deleted_at: Mapped[dt.datetime | None]

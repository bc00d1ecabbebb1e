"""Invitations: codes that let somebody register where registration is not open to all."""

from __future__ import annotations

import datetime as dt
import secrets

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, principals
from models.account_errors import InvitationInvalid
from models.base import Bare, Base

DAYS = 7


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


_CREATE = text("""
    INSERT INTO invitations (code_hash, created_by, expires_at)
    VALUES (:code_hash, :created_by, clock_timestamp() + make_interval(secs => :seconds)) RETURNING expires_at
""")
_GOOD = "code_hash = :code_hash AND used_at IS NULL AND expires_at > clock_timestamp()"
_CHECK = text(f"SELECT expires_at FROM invitations WHERE {_GOOD}")  # noqa: S608
_USE = text(f"""
    UPDATE invitations SET used_by = CAST(:user_id AS uuid), used_at = clock_timestamp() WHERE {_GOOD}
    RETURNING used_at
""")  # noqa: S608


def create(session: Session, *, by: str, days: float = DAYS) -> tuple[str, dt.datetime]:
    """Invite somebody: ``(code, until when it is good)``. Only a hash of the code is kept.

    Args:
        by: the owner word of whoever does.
    """
    code = secrets.token_urlsafe(24)
    given = {"code_hash": principals.hashed(code), "created_by": by, "seconds": days * 86_400}
    expires_at: dt.datetime = session.execute(_CREATE, given).scalar_one()
    return code, expires_at


def check(session: Session | Bare, code: str) -> None:
    """Look whether a code is good, before more is done for it; it may be used by somebody else meanwhile.

    Raises:
        InvitationInvalid: it is not.
    """
    if session.execute(_CHECK, {"code_hash": principals.hashed(code)}).mappings().one_or_none() is None:
        raise InvitationInvalid


def use(session: Session, code: str, *, user_id: str) -> None:
    """Use a code up for this new account. Of two at once one can.

    Raises:
        InvitationInvalid: it is not good, or no longer.
    """
    if session.execute(_USE, {"code_hash": principals.hashed(code), "user_id": user_id}).one_or_none() is None:
        raise InvitationInvalid


_PRUNE = text("""
    DELETE FROM invitations WHERE code_hash = ANY(ARRAY(
        SELECT code_hash FROM invitations WHERE expires_at < statement_timestamp() ORDER BY expires_at
        LIMIT :most FOR UPDATE SKIP LOCKED))
""")


def prune(session: Session, *, most: int) -> int:
    """Delete up to ``most`` that are past their time, used or not; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]

"""Members: who is in a chat, and how far they have read.

Whoever is in it may read and write there; nobody else may, whatever ids they know. Leaving deletes the row, so that
from then on every statement that asks for it finds nothing.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.base import Bare, Base, stored_by_value
from models.errors import ChatNotFound
from models.touched import Kind, touched


class MemberRole(enum.StrEnum):
    """What a member may do to the chat itself."""

    MEMBER = "member"
    ADMIN = "admin"
    """Rename a group, add and remove its members, say when the AI answers."""


class Member(Base):
    """One person, or the AI, in one chat."""

    __tablename__ = "chat_members"
    __table_args__ = (
        CheckConstraint("joined_seq >= 0 AND last_read_seq >= 0", name="counters_in_range"),
        Index("ix_chat_members_chat_id", "chat_id", "user_id"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"), primary_key=True)
    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[MemberRole] = mapped_column(stored_by_value(MemberRole), server_default=MemberRole.MEMBER)
    joined_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Messages up to this one are not theirs to see; 0: all are."""
    last_read_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """They have seen all up to this one. Never goes back."""
    muted: Mapped[bool] = mapped_column(server_default=text("false"))
    joined_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())


SHOWN = """
    chats.id::text AS chat_id, room_hash, type, title, title_source, ai_mode, ai_callers, hides_history,
    reuses_answers, created_by::text AS created_by, low_user_id::text AS low_user_id,
    high_user_id::text AS high_user_id, last_seq, last_change_seq, last_message_at, chats.created_at,
    chat_members.user_id::text AS user_id, role, joined_seq, last_read_seq, muted,
    CASE WHEN last_seq > joined_seq THEN last_message_preview END AS last_message_preview
"""
"""Of a chat, and of one member in it: nothing that this member may not see."""
READABLE = """
    chats JOIN chat_members ON chat_members.chat_id = chats.id
    WHERE chats.id = CAST(:chat_id AS uuid) AND chat_members.user_id = CAST(:user_id AS uuid)
"""
"""FROM and WHERE of whatever is read or done in a chat: every such statement carries it, or follows one that does."""
_MEMBER = text(f"SELECT {SHOWN} FROM {READABLE}")  # noqa: S608
# The member's row is locked, too: whoever waited for the chat while it was deleted then finds none.
_LOCKED = text(f"SELECT {SHOWN} FROM {READABLE} FOR NO KEY UPDATE OF chats FOR KEY SHARE OF chat_members")  # noqa: S608
_IS_ANOTHERS = text(f"""
    SELECT EXISTS (SELECT FROM chats WHERE id = CAST(:chat_id AS uuid))
       AND NOT EXISTS (SELECT FROM {READABLE}) AS is_anothers
""")  # noqa: S608


def member_of(session: Session | Bare, chat_id: str, *, user_id: str, lock: bool = False) -> Mapping[Any, Any]:
    """The chat, as this member stands in it: `SHOWN`.

    Args:
        lock: keep everybody else from changing the chat, and this member from leaving it, until the commit.

    Raises:
        ChatNotFound: there is none, or they are not in it.
    """
    given = {"chat_id": chat_id, "user_id": user_id}
    member = session.execute(_LOCKED if lock else _MEMBER, given).mappings().one_or_none()
    if member is None:
        raise not_in(session, chat_id, user_id=user_id)
    return member


_IN_HELD = text(f"""
    SELECT {SHOWN} FROM chats JOIN chat_members ON chat_members.chat_id = chats.id
    WHERE chats.id = ANY(CAST(:chat_ids AS uuid[])) AND chat_members.user_id = CAST(:user_id AS uuid)
""")  # noqa: S608


def in_held(session: Session, chat_ids: Collection[str], *, user_id: str) -> dict[str, Mapping[Any, Any]]:
    """Somebody in those of these chats that they are in, by its id. This transaction holds the rows of all of them."""
    given = {"chat_ids": sorted(chat_ids), "user_id": user_id}
    return {row["chat_id"]: row for row in session.execute(_IN_HELD, given).mappings()}


def not_in(session: Session | Bare, chat_id: str, *, user_id: str) -> ChatNotFound:
    """Why nothing was found for somebody; whether the chat is others', only the audit log learns.

    One that has become theirs since it was looked for is not.
    """
    refusal = ChatNotFound()
    found = session.execute(_IS_ANOTHERS, {"chat_id": chat_id, "user_id": user_id}).mappings().one_or_none()
    if found and found["is_anothers"]:
        refusal.anothers = f"chat:{chat_id}"
    return refusal


_EVERYBODY = text("""
    SELECT chat_members.user_id::text AS user_id, display_name, is_ai, chat_members.role, joined_at,
           chat_members.last_read_seq
    FROM chat_members JOIN users ON users.id = chat_members.user_id
    WHERE chat_id = CAST(:chat_id AS uuid) AND EXISTS (
        SELECT FROM chat_members AS mine WHERE mine.chat_id = CAST(:chat_id AS uuid)
        AND mine.user_id = CAST(:user_id AS uuid))
    ORDER BY joined_at, chat_members.user_id
""")
_SEE = text("""
    UPDATE chat_members SET last_read_seq = LEAST(CAST(:seq AS bigint), last_seq)
    FROM chats WHERE chats.id = chat_id AND chat_id = CAST(:chat_id AS uuid) AND user_id = CAST(:user_id AS uuid)
    AND last_read_seq < LEAST(CAST(:seq AS bigint), last_seq)
    RETURNING last_read_seq
""")
_MUTE = text("""
    UPDATE chat_members SET muted = :muted WHERE chat_id = CAST(:chat_id AS uuid) AND user_id = CAST(:user_id AS uuid)
    RETURNING muted
""")


def of_chat(session: Session | Bare, chat_id: str, *, reader: str) -> Sequence[Mapping[Any, Any]]:
    """Everybody in a chat, in the order in which they came; as many as a group may have, at most.

    Raises:
        ChatNotFound: there is none, or the reader is not in it.
    """
    everybody = session.execute(_EVERYBODY, {"chat_id": chat_id, "user_id": reader}).mappings().all()
    if not everybody:
        raise not_in(session, chat_id, user_id=reader)
    return everybody


def see(session: Session, chat_id: str, *, user_id: str, seq: int) -> None:
    """Note that somebody has read up to there. Never goes back, nor beyond the newest message.

    Raises:
        ChatNotFound: they are not in it.
    """
    given = {"chat_id": chat_id, "user_id": user_id}
    read = session.execute(_SEE, {**given, "seq": seq}).scalar_one_or_none()
    if read is None:
        member_of(session, chat_id, user_id=user_id)  # which says why, if not that they had read it before
        return
    touched(session, chat_id=chat_id, kind=Kind.READ, seq=read, user_id=user_id)


_SEE_ALL = text("""
    UPDATE chat_members SET last_read_seq = last_seq FROM chats
    WHERE chats.id = chat_id AND user_id = CAST(:user_id AS uuid) AND last_read_seq < last_seq
    RETURNING chat_id::text AS chat_id, last_read_seq
""")


def see_all(session: Session, user_id: str) -> int:
    """Note that somebody has read everything there is; in how many chats that was news."""
    read = session.execute(_SEE_ALL, {"user_id": user_id}).mappings().all()
    for row in read:
        touched(session, chat_id=row["chat_id"], kind=Kind.READ, seq=row["last_read_seq"], user_id=user_id)
    return len(read)


def mute(session: Session, chat_id: str, *, user_id: str, muted: bool) -> None:
    """Say whether somebody wants to be told of what happens in a chat.

    Raises:
        ChatNotFound: they are not in it.
    """
    given = {"chat_id": chat_id, "user_id": user_id, "muted": muted}
    if session.execute(_MUTE, given).one_or_none() is None:
        raise not_in(session, chat_id, user_id=user_id)
    touched(session, chat_id=chat_id, kind=Kind.MUTED, user_id=user_id)

"""Messages: what has been said in a chat, for good.

A message is named ``(chat_id, seq)`` everywhere. Posting locks the chat's row, looks whether this sender's
``client_msg_id`` has been posted before, and only then takes the next number: numbers have no gaps, and a resend
finds the first message, for ever. Whatever happens to a message takes a ``change_seq``, so that one question,
what came after the last change I know, catches up with everything.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, members, notifications
from models.base import Bare, Base, stored_by_value
from models.chats import PREVIEW_CHARACTERS
from models.errors import UnknownReplyTo
from models.touched import Kind, touched
from models.users import AI_ID

MESSAGE_CHARACTERS = 32_000
CLIENT_MSG_ID_CHARACTERS = 64
PARTITIONS = 16


class MessageStatus(enum.StrEnum):
    """Whether its author had finished."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    """The AI was told to stop; this is what it had said by then."""


class Message(Base):
    """One message. Partitioned by chat: each of a chat's messages lies beside the others."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("seq > 0 AND change_seq >= seq", name="counters_in_range"),
        CheckConstraint("reply_to < seq", name="replies_to_earlier"),
        CheckConstraint("(deleted_at IS NOT NULL) = (content = '')", name="empty_iff_deleted"),
        CheckConstraint(f"char_length(content) <= {MESSAGE_CHARACTERS}", name="content_length"),
        CheckConstraint(
            f"char_length(client_msg_id) BETWEEN 1 AND {CLIENT_MSG_ID_CHARACTERS}", name="client_msg_id_length"
        ),
        Index("uq_messages_client_msg_id", "sender_id", "chat_id", "client_msg_id", unique=True),
        Index("ix_messages_change_seq", "chat_id", "change_seq"),
        Index("ix_messages_content", func.to_tsvector(text("'simple'"), text("content")), postgresql_using="gin"),
        {"postgresql_partition_by": "HASH (chat_id)"},
    )

    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    sender_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    is_ai: Mapped[bool] = mapped_column(server_default=text("false"))
    client_msg_id: Mapped[str] = mapped_column(Text)
    """What its sender called it before it had a number: a resend says the same."""
    reply_to: Mapped[int | None] = mapped_column(BigInteger)
    """The ``seq`` of an earlier message of the same chat."""
    content: Mapped[str] = mapped_column(Text)
    """Empty once deleted."""
    status: Mapped[MessageStatus] = mapped_column(stored_by_value(MessageStatus), server_default=MessageStatus.COMPLETE)
    job_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    """The job whose reply it is. That job may be gone: replies outlive it."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    edited_at: Mapped[dt.datetime | None]
    deleted_at: Mapped[dt.datetime | None]
    change_seq: Mapped[int] = mapped_column(BigInteger)


class MessageVersion(Base):
    """What a message said before an edit or another answer took its place."""

    __tablename__ = "message_versions"

    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    """Of the chat, not of the message: messages go with their chat and not before."""
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1: the first thing it said."""
    content: Mapped[str] = mapped_column(Text)
    replaced_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What became of a message that was sent."""

    message: Mapping[Any, Any]
    is_new: bool
    """False: its sender had sent it before, and this is what it became."""
    differs: bool
    """It was sent before with another text, which stays."""
    member: Mapping[Any, Any]
    """Its sender, and the chat as it was before: `models.members.SHOWN`."""


SHOWN = """
    m.chat_id::text AS chat_id, m.seq, m.sender_id::text AS sender_id, m.is_ai, m.client_msg_id, m.reply_to, m.content,
    m.status, m.job_id::text AS job_id, m.created_at, m.edited_at, m.deleted_at, m.change_seq
"""
"""Of ``messages AS m``."""

# A statement of its own, behind the one that waited for the lock: it sees what the chat's last writer has committed.
_POST = text(f"""
    WITH first AS (
        SELECT {SHOWN}, COALESCE((SELECT content FROM message_versions AS v
                                  WHERE v.chat_id = m.chat_id AND v.seq = m.seq AND version = 1), m.content) AS said
        FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.sender_id = CAST(:sender_id AS uuid)
        AND m.client_msg_id = :client_msg_id
    ), chat AS (
        UPDATE chats SET last_seq = last_seq + 1, last_change_seq = last_change_seq + 1,
            last_message_at = GREATEST(last_message_at, clock_timestamp()), last_message_preview = :preview
        WHERE id = CAST(:chat_id AS uuid) AND NOT EXISTS (SELECT FROM first)
        AND (CAST(:reply_to AS bigint) IS NULL
             OR CAST(:reply_to AS bigint) > :joined_seq AND CAST(:reply_to AS bigint) <= last_seq)
        RETURNING id, type, last_seq, last_change_seq, last_message_at
    ), posted AS (
        INSERT INTO messages AS m (chat_id, seq, sender_id, is_ai, client_msg_id, reply_to, content, status, job_id,
                                   created_at, change_seq)
        SELECT id, last_seq, CAST(:sender_id AS uuid), :is_ai, :client_msg_id, :reply_to, :content, :status,
               CAST(:job_id AS uuid), last_message_at, last_change_seq
        FROM chat RETURNING {SHOWN}, m.content AS said
    ), seen AS (
        UPDATE chat_members SET last_read_seq = last_seq FROM chat
        WHERE chat_id = chat.id AND user_id = CAST(:sender_id AS uuid)
    ), to_be_told AS ({notifications.PUT})
    SELECT *, true AS is_new FROM posted UNION ALL SELECT *, false FROM first
""")  # noqa: S608


def post(  # noqa: PLR0913
    session: Session,
    *,
    chat_id: str,
    sender_id: str,
    content: str,
    client_msg_id: str,
    reply_to: int | None = None,
    job_id: str | None = None,
    status: MessageStatus = MessageStatus.COMPLETE,
    member: Mapping[Any, Any] | None = None,
) -> Posted:
    """Say something in a chat, once, however often it is sent. Its sender has then read all that came before.

    Args:
        member: the sender in the chat, whose row this transaction holds already.

    Raises:
        ChatNotFound: the sender is not in it.
        UnknownReplyTo: there is no such message that the sender may see.
    """
    member = member or members.member_of(session, chat_id, user_id=sender_id, lock=True)
    given = {"chat_id": chat_id, "sender_id": sender_id, "is_ai": sender_id == AI_ID, "client_msg_id": client_msg_id}
    given |= {"reply_to": reply_to, "joined_seq": member["joined_seq"], "content": content, "preview": preview(content)}
    found = session.execute(_POST, {**given, "job_id": job_id, "status": status}).mappings().one_or_none()
    if found is None:
        raise UnknownReplyTo
    message = dict(found)
    said, is_new = message.pop("said"), message.pop("is_new")
    if is_new:
        touched(session, chat_id=chat_id, kind=Kind.POSTED, seq=message["seq"], user_id=sender_id)
    # What a deleted one had said, nobody knows any more.
    differs = message["deleted_at"] is None and said != content
    return Posted(message=message, is_new=is_new, differs=differs, member=member)


def preview(content: str) -> str:
    """How a message begins, on one line.

    >>> preview("Hello,   world ")
    'Hello, world'
    """
    return " ".join(content[: 4 * PREVIEW_CHARACTERS].split())[:PREVIEW_CHARACTERS]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Messages of a chat, the earliest first."""

    messages: Sequence[Mapping[Any, Any]]
    before: int | None
    """For the page before this one; None: there is none that the reader may see."""
    after: int | None
    """For the page behind it; None: this is the newest."""
    last_change_seq: int
    """All changes up to this one are in it: `changes` goes on from there."""


_READER = f"SELECT chats.id, joined_seq, last_seq, last_change_seq FROM {members.READABLE}"  # noqa: S608
_OLDER = text(f"""
    WITH reader AS ({_READER}) SELECT reader.*, page.* FROM reader LEFT JOIN LATERAL (
        SELECT {SHOWN} FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq > joined_seq
        AND (CAST(:seq AS bigint) IS NULL OR m.seq < CAST(:seq AS bigint)) ORDER BY m.seq DESC LIMIT :limit
    ) AS page ON true ORDER BY page.seq
""")  # noqa: S608
_NEWER = text(f"""
    WITH reader AS ({_READER}) SELECT reader.*, page.* FROM reader LEFT JOIN LATERAL (
        SELECT {SHOWN} FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid)
        AND m.seq > GREATEST(joined_seq, CAST(:seq AS bigint)) ORDER BY m.seq LIMIT :limit
    ) AS page ON true ORDER BY page.seq
""")  # noqa: S608
_CHANGES = text(f"""
    WITH reader AS ({_READER}) SELECT reader.*, page.* FROM reader LEFT JOIN LATERAL (
        SELECT {SHOWN} FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid)
        AND m.change_seq > CAST(:seq AS bigint) AND m.seq > joined_seq ORDER BY m.change_seq LIMIT :limit
    ) AS page ON true ORDER BY page.change_seq
""")  # noqa: S608
_OF_READER = ("id", "joined_seq", "last_seq", "last_change_seq")


def page(  # noqa: PLR0913
    session: Session | Bare,
    chat_id: str,
    *,
    reader: str,
    before: int | None = None,
    after: int | None = None,
    limit: int,
) -> Page:
    """The ``limit`` newest messages below ``before``, or the earliest above ``after``; by default the newest.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    given = {"chat_id": chat_id, "user_id": reader, "seq": before if after is None else after, "limit": limit}
    facts, found = _read(session, _OLDER if after is None else _NEWER, given)
    # Numbers have no gaps, so they tell whether there are more.
    return Page(
        messages=found,
        before=found[0]["seq"] if found and found[0]["seq"] > facts["joined_seq"] + 1 else None,
        after=found[-1]["seq"] if found and found[-1]["seq"] < facts["last_seq"] else None,
        last_change_seq=facts["last_change_seq"],
    )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Messages that are new or other than before, as they are now."""

    messages: Sequence[Mapping[Any, Any]]
    limited: bool
    """These are not all."""
    since: int
    """For the next question: all up to there is told."""
    last_change_seq: int


def changes(session: Session | Bare, chat_id: str, *, reader: str, since: int, limit: int) -> Changes:
    """What has happened to the messages of a chat behind a ``change_seq``, in that order.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    given = {"chat_id": chat_id, "user_id": reader, "seq": since, "limit": limit + 1}
    facts, found = _read(session, _CHANGES, given)
    last = facts["last_change_seq"]
    if len(found) > limit:
        told = found[:limit]
        return Changes(messages=told, limited=True, since=told[-1]["change_seq"], last_change_seq=last)
    # Who has heard of more than there is has heard it of a database that is no more.
    return Changes(messages=found, limited=since > last, since=last, last_change_seq=last)


def _read(session: Session | Bare, statement: Any, given: Mapping[str, object]) -> tuple[Mapping[Any, Any], list[Any]]:
    rows = session.execute(statement, given).mappings().all()
    if not rows:
        raise members.not_in(session, str(given["chat_id"]), user_id=str(given["user_id"]))
    return rows[0], [
        {name: value for name, value in row.items() if name not in _OF_READER} for row in rows if row["seq"] is not None
    ]

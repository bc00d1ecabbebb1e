"""Notifications: who is told of a message that they have not seen come.

    post: one row a message, in its transaction ──▶ claim ──▶ sent: the row is gone
                                                     ▲  └──▶ again, later ─┐
                                                     └──────────────────────┘──▶ given up: kept for some days

A row says only that there is a message. Who is to be told is asked when it is claimed, ten seconds later: those who are
in the chat, have not muted it and have not read so far. A claim puts the row's time a minute ahead, so of several
dispatchers one has it, and if that one dies another takes it. The attempt is a fencing token, as for jobs. At a
second attempt nobody is told who was not meant at the first, and nobody who has read meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base
from models.chats import PREVIEW_CHARACTERS

AFTER_SECONDS = 10
"""Who looks at the chat has read it by then; who reloads their page is back."""
LEASE_SECONDS = 60
"""Longer than `tasks.notifier` needs for what it claims at once."""
KEPT_DAYS = 7
"""After it was given up."""


class Notification(Base):
    """A message that some of its chat's members may have to be told of. No key leads to either: both may be gone."""

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint("attempt >= 0", name="counters_in_range"),
        CheckConstraint("failed_at IS NULL OR error IS NOT NULL", name="failed_has_error"),
        Index("ix_notifications_due", "next_attempt_at", postgresql_where=text("failed_at IS NULL")),
        Index("ix_notifications_failed", "failed_at", postgresql_where=text("failed_at IS NOT NULL")),
        # Rows come and go: what they leave is to be found soon.
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.02"}},
    )

    chat_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    next_attempt_at: Mapped[dt.datetime]
    """Not before; while it is claimed, until when nobody else may."""
    attempt: Mapped[int] = mapped_column(server_default="0")
    """Claims so far."""
    user_ids: Mapped[list[str] | None] = mapped_column(ARRAY(Uuid(as_uuid=False)))
    """Whom the first attempt meant; null: none was made."""
    failed_at: Mapped[dt.datetime | None]
    """When it was given up."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt came to nothing."""


PUT = f"""
    INSERT INTO notifications (chat_id, seq, next_attempt_at)
    SELECT id, last_seq, clock_timestamp() + interval '{AFTER_SECONDS} seconds' FROM chat
    WHERE type <> 'ai' OR :is_ai
"""  # noqa: S608
"""Of ``chat``, in whose transaction a message was posted. In a chat with the AI the person has nobody to tell."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message in a notifier's hands, and whom to tell of it."""

    chat_id: str
    seq: int
    attempt: int
    """From 1."""
    user_ids: Sequence[str]
    """Nobody: all have read it, or it is deleted, or there is no such chat any more."""
    now: int
    """Seconds since 1970, by the database's clock, when it was claimed."""
    type: str | None = None
    title: str | None = None
    sender_id: str | None = None
    sender_name: str | None = None
    is_ai: bool | None = None
    preview: str | None = None
    created_at: dt.datetime | None = None

    @property
    def name(self) -> str:
        """The same one at each attempt, and no other's."""
        return f"msg_{self.chat_id}_{self.seq}"


# statement_timestamp(): an index cannot be searched for what a volatile function answers.
_CLAIM = text(f"""
    WITH due AS (
        SELECT chat_id, seq FROM notifications WHERE failed_at IS NULL AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE notifications AS n SET attempt = attempt + 1,
            next_attempt_at = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
        FROM due WHERE n.chat_id = due.chat_id AND n.seq = due.seq RETURNING n.*
    )
    SELECT taken.chat_id::text AS chat_id, taken.seq, taken.attempt, chats.type, chats.title,
           m.sender_id::text AS sender_id, sender.display_name AS sender_name, m.is_ai, m.created_at,
           left(regexp_replace(left(m.content, {4 * PREVIEW_CHARACTERS}), '\\s+', ' ', 'g'), {PREVIEW_CHARACTERS})
               AS preview,
           CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS bigint) AS now,
           ARRAY(
               SELECT member.user_id::text FROM chat_members AS member JOIN users ON users.id = member.user_id
               WHERE member.chat_id = taken.chat_id AND NOT muted AND NOT users.is_ai
               AND last_read_seq < taken.seq AND joined_seq < taken.seq AND member.user_id <> m.sender_id
               AND (taken.user_ids IS NULL OR member.user_id = ANY(taken.user_ids))
               ORDER BY member.user_id
           ) AS user_ids
    FROM taken LEFT JOIN chats ON chats.id = taken.chat_id
    LEFT JOIN messages AS m ON m.chat_id = taken.chat_id AND m.seq = taken.seq AND m.deleted_at IS NULL
    LEFT JOIN users AS sender ON sender.id = m.sender_id
""")  # noqa: S608


def claim(session: Session, *, most: int) -> list[Notice]:
    """Take up to so many that are due, for `LEASE_SECONDS`."""
    return [Notice(**row) for row in session.execute(_CLAIM, {"most": most}).mappings()]


_GIVEN = """
    (SELECT * FROM unnest(CAST(:chat_ids AS uuid[]), CAST(:seqs AS bigint[]), CAST(:attempts AS int[]))
        AS given (chat_id, seq, attempt)) AS given
    WHERE n.chat_id = given.chat_id AND n.seq = given.seq AND n.attempt = given.attempt
"""
_DONE = text(f"DELETE FROM notifications AS n USING {_GIVEN}")  # noqa: S608
_DEFER = text(f"""
    UPDATE notifications AS n SET attempt = n.attempt - 1,
        next_attempt_at = clock_timestamp() + make_interval(secs => :seconds) FROM {_GIVEN}
""")  # noqa: S608
_MINE = "WHERE chat_id = CAST(:chat_id AS uuid) AND seq = :seq AND attempt = :attempt"
_AGAIN = text(f"""
    UPDATE notifications SET next_attempt_at = clock_timestamp() + make_interval(secs => :seconds),
        user_ids = CAST(:user_ids AS uuid[]), error = :error {_MINE}
""")  # noqa: S608
_GIVE_UP = text(f"""
    UPDATE notifications SET failed_at = clock_timestamp(), user_ids = CAST(:user_ids AS uuid[]), error = :error {_MINE}
""")  # noqa: S608


def done(session: Session, notices: Sequence[Notice]) -> None:
    """Whoever was to be told has been, or need not be."""
    if notices:
        session.execute(_DONE, _given(notices))


def defer(session: Session, notices: Sequence[Notice], *, seconds: float) -> None:
    """Give them back untried: it was no attempt."""
    if notices:
        session.execute(_DEFER, {**_given(notices), "seconds": seconds})


def again(session: Session, notice: Notice, *, user_ids: Sequence[str], error: str, seconds: float) -> None:
    """Nobody could be told; try again so many seconds later, these or fewer."""
    session.execute(_AGAIN, {**_one(notice, user_ids, error), "seconds": seconds})


def give_up(session: Session, notice: Notice, *, user_ids: Sequence[str], error: str) -> None:
    """Nobody could be told, nor will be."""
    session.execute(_GIVE_UP, _one(notice, user_ids, error))


def _given(notices: Sequence[Notice]) -> dict[str, object]:
    return {
        "chat_ids": [notice.chat_id for notice in notices],
        "seqs": [notice.seq for notice in notices],
        "attempts": [notice.attempt for notice in notices],
    }


def _one(notice: Notice, user_ids: Sequence[str], error: str) -> dict[str, object]:
    facts = {"chat_id": notice.chat_id, "seq": notice.seq, "attempt": notice.attempt}
    return {**facts, "user_ids": list(user_ids), "error": error}


_PRUNE = text(f"""
    DELETE FROM notifications WHERE (chat_id, seq) IN (
        SELECT chat_id, seq FROM notifications WHERE failed_at < statement_timestamp() - interval '{KEPT_DAYS} days'
        ORDER BY failed_at LIMIT :most FOR UPDATE SKIP LOCKED)
""")  # noqa: S608


def prune(session: Session, *, most: int) -> int:
    """Remove up to so many that were given up long ago; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]

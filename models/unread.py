"""Unread: the same counts as in `models.own_chats`, with what it takes to keep them and to count on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import Bare
from models.own_chats import MOST_COUNTED, UNREAD

_COUNTS = text(f"""
    SELECT chat_id::text AS chat_id, muted, last_seq,
           CASE WHEN last_seq > GREATEST(joined_seq, last_read_seq) THEN {UNREAD} ELSE 0 END AS unread
    FROM (
        SELECT chat_id, user_id, muted, joined_seq, last_read_seq, last_seq, last_message_at
        FROM chat_members JOIN chats ON chats.id = chat_id WHERE user_id = CAST(:user_id AS uuid)
        AND (CAST(:chat_ids AS uuid[]) IS NULL OR chat_id = ANY(CAST(:chat_ids AS uuid[])))
        ORDER BY last_message_at DESC, chat_id DESC LIMIT {MOST_COUNTED} + 1
    ) AS mine ORDER BY last_message_at DESC, chat_id DESC
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What is unread in one chat."""

    chat_id: str
    unread: int
    """At most one more than is shown."""
    muted: bool
    last_seq: int
    """Of the newest message that was there to be counted."""


def counts(session: Session | Bare, *, user_id: str, chat_ids: Sequence[str] | None = None) -> Sequence[Counted]:
    """Of the chats somebody is in, `MOST_COUNTED` and one more at most; ``chat_ids``: of these alone."""
    given = {"user_id": user_id, "chat_ids": None if chat_ids is None else list(chat_ids)}
    return [Counted(**row) for row in session.execute(_COUNTS, given).mappings().all()]

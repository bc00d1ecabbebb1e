"""Own chats: those that somebody is in, the one with the newest message first, and what is unread in them.

Unread is what others have said, and not deleted, above what a member has read. It is derived, never kept: so it cannot
be wrong for longer than a question takes. Counting stops at `MOST_UNREAD` + 1, because nobody wants to know how many
more there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members
from models.base import Bare

MOST_UNREAD = 99
MOST_COUNTED = 1_000
"""Chats of one person in which unread messages are counted by one question: those that moved last."""

Position = tuple[dt.datetime, str]
"""``(last_message_at, id)`` of a chat."""

UNREAD = f"""
    (SELECT count(*) FROM (
        SELECT FROM messages AS m WHERE m.chat_id = CAST(mine.chat_id AS uuid)
        AND m.seq > GREATEST(mine.joined_seq, mine.last_read_seq) AND m.sender_id <> CAST(mine.user_id AS uuid)
        AND m.deleted_at IS NULL LIMIT {MOST_UNREAD + 1}) AS counted)
"""  # noqa: S608
"""Of a chat and a member of it, both as ``mine``."""
_MINE = f"""
    SELECT {members.SHOWN} FROM chat_members JOIN chats ON chats.id = chat_members.chat_id
    WHERE chat_members.user_id = CAST(:user_id AS uuid)
"""  # noqa: S608
# Counting and looking for the other one is done for what is shown, not for all there is.
_SHOWN = f"""
    mine.*, CASE WHEN last_seq > GREATEST(joined_seq, last_read_seq) THEN {UNREAD} ELSE 0 END AS unread,
    other.id::text AS other_id, other.display_name AS other_name
"""
_OTHER = """
    LEFT JOIN users AS other ON other.id = CAST(
        CASE WHEN mine.low_user_id = mine.user_id THEN mine.high_user_id ELSE mine.low_user_id END AS uuid)
"""
_ONE = text(f"""
    SELECT {_SHOWN} FROM ({_MINE} AND chats.id = CAST(:chat_id AS uuid)) AS mine {_OTHER}
""")  # noqa: S608
_PAGE = text(f"""
    SELECT {_SHOWN} FROM (
        {_MINE}
        AND (CAST(:at AS timestamptz) IS NULL
             OR (last_message_at, chats.id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
        ORDER BY last_message_at DESC, chats.id DESC LIMIT :limit
    ) AS mine {_OTHER} ORDER BY last_message_at DESC, chat_id DESC
""")  # noqa: S608
_COUNTS = text(f"""
    SELECT chat_id, muted, {UNREAD} AS unread FROM (
        {_MINE} AND last_seq > GREATEST(joined_seq, last_read_seq)
        ORDER BY last_message_at DESC, chats.id DESC LIMIT {MOST_COUNTED} + 1
    ) AS mine ORDER BY last_message_at DESC, chat_id DESC
""")  # noqa: S608


def one(session: Session | Bare, chat_id: str, *, reader: str) -> Mapping[Any, Any]:
    """A chat as a member sees it: `models.members.SHOWN`, ``unread``, and of a pair the other one.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    chat = session.execute(_ONE, {"user_id": reader, "chat_id": chat_id}).mappings().one_or_none()
    if chat is None:
        raise members.not_in(session, chat_id, user_id=reader)
    return chat


def page(
    session: Bare, user_id: str, *, limit: int, before: Position | None = None
) -> tuple[Sequence[Mapping[Any, Any]], Position | None]:
    """At most ``limit`` chats behind ``before``, and where to go on, if there are more."""
    at, chat_id = before or (None, None)
    found = session.execute(_PAGE, {"user_id": user_id, "at": at, "id": chat_id, "limit": limit + 1}).mappings().all()
    shown = found[:limit]
    return shown, (shown[-1]["last_message_at"], shown[-1]["chat_id"]) if len(found) > limit else None


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Where something is unread."""

    chats: Sequence[Mapping[Any, Any]]
    """``chat_id``, ``muted`` and ``unread``, at most `MOST_UNREAD` + 1."""
    limited: bool
    """There may be some in chats beyond these."""


def unread(session: Bare, user_id: str) -> Unread:
    """What somebody has not read, in all chats at once."""
    found = session.execute(_COUNTS, {"user_id": user_id}).mappings().all()
    counted = [chat for chat in found[:MOST_COUNTED] if chat["unread"]]
    return Unread(chats=counted, limited=len(found) > MOST_COUNTED)

"""Newest: the page of messages that is asked for most, and what its reader needs to know of the chat. One statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members, messages
from models.base import Bare
from models.chats import ChatType
from models.messages import Page

_OF_CHAT = ("id", "type", "title", "created_by", "low_user_id", "high_user_id", "joined_seq", "last_change_seq")
_NEWEST = text(f"""
    WITH reader AS (
        SELECT chats.id::text AS id, type, title, created_by::text AS created_by, low_user_id::text AS low_user_id,
               high_user_id::text AS high_user_id, joined_seq, last_change_seq
        FROM {members.READABLE}
    )
    SELECT reader.*, page.* FROM reader LEFT JOIN LATERAL (
        SELECT {messages.SHOWN} FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq > joined_seq
        ORDER BY m.seq DESC LIMIT :limit
    ) AS page ON true ORDER BY page.seq
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest messages of a chat, as one of its members may see them."""

    type: ChatType
    title: str | None
    readers: Sequence[str]
    """Whom nobody can remove from it. Empty: somebody can be removed."""
    first: int
    """From this ``seq`` on none is missing."""
    version: int
    """All changes up to this ``change_seq`` are in it."""
    messages: Sequence[Mapping[Any, Any]]
    """The earliest first."""
    hidden: int = 0
    """Messages up to this ``seq`` are not the reader's to see."""

    @property
    def last_seq(self) -> int:
        """Of the newest message; 0: there is none."""
        return int(self.messages[-1]["seq"]) if self.messages else self.first - 1

    def page(self, *, limit: int) -> Page | None:
        """The newest so many; None if some of them are not here."""
        if len(self.messages) < limit and self.first > self.hidden + 1:
            return None
        shown = self.messages[-limit:]
        earlier = bool(shown) and shown[0]["seq"] > self.hidden + 1
        return Page(
            messages=shown, before=shown[0]["seq"] if earlier else None, after=None, last_change_seq=self.version
        )


def newest(session: Session | Bare, chat_id: str, *, reader: str, limit: int) -> Newest:
    """The ``limit`` newest messages.

    Raises:
        ChatNotFound: the reader is not in the chat.
    """
    rows = session.execute(_NEWEST, {"chat_id": chat_id, "user_id": reader, "limit": limit}).mappings().all()
    if not rows:
        raise members.not_in(session, chat_id, user_id=reader)
    chat = rows[0]
    return Newest(
        type=ChatType(chat["type"]),
        title=chat["title"],
        readers=_readers(chat),
        first=rows[0]["seq"] if len(rows) == limit and rows[0]["seq"] else chat["joined_seq"] + 1,
        version=chat["last_change_seq"],
        hidden=chat["joined_seq"],
        messages=[{name: value for name, value in row.items() if name not in _OF_CHAT} for row in rows if row["seq"]],
    )


def _readers(chat: Mapping[Any, Any]) -> Sequence[str]:
    """The one who has a chat with the AI, or a pair."""
    if chat["type"] == ChatType.AI:
        return [chat["created_by"]]
    return [chat["low_user_id"], chat["high_user_id"]] if chat["type"] == ChatType.ONE_TO_ONE else []

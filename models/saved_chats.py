"""Saved chats: a whole conversation that a client posts again and again, of which what is new is stored.

What a client calls a chat need not be an id of ours: a name that is new makes one, and the same name of the same person
finds it again. What is missing from a client's lines, or stands elsewhere among them, stays as it is stored
(`models.saved_items`); if nothing is new, nothing is written, nor is anything locked. What is new is posted like any
message, but calls nobody: the client has asked for an answer when it was said, or did not want one.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import chats, members, messages, titles
from models.base import Bare
from models.chats import ChatType
from models.errors import ChatNotFound
from models.members import MemberRole
from models.saved_items import ASSISTANT, USER, Compared, Comparison, Item, Stored, mark
from models.touched import Kind, touched

LOOKED_AT = 5_000
"""Lines that are stored; a client's are compared with the newest so many."""
MOST_LISTED = 1_000
NAMELESS = (None, "", "-1")
"""What a client calls a chat that is not one yet."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What became of a conversation."""

    chat_id: str
    title: str | None
    inserted: int
    ignored: int
    """Lines of the AI that it has not said."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What a client posts."""

    named: str | None
    """What it calls the chat: our id or room hash, or a name of its own; one of `NAMELESS`: nothing yet."""
    title: str | None
    """Null: as it is."""
    items: Sequence[Item]


def save(session: Session, conversation: Conversation, *, user_id: str, window: int, key: str) -> Saved:
    """Store what is new of a conversation.

    Args:
        window: how many lines a client is handed at a time.
        key: for `models.chats.room_hash` and `models.saved_items.mark`.

    Raises:
        ChatNotFound: it is somebody else's.
    """
    member = found(session, conversation.named, user_id=user_id) or _made(session, conversation, user_id, key)
    chat_id, items = member["chat_id"], conversation.items
    title = conversation.title if _may_rename(member) else None

    def compared() -> Compared:
        return Comparison(_stored(session, member), items, window=window, key=key).result()

    result, inserted = compared(), 0
    if result.new:
        # Whoever else posts waits from here on, so what is new now still is when it is stored.
        member = members.member_of(session, chat_id, user_id=user_id, lock=True)
        result = compared()
        for place, item in enumerate(result.new, start=member["last_seq"] + 1):
            named = item.client_msg_id or mark(item.content, place=place, key=key)
            given = {"chat_id": chat_id, "sender_id": user_id, "content": item.content}
            inserted += messages.post(session, **given, client_msg_id=named, member=member).is_new
    if title and title != member["title"]:
        session.execute(_TITLE, {"chat_id": chat_id, "title": title})
        touched(session, chat_id=chat_id, kind=Kind.CHAT)
    elif inserted:
        titles.at_once(session, member=member, content=result.new[0].content)
    if inserted:
        member = members.member_of(session, chat_id, user_id=user_id)
    return Saved(chat_id=chat_id, title=title or member["title"], inserted=inserted, ignored=result.ignored)


def _may_rename(member: Mapping[Any, Any]) -> bool:
    """A group's title is its admins', and a pair has none."""
    own = member["type"] == ChatType.AI, (member["type"], member["role"]) == (ChatType.GROUP, MemberRole.ADMIN)
    return any(own)


def found(session: Session | Bare, named: str | None, *, user_id: str) -> Mapping[Any, Any] | None:
    """The chat that somebody calls so, as they stand in it; None if there is none.

    Raises:
        ChatNotFound: it is somebody else's.
    """
    for chat_id in _ids_of(session, named, user_id):
        try:
            return members.member_of(session, chat_id, user_id=user_id)
        except ChatNotFound as refusal:
            if refusal.anothers is not None:
                raise
    return None


def _ids_of(session: Session | Bare, named: str | None, user_id: str) -> Sequence[str]:
    if named in NAMELESS:
        return []
    ids = [own_id(named, user_id=user_id)]
    with contextlib.suppress(ValueError):
        ids.insert(0, str(uuid.UUID(named)))
    if chats.ROOM_HASH.fullmatch(named):
        with contextlib.suppress(ChatNotFound):
            ids.insert(0, chats.id_of(session, named))
    return ids


def own_id(named: str, *, user_id: str) -> str:
    """The id of the chat that somebody has given a name of their own. No other's name leads there.

    >>> own_id("chat-7", user_id="0197a2f0-0000-7000-8000-000000000001")
    '4bbf85f3-a689-5f2a-a064-f53b802a9521'
    """
    return str(uuid.uuid5(uuid.UUID(user_id), named))


def _made(session: Session, conversation: Conversation, user_id: str, key: str) -> Mapping[Any, Any]:
    named = conversation.named
    chat_id = None if named in NAMELESS else own_id(named, user_id=user_id)
    made = chats.create_ai(session, user_id=user_id, key=key, title=conversation.title, chat_id=chat_id)
    return members.member_of(session, made, user_id=user_id)


_TITLE = text("UPDATE chats SET title = :title, title_source = 'user' WHERE id = CAST(:chat_id AS uuid)")
_STORED = text(f"""
    SELECT * FROM (
        SELECT m.seq, m.is_ai, CASE WHEN m.sender_id = CAST(:user_id AS uuid) THEN client_msg_id END AS client_msg_id,
               CASE WHEN deleted_at IS NULL THEN m.content END AS content,
               CASE WHEN edited_at IS NOT NULL THEN ARRAY(
                   SELECT v.content FROM message_versions AS v WHERE v.chat_id = m.chat_id AND v.seq = m.seq
               ) END AS earlier
        FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq > :joined_seq
        ORDER BY m.seq DESC LIMIT {LOOKED_AT}
    ) AS newest ORDER BY seq
""")  # noqa: S608


def _stored(session: Session, member: Mapping[Any, Any]) -> list[Stored]:
    given = {name: member[name] for name in ("chat_id", "user_id", "joined_seq")}
    return [
        Stored(
            role=ASSISTANT if line["is_ai"] else USER,
            texts=() if line["content"] is None else (line["content"], *(line["earlier"] or ())),
            client_msg_id=line["client_msg_id"],
        )
        for line in session.execute(_STORED, given).mappings()
    ]


_TITLES = text(f"""
    SELECT chats.id::text AS chat_id, COALESCE(title, others.display_name) AS title
    FROM chat_members JOIN chats ON chats.id = chat_id
    LEFT JOIN users AS others ON others.id = CASE WHEN low_user_id = user_id THEN high_user_id ELSE low_user_id END
    WHERE user_id = CAST(:user_id AS uuid) ORDER BY last_message_at DESC, chats.id DESC LIMIT {MOST_LISTED}
""")  # noqa: S608


def listed(session: Session | Bare, *, user_id: str) -> Sequence[Mapping[Any, Any]]:
    """Id and title of the chats somebody is in, that of a pair being the other's name. The latest first."""
    return session.execute(_TITLES, {"user_id": user_id}).mappings().all()


_OTHER = text("""
    SELECT display_name AS name FROM chats JOIN users ON users.id IN (low_user_id, high_user_id)
    WHERE chats.id = CAST(:chat_id AS uuid) AND users.id <> CAST(:user_id AS uuid)
""")


def others_name(session: Session | Bare, chat_id: str, *, user_id: str) -> str | None:
    """Of whom somebody is one of a pair with, as they stand in `listed`."""
    other = session.execute(_OTHER, {"chat_id": chat_id, "user_id": user_id}).mappings().one_or_none()
    return None if other is None else str(other["name"])

"""Edits: what becomes of a message after it was posted. Its number stays, and takes a new ``change_seq``.

An edit keeps what the message said before. A deletion keeps nothing: the place stays, and who had it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members, summaries
from models.chats import ChatType
from models.errors import MessageDeleted, MessageNotFound, NotYourMessage
from models.members import MemberRole
from models.messages import SHOWN, preview
from models.touched import Kind, touched

_ONE = text(f"""
    SELECT {SHOWN} FROM messages AS m
    WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq AND m.seq > :joined_seq
""")  # noqa: S608
# The newest message's beginning stands in the chat's row, too.
_CHANGED = """
    UPDATE chats SET last_change_seq = last_change_seq + 1,
        last_message_preview = CASE WHEN last_seq = :seq THEN :preview ELSE last_message_preview END
    WHERE id = CAST(:chat_id AS uuid) RETURNING id, last_change_seq
"""
_EDIT = text(f"""
    WITH chat AS ({_CHANGED}), version AS (
        INSERT INTO message_versions (chat_id, seq, version, content)
        SELECT m.chat_id, m.seq, 1 + (SELECT count(*) FROM message_versions AS v
                                      WHERE v.chat_id = m.chat_id AND v.seq = m.seq), m.content
        FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq
    )
    UPDATE messages AS m SET content = :content, edited_at = clock_timestamp(), change_seq = last_change_seq
    FROM chat WHERE m.chat_id = chat.id AND m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq RETURNING {SHOWN}
""")  # noqa: S608
_DELETE = text(f"""
    WITH chat AS ({_CHANGED}), versions AS (
        DELETE FROM message_versions WHERE chat_id = CAST(:chat_id AS uuid) AND seq = :seq
    )
    UPDATE messages AS m SET content = '', deleted_at = clock_timestamp(), change_seq = last_change_seq
    FROM chat WHERE m.chat_id = chat.id AND m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq RETURNING {SHOWN}
""")  # noqa: S608


def edit(session: Session, chat_id: str, *, seq: int, user_id: str, content: str) -> Mapping[Any, Any]:
    """Have a message say something else; answers it. What it said is kept. The same text again changes nothing.

    Raises:
        ChatNotFound: the editor is not in it.
        MessageNotFound: there is none that the editor may see.
        NotYourMessage: the editor has not written it.
        MessageDeleted: it says nothing any more.
    """
    message = _held(session, chat_id, seq=seq, user_id=user_id)[1]
    if message["sender_id"] != user_id:
        raise NotYourMessage
    if message["deleted_at"] is not None:
        raise MessageDeleted
    if message["content"] == content:
        return message
    given = {"chat_id": chat_id, "seq": seq, "content": content, "preview": preview(content)}
    edited = session.execute(_EDIT, given).mappings().one()
    summaries.disturbed(session, chat_id, seq=seq)
    touched(session, chat_id=chat_id, kind=Kind.EDITED, seq=seq, user_id=user_id)
    return edited


def delete(session: Session, chat_id: str, *, seq: int, user_id: str) -> Mapping[Any, Any]:
    """Make a tombstone of a message; answers it. Done twice, it is done once.

    Whoever wrote it may, and so may an admin, except in a chat of two.

    Raises:
        ChatNotFound, MessageNotFound: as for `edit`.
        NotYourMessage: they may not.
    """
    member, message = _held(session, chat_id, seq=seq, user_id=user_id)
    is_admin = member["role"] == MemberRole.ADMIN and member["type"] != ChatType.ONE_TO_ONE
    if message["sender_id"] != user_id and not is_admin:
        raise NotYourMessage
    if message["deleted_at"] is not None:
        return message
    deleted = session.execute(_DELETE, {"chat_id": chat_id, "seq": seq, "preview": ""}).mappings().one()
    summaries.disturbed(session, chat_id, seq=seq)
    touched(session, chat_id=chat_id, kind=Kind.DELETED, seq=seq, user_id=user_id)
    return deleted


def _held(session: Session, chat_id: str, *, seq: int, user_id: str) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    """The member and the message, both as nobody else can change them until the commit."""
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    given = {"chat_id": chat_id, "seq": seq, "joined_seq": member["joined_seq"]}
    message = session.execute(_ONE, given).mappings().one_or_none()
    if message is None:
        raise MessageNotFound
    return member, message

"""Departures: what becomes of chats, and of what was said in them, when an account ends.

It leaves the chats in which others are, and its messages there become tombstones: numbers stay without gaps, and what
others have answered stays where it was. Chats in which it was alone, or alone with the AI, go as a whole. All but the
leaving is done in pieces, by the dispatcher.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import summaries
from models.touched import Kind, touched
from models.users import AI_ID

# Locked in the order of their ids, as by everybody who locks more than one.
_LEAVE = text("""
    WITH held AS MATERIALIZED (
        SELECT chats.id FROM chats JOIN chat_members AS mine ON mine.chat_id = chats.id
        WHERE mine.user_id = CAST(:user_id AS uuid) AND EXISTS (
            SELECT FROM chat_members AS other WHERE other.chat_id = chats.id
            AND other.user_id NOT IN (CAST(:user_id AS uuid), CAST(:ai AS uuid)))
        ORDER BY chats.id LIMIT :most FOR NO KEY UPDATE OF chats
    )
    DELETE FROM chat_members USING held WHERE chat_id = held.id AND user_id = CAST(:user_id AS uuid)
    RETURNING chat_id::text
""")
_SUCCEED = text("""
    UPDATE chat_members SET role = 'admin' FROM unnest(CAST(:chat_ids AS uuid[])) AS left_chats (id)
    JOIN chats USING (id), LATERAL (
        SELECT user_id FROM chat_members WHERE chat_id = chats.id AND user_id <> CAST(:ai AS uuid)
        ORDER BY joined_at, user_id LIMIT 1
    ) AS eldest
    WHERE type = 'group' AND chat_members.chat_id = chats.id AND chat_members.user_id = eldest.user_id
    AND NOT EXISTS (SELECT FROM chat_members AS admin WHERE admin.chat_id = chats.id AND admin.role = 'admin')
""")
# Those whom everybody has left at the same time.
_CLOSE = text("""
    DELETE FROM chats WHERE id = ANY(CAST(:chat_ids AS uuid[])) AND NOT EXISTS (
        SELECT FROM chat_members WHERE chat_id = chats.id AND user_id <> CAST(:ai AS uuid))
""")


def leave(session: Session, user_id: str, *, most: int) -> bool:
    """Leave up to ``most`` chats in which others are; whether there may be more."""
    chat_ids = list(session.execute(_LEAVE, {"user_id": user_id, "ai": AI_ID, "most": most}).scalars())
    if chat_ids:
        for statement in (_SUCCEED, _CLOSE):
            session.execute(statement, {"chat_ids": chat_ids, "ai": AI_ID})
    for chat_id in chat_ids:
        touched(session, chat_id=chat_id, kind=Kind.MEMBERS, user_id=user_id)
    return len(chat_ids) == most


_OWN_CHAT = text("""
    SELECT chats.id::text FROM chats JOIN chat_members ON chat_id = chats.id
    WHERE user_id = CAST(:user_id AS uuid) ORDER BY chats.id LIMIT 1 FOR UPDATE OF chats
""")
_EMPTY = text("""
    DELETE FROM messages WHERE chat_id = CAST(:chat_id AS uuid) AND seq = ANY(ARRAY(
        SELECT seq FROM messages WHERE chat_id = CAST(:chat_id AS uuid) ORDER BY seq LIMIT :most))
""")
_ERASE = text("DELETE FROM chats WHERE id = CAST(:chat_id AS uuid)")
_SAID_IN = text("""
    SELECT chats.id::text FROM chats WHERE id = (
        SELECT chat_id FROM messages WHERE sender_id = CAST(:user_id AS uuid) AND deleted_at IS NULL
        ORDER BY chat_id LIMIT 1)
    FOR NO KEY UPDATE
""")
_TAKE_BACK = text("""
    WITH mine AS (
        SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM messages
        WHERE chat_id = CAST(:chat_id AS uuid) AND sender_id = CAST(:user_id AS uuid) AND deleted_at IS NULL
        ORDER BY seq LIMIT :most
    ), chat AS (
        UPDATE chats SET last_change_seq = last_change_seq + (SELECT count(*) FROM mine),
            last_message_preview = CASE WHEN last_seq IN (SELECT seq FROM mine) THEN '' ELSE last_message_preview END
        WHERE id = CAST(:chat_id AS uuid) RETURNING id, last_change_seq - (SELECT count(*) FROM mine) AS before
    ), versions AS (
        DELETE FROM message_versions AS v USING mine WHERE v.chat_id = CAST(:chat_id AS uuid) AND v.seq = mine.seq
    )
    UPDATE messages AS m SET content = '', deleted_at = clock_timestamp(), change_seq = before + place
    FROM chat, mine WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq = mine.seq RETURNING m.seq
""")


def some(session: Session, user_id: str, *, most: int) -> bool:
    """Erase up to ``most`` of what an ended account has left in chats; whether there may be more."""
    if leave(session, user_id, most=most):
        return True
    given = {"user_id": user_id, "most": most}
    own = session.execute(_OWN_CHAT, given).scalar_one_or_none()
    if own is not None:
        _erase_some(session, own, most=most)
        return True
    chat_id = session.execute(_SAID_IN, given).scalar_one_or_none()
    if chat_id is None:
        return False
    taken_back = list(session.execute(_TAKE_BACK, {**given, "chat_id": chat_id}).scalars())
    if taken_back:
        summaries.disturbed(session, chat_id, seq=min(taken_back))
    for seq in taken_back:
        touched(session, chat_id=chat_id, kind=Kind.DELETED, seq=seq, user_id=user_id)
    return True


def _erase_some(session: Session, chat_id: str, *, most: int) -> None:
    given = {"chat_id": chat_id, "most": most}
    if session.execute(_EMPTY, given).rowcount < most:  # type: ignore[attr-defined]
        session.execute(_ERASE, given)
        touched(session, chat_id=chat_id, kind=Kind.ERASED)

"""Regenerations: another answer in the place of one that the AI has given. What it said before is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members, replies, summaries
from models.ai_errors import NothingToAnswer
from models.errors import MessageDeleted, MessageNotFound
from models.jobs import JobType, Purpose
from models.messages import MESSAGE_CHARACTERS, preview
from models.settings import Settings
from models.touched import Kind, touched
from models.users import AI_ID

_ASKED = text(f"""
    SELECT m.is_ai, m.deleted_at, asked.content,
           (SELECT id::text FROM jobs WHERE jobs.chat_id = m.chat_id AND purpose = '{Purpose.REGENERATION}'
            AND finished_at IS NULL AND up_to_seq = m.seq LIMIT 1) AS under_way
    FROM messages AS m
    LEFT JOIN messages AS asked ON asked.chat_id = m.chat_id AND asked.seq = m.reply_to AND NOT asked.is_ai
        AND asked.seq > :joined_seq AND asked.deleted_at IS NULL
    WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq AND m.seq > :joined_seq
""")  # noqa: S608
_CREATE = text(f"{replies.CREATE} RETURNING id::text")


def request(session: Session, chat_id: str, *, seq: int, user_id: str, settings: Settings) -> tuple[str, bool]:
    """Have the AI answer anew what it has answered with this message: ``(job id, whether it is new)``.

    Raises:
        ChatNotFound, MessageNotFound: there is none that they may see.
        MessageDeleted: it says nothing any more.
        NothingToAnswer: it is no answer of the AI, or what it answers is gone.
        AiOff, AiNotForYou: they may not call it.
    """
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    replies.check_may_call(member)
    given = {"chat_id": chat_id, "seq": seq, "joined_seq": member["joined_seq"]}
    asked = session.execute(_ASKED, given).mappings().one_or_none()
    if asked is None:
        raise MessageNotFound
    if asked["deleted_at"] is not None:
        raise MessageDeleted
    if not asked["is_ai"] or asked["content"] is None:
        raise NothingToAnswer
    if asked["under_way"] is not None:
        return str(asked["under_way"]), False
    what = {"purpose": Purpose.REGENERATION, "type": JobType.CHAT, "message": asked["content"], "up_to_seq": seq}
    return str(session.scalar(_CREATE, replies.row_of(member, settings, **what))), True


_REPLACE = text(f"""
    WITH held AS (
        SELECT chat_id, seq, content FROM messages WHERE chat_id = CAST(:chat_id AS uuid) AND seq = :seq
        AND sender_id = '{AI_ID}' AND deleted_at IS NULL AND content <> :content
    ), chat AS (
        UPDATE chats SET last_change_seq = last_change_seq + 1,
            last_message_preview = CASE WHEN last_seq = :seq THEN :preview ELSE last_message_preview END
        FROM held WHERE chats.id = held.chat_id RETURNING id, last_change_seq
    ), version AS (
        INSERT INTO message_versions (chat_id, seq, version, content)
        SELECT chat_id, seq, 1 + (SELECT count(*) FROM message_versions AS v
                                  WHERE v.chat_id = held.chat_id AND v.seq = held.seq), content
        FROM held
    )
    UPDATE messages AS m SET content = :content, status = 'complete', job_id = CAST(:job_id AS uuid),
        edited_at = clock_timestamp(), change_seq = last_change_seq
    FROM chat WHERE m.chat_id = chat.id AND m.chat_id = CAST(:chat_id AS uuid) AND m.seq = :seq RETURNING m.seq
""")  # noqa: S608


def settle(session: Session, completed: Sequence[Mapping[str, Any]]) -> None:
    """Put new answers in the place of old ones. What was deleted meanwhile stays deleted. By `models.purposes`."""
    for row in completed:
        content = row["result"][:MESSAGE_CHARACTERS]
        given = {"chat_id": row["chat_id"], "seq": row["up_to_seq"], "content": content, "preview": preview(content)}
        if session.execute(_REPLACE, {**given, "job_id": row["id"]}).one_or_none() is not None:
            summaries.disturbed(session, row["chat_id"], seq=row["up_to_seq"])
            touched(session, chat_id=row["chat_id"], kind=Kind.EDITED, seq=row["up_to_seq"], user_id=AI_ID)

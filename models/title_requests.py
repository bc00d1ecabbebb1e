"""Title requests: a model asked for a chat's title because somebody wants another one.

Whoever asks gives up the title that there is, be it a person's: from then on it counts as one that a better one may
replace (`models.titles`), and whoever then writes a title has the last word again.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members, replies, titles
from models.ai_errors import NothingToName
from models.chats import ChatType, TitleSource
from models.errors import NotAGroup, NotChatAdmin
from models.jobs import JobType, Purpose
from models.members import MemberRole
from models.settings import Settings
from models.touched import Kind, touched

_FIRST = text(f"""
    SELECT seq, left(content, {titles.READ_CHARACTERS}) AS content,
           (SELECT id::text FROM jobs WHERE jobs.chat_id = m.chat_id AND purpose = '{Purpose.TITLE}'
            AND finished_at IS NULL LIMIT 1) AS under_way
    FROM messages AS m WHERE chat_id = CAST(:chat_id AS uuid) AND seq > :joined_seq AND NOT is_ai
    AND deleted_at IS NULL ORDER BY seq LIMIT 1
""")  # noqa: S608
_GIVE_UP = text(f"""
    UPDATE chats SET title_source = '{TitleSource.AUTO}' WHERE id = CAST(:chat_id AS uuid) AND title IS NOT NULL
""")  # noqa: S608
_CREATE = text(f"{replies.CREATE} RETURNING id::text")


def request(session: Session, chat_id: str, *, user_id: str, settings: Settings) -> tuple[str, bool]:
    """Have a model find a title: ``(job id, whether it is new)``.

    Made of the first message of a person that who asks may see.

    Raises:
        ChatNotFound, NotChatAdmin, NotAGroup: they may not, or it is of two, who have no title.
        AiOff, AiNotForYou: they may not call the AI.
        NothingToName: nobody has said anything.
    """
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    if member["type"] == ChatType.ONE_TO_ONE:
        raise NotAGroup
    if member["role"] != MemberRole.ADMIN:
        raise NotChatAdmin
    replies.check_may_call(member)
    given = {"chat_id": chat_id, "joined_seq": member["joined_seq"]}
    first = session.execute(_FIRST, given).mappings().one_or_none()
    if first is None:
        raise NothingToName
    session.execute(_GIVE_UP, given)
    touched(session, chat_id=chat_id, kind=Kind.CHAT)
    if first["under_way"] is not None:
        return str(first["under_way"]), False
    what = {"purpose": Purpose.TITLE, "type": JobType.CHAT, "message": first["content"], "up_to_seq": first["seq"]}
    rest = {"priority": 0, "max_attempts": titles.MAX_ATTEMPTS, "deadline_seconds": titles.DEADLINE_SECONDS}
    row = replies.row_of(member, settings, **what, **rest, ttl_seconds=None)
    return str(session.scalar(_CREATE, row)), True

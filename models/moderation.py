"""Moderation: who is in a group, what it is called, when the AI answers there; and who may say so.

All of it is done under the lock of the chat's row: a group is never without an admin as long as anybody is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import base, members
from models.chats import MOST_MEMBERS, AiMode, ChatType, TitleSource
from models.errors import GroupFull, LastAdmin, MemberNotFound, NotAGroup, NotChatAdmin
from models.members import MemberRole
from models.touched import Kind, touched
from models.users import AI_ID

ERASE_SECONDS = 30.0
"""A group that its last member leaves goes with all that was said in it, which can be much."""

_ADD = text("""
    INSERT INTO chat_members (user_id, chat_id, joined_seq, last_read_seq)
    SELECT member, chats.id, CASE WHEN hides_history THEN last_seq ELSE 0 END, last_seq
    FROM chats, unnest(CAST(:members AS uuid[])) AS given (member) WHERE chats.id = CAST(:chat_id AS uuid)
    ORDER BY member ON CONFLICT DO NOTHING RETURNING user_id::text
""")
_PEOPLE = text("""
    SELECT count(*) AS number, count(*) FILTER (WHERE role = 'admin') AS admins FROM chat_members
    WHERE chat_id = CAST(:chat_id AS uuid) AND user_id <> CAST(:ai AS uuid)
""")
_REMOVE = text("""
    DELETE FROM chat_members WHERE chat_id = CAST(:chat_id AS uuid) AND user_id = CAST(:member_id AS uuid)
    AND user_id <> CAST(:ai AS uuid) RETURNING user_id
""")
_PROMOTE = text("""
    UPDATE chat_members SET role = 'admin' WHERE chat_id = CAST(:chat_id AS uuid) AND user_id = (
        SELECT user_id FROM chat_members WHERE chat_id = CAST(:chat_id AS uuid) AND user_id <> CAST(:ai AS uuid)
        ORDER BY joined_at, user_id LIMIT 1)
""")
_ERASE = text("DELETE FROM chats WHERE id = CAST(:chat_id AS uuid)")
_SET_ROLE = text("""
    UPDATE chat_members SET role = :role WHERE chat_id = CAST(:chat_id AS uuid) AND user_id = CAST(:member_id AS uuid)
    AND user_id <> CAST(:ai AS uuid) RETURNING user_id
""")


def add(session: Session, chat_id: str, *, user_id: str, member_ids: Collection[str]) -> Sequence[str]:
    """Take people into a group; answers those who were not in it before.

    Args:
        member_ids: people who are there, as `models.users.named` gives them.

    Raises:
        ChatNotFound, NotAGroup, NotChatAdmin: this user may not.
        GroupFull: with them there would be more than `MOST_MEMBERS`.
    """
    _administered(session, chat_id, user_id=user_id)
    added = list(session.execute(_ADD, {"chat_id": chat_id, "members": sorted(member_ids)}).scalars())
    if session.execute(_PEOPLE, _in(chat_id)).one().number > MOST_MEMBERS:
        raise GroupFull(MOST_MEMBERS)
    for member_id in added:
        touched(session, chat_id=chat_id, kind=Kind.MEMBERS, user_id=member_id)
    return added


def remove(session: Session, chat_id: str, *, user_id: str, member_id: str) -> None:
    """Have somebody leave a group. From the commit on they find nothing of it.

    Raises:
        ChatNotFound, NotAGroup, NotChatAdmin: this user may not. Anybody may remove themselves.
        MemberNotFound: they are not in it.
    """
    if member_id == user_id:
        _group(session, chat_id, user_id=user_id)
    else:
        _administered(session, chat_id, user_id=user_id)
    left(session, chat_id, member_id=member_id)


def left(session: Session, chat_id: str, *, member_id: str) -> None:
    """Take a member out of a chat whose row is locked; for `models` only.

    The last admin is followed by who has been there longest, and after the last member nothing is left of the chat.

    Raises:
        MemberNotFound: they are not in it.
    """
    given = {**_in(chat_id), "member_id": member_id}
    if session.execute(_REMOVE, given).one_or_none() is None:
        raise MemberNotFound
    touched(session, chat_id=chat_id, kind=Kind.MEMBERS, user_id=member_id)
    people = session.execute(_PEOPLE, given).one()
    if people.number == 0:
        base.take_time(session, seconds=ERASE_SECONDS)
        session.execute(_ERASE, given)
        touched(session, chat_id=chat_id, kind=Kind.ERASED)
    elif people.admins == 0:
        session.execute(_PROMOTE, given)


def set_role(session: Session, chat_id: str, *, user_id: str, member_id: str, role: MemberRole) -> None:
    """Say what a member of a group may do to it.

    Raises:
        ChatNotFound, NotAGroup, NotChatAdmin: this user may not.
        MemberNotFound: they are not in it.
        LastAdmin: then there would be none.
    """
    _administered(session, chat_id, user_id=user_id)
    given = {**_in(chat_id), "member_id": member_id, "role": role}
    if session.execute(_SET_ROLE, given).one_or_none() is None:
        raise MemberNotFound
    if session.execute(_PEOPLE, given).one().admins == 0:
        raise LastAdmin
    touched(session, chat_id=chat_id, kind=Kind.MEMBERS, user_id=member_id)


_CHANGE = text("""
    UPDATE chats SET title = COALESCE(:title, title), title_source = COALESCE(:title_source, title_source),
        ai_mode = COALESCE(:ai_mode, ai_mode), ai_callers = COALESCE(:ai_callers, ai_callers),
        hides_history = COALESCE(CAST(:hides_history AS boolean), hides_history),
        reuses_answers = COALESCE(CAST(:reuses_answers AS boolean), reuses_answers)
    WHERE id = CAST(:chat_id AS uuid)
""")
_LET_IN = text("""
    INSERT INTO chat_members (user_id, chat_id) VALUES (CAST(:ai AS uuid), CAST(:chat_id AS uuid))
    ON CONFLICT DO NOTHING
""")
_SHUT_OUT = text("DELETE FROM chat_members WHERE chat_id = CAST(:chat_id AS uuid) AND user_id = CAST(:ai AS uuid)")
_OF_GROUPS = frozenset({"title", "ai_callers", "hides_history"})


def change(session: Session, chat_id: str, *, user_id: str, **changes: Any) -> None:
    """Change ``title``, ``ai_mode``, ``ai_callers``, ``hides_history`` or ``reuses_answers``; the others stay.

    A chat with the AI has no callers and no history to hide, a chat of two no title either; either may change it.

    Raises:
        ChatNotFound, NotChatAdmin: this user may not.
        NotAGroup: nobody may, in such a chat.
    """
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    fixed = {ChatType.GROUP: frozenset(), ChatType.AI: _OF_GROUPS - {"title"}, ChatType.ONE_TO_ONE: _OF_GROUPS}
    if fixed[member["type"]] & changes.keys():
        raise NotAGroup
    if member["role"] != MemberRole.ADMIN and member["type"] != ChatType.ONE_TO_ONE:
        raise NotChatAdmin
    usual = dict.fromkeys(("title", "ai_mode", "ai_callers", "hides_history", "reuses_answers"))
    source = TitleSource.USER if "title" in changes else None
    session.execute(_CHANGE, {**usual, **changes, "chat_id": chat_id, "title_source": source})
    if "ai_mode" in changes:
        session.execute(_SHUT_OUT if changes["ai_mode"] == AiMode.OFF else _LET_IN, _in(chat_id))
        touched(session, chat_id=chat_id, kind=Kind.MEMBERS, user_id=AI_ID)
    touched(session, chat_id=chat_id, kind=Kind.CHAT)


def _administered(session: Session, chat_id: str, *, user_id: str) -> Mapping[Any, Any]:
    group = _group(session, chat_id, user_id=user_id)
    if group["role"] != MemberRole.ADMIN:
        raise NotChatAdmin
    return group


def _group(session: Session, chat_id: str, *, user_id: str) -> Mapping[Any, Any]:
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    if member["type"] != ChatType.GROUP:
        raise NotAGroup
    return member


def _in(chat_id: str) -> dict[str, object]:
    return {"chat_id": chat_id, "ai": AI_ID}

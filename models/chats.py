"""Chats: rooms in which people talk to the AI, to one another, or both.

    ai       one person and the AI, which answers each message
    1_to_1   two people; there is one such chat for each pair
    group    people who come and go, with a title

``last_seq`` counts the messages of a chat and ``last_change_seq`` whatever happened to them. Both are moved under
the row's lock and by `models.messages` alone: that is what makes a chat's numbers free of gaps.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import hashlib
import hmac
import re
from collections.abc import Collection

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.base import Bare, Base, stored_by_value
from models.errors import ChatNotFound, NotWithYourself, TooManyMembers
from models.touched import Kind, touched
from models.users import AI_ID

MOST_MEMBERS = 500
"""People in a group; the AI is not counted."""
ROOM_HASH = re.compile(r"[A-Z2-7]{26}")
TITLE_CHARACTERS = 120
PREVIEW_CHARACTERS = 120


class ChatType(enum.StrEnum):
    """Who is in it."""

    AI = "ai"
    ONE_TO_ONE = "1_to_1"
    GROUP = "group"


class TitleSource(enum.StrEnum):
    """Who has written its title: a better author is not overwritten by a worse one."""

    NONE = "none"
    AUTO = "auto"
    """The beginning of its first message."""
    MODEL = "model"
    USER = "user"


class AiMode(enum.StrEnum):
    """Which messages of people call the AI."""

    OFF = "off"
    MENTION = "mention"
    """Those that say ``@AI``."""
    ALWAYS = "always"


class AiCallers(enum.StrEnum):
    """Whose messages may."""

    ALL = "all"
    ADMINS = "admins"


class Chat(Base):
    """One room."""

    __tablename__ = "chats"
    __table_args__ = (
        CheckConstraint("(type = '1_to_1') = (low_user_id IS NOT NULL)", name="pair_iff_1_to_1"),
        CheckConstraint("(low_user_id IS NULL) = (high_user_id IS NULL)", name="pair_has_two"),
        CheckConstraint("low_user_id < high_user_id", name="pair_in_order"),
        CheckConstraint("(title IS NULL) = (title_source = 'none')", name="title_has_source"),
        CheckConstraint(f"char_length(title) BETWEEN 1 AND {TITLE_CHARACTERS}", name="title_length"),
        CheckConstraint("last_seq >= 0 AND last_change_seq >= last_seq", name="counters_in_range"),
        Index("uq_chats_room_hash", "room_hash", unique=True),
        Index("uq_chats_chat_no", "chat_no", unique=True),
        Index(
            "uq_chats_pair",
            "low_user_id",
            "high_user_id",
            unique=True,
            postgresql_where=text("low_user_id IS NOT NULL"),
        ),
        # Each message writes this row: with room left in its page, and no index on what moves, it stays a HOT update.
        {"postgresql_with": {"fillfactor": "60", "autovacuum_vacuum_scale_factor": "0.02"}},
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    """A version 7 UUID. Knowing it is no permission."""
    chat_no: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """The same chat as a number, for those who count them."""
    room_hash: Mapped[str] = mapped_column(Text)
    """The same chat as a name that tells nothing of who is in it; accepted wherever the id is."""
    type: Mapped[ChatType] = mapped_column(stored_by_value(ChatType))
    title: Mapped[str | None] = mapped_column(Text)
    title_source: Mapped[TitleSource] = mapped_column(stored_by_value(TitleSource), server_default=TitleSource.NONE)
    ai_mode: Mapped[AiMode] = mapped_column(stored_by_value(AiMode))
    ai_callers: Mapped[AiCallers] = mapped_column(stored_by_value(AiCallers), server_default=AiCallers.ALL)
    hides_history: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether who joins sees only what comes from then on."""
    reuses_answers: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether the AI may say again what it has said to the very same prompt."""
    created_by: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    low_user_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    """Of a pair, whose id is the lower one."""
    high_user_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The number of its newest message: how many there have been."""
    last_change_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The number of the newest change: a message, an edit, a deletion."""
    last_message_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    """Never goes back; before the first message, when the chat was made."""
    last_message_preview: Mapped[str | None] = mapped_column(Text)
    """How the newest message begins."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())


def room_hash(names: str, *, key: str) -> str:
    """The name of a chat that tells nothing of it: 130 bits that nobody can guess.

    Args:
        names: its id, or the two ids of a pair, the lower one first.
        key: of this installation. Hashes are stored, so another key is for new chats only.

    >>> room_hash("0197a2f0-0000-7000-8000-000000000001", key="k" * 32)
    'JPVDVZRBP7UJWFHUU6COCAIQ7H'
    """
    # Not what access tokens are signed with: neither may pass for the other.
    made = hmac.digest(key.encode(), b"parley room " + names.encode(), hashlib.sha256)
    return base64.b32encode(made).decode()[:26]


_OF_HASH = text("SELECT id::text AS id FROM chats WHERE room_hash = :room_hash")


def id_of(session: Session | Bare, room_hash: str) -> str:
    """The id of the chat of this name. Who knows either may do nothing with it yet.

    Raises:
        ChatNotFound: there is none.
    """
    chat = session.execute(_OF_HASH, {"room_hash": room_hash}).mappings().one_or_none()
    if chat is None:
        raise ChatNotFound
    return str(chat["id"])


_NEW_ID = text("SELECT uuidv7()::text")
_CREATE = text("""
    INSERT INTO chats (id, room_hash, type, title, title_source, ai_mode, ai_callers, hides_history, created_by,
                       low_user_id, high_user_id)
    VALUES (CAST(:id AS uuid), :room_hash, :type, :title, :title_source, :ai_mode, :ai_callers, :hides_history,
            CAST(:created_by AS uuid), CAST(:low AS uuid), CAST(:high AS uuid))
    ON CONFLICT DO NOTHING RETURNING id
""")
_FILL = text("""
    INSERT INTO chat_members (chat_id, user_id, role)
    SELECT CAST(:id AS uuid), member, CASE WHEN member = CAST(:admin AS uuid) THEN 'admin' ELSE 'member' END
    FROM unnest(CAST(:members AS uuid[])) AS given (member) ORDER BY member
""")
_OF_PAIR = text("""
    SELECT id::text FROM chats WHERE low_user_id = CAST(:low AS uuid) AND high_user_id = CAST(:high AS uuid)
""")


def create_ai(  # noqa: PLR0913
    session: Session,
    *,
    user_id: str,
    key: str,
    title: str | None = None,
    ai_mode: AiMode = AiMode.ALWAYS,
    chat_id: str | None = None,
) -> str:
    """Make a chat of one person with the AI; answers its id.

    Args:
        key: for `room_hash`.
        chat_id: that it is to have; if there is one with this id, it stays as it is.
    """
    chat_id = chat_id or str(session.execute(_NEW_ID).scalar_one())
    facts: dict[str, object] = {
        "id": chat_id,
        "room_hash": room_hash(chat_id, key=key),
        "type": ChatType.AI,
        "title": title,
    }
    _store(session, facts | {"created_by": user_id, "ai_mode": ai_mode}, [user_id], admin=user_id)
    return chat_id


def create_pair(
    session: Session, *, user_id: str, other_id: str, key: str, ai_mode: AiMode = AiMode.MENTION
) -> tuple[str, bool]:
    """The one chat of two people: ``(its id, whether it is new)``. However many ask for it at once, there is one.

    Raises:
        NotWithYourself: both are the same.
    """
    low, high = sorted((user_id, other_id))
    if low == high:
        raise NotWithYourself
    pair = {"low": low, "high": high}
    made = session.execute(_OF_PAIR, pair).scalar_one_or_none()
    if made is not None:
        return str(made), False
    chat_id = session.execute(_NEW_ID).scalar_one()
    facts = {"id": chat_id, "room_hash": room_hash(f"{low}:{high}", key=key), "type": ChatType.ONE_TO_ONE, **pair}
    if _store(session, facts | {"created_by": user_id, "ai_mode": ai_mode}, [low, high], admin=None):
        return str(chat_id), True
    return str(session.execute(_OF_PAIR, pair).scalar_one()), False


def create_group(  # noqa: PLR0913
    session: Session,
    *,
    user_id: str,
    member_ids: Collection[str],
    title: str,
    key: str,
    ai_mode: AiMode = AiMode.MENTION,
    ai_callers: AiCallers = AiCallers.ALL,
    hides_history: bool = False,
) -> str:
    """Make a group, whose admin is who makes it; answers its id.

    Args:
        member_ids: people who are there, as `models.users.named` gives them.

    Raises:
        TooManyMembers: more than `MOST_MEMBERS`.
    """
    members = {user_id, *member_ids}
    if len(members) > MOST_MEMBERS:
        raise TooManyMembers(MOST_MEMBERS)
    chat_id = session.execute(_NEW_ID).scalar_one()
    facts = {"id": chat_id, "room_hash": room_hash(chat_id, key=key), "type": ChatType.GROUP, "title": title}
    facts |= {"created_by": user_id, "ai_mode": ai_mode, "ai_callers": ai_callers, "hides_history": hides_history}
    _store(session, facts, members, admin=user_id)
    return str(chat_id)


def _store(session: Session, facts: dict[str, object], members: Collection[str], *, admin: str | None) -> bool:
    """Store a chat and its members; False if another was faster."""
    usual = {"title": None, "ai_callers": AiCallers.ALL, "hides_history": False, "low": None, "high": None}
    source = TitleSource.USER if facts.get("title") else TitleSource.NONE
    if session.execute(_CREATE, {**usual, **facts, "title_source": source}).one_or_none() is None:
        return False
    everybody = members if facts["ai_mode"] == AiMode.OFF else {*members, AI_ID}
    session.execute(_FILL, {"id": facts["id"], "members": list(everybody), "admin": admin})
    touched(session, chat_id=str(facts["id"]), kind=Kind.MEMBERS)
    return True

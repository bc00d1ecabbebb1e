"""Summaries: what has been said in a chat so far, in few words, rolled forward step by step.

A summary covers the messages up to ``summarized_seq``; what comes after is shown to the model as it is. A new one
replaces the old one by compare-and-set on ``version``, and the old one is kept. How one is made stands in
`models.summary_steps`, and when, in `models.summary_jobs`.

An edit or a deletion of a message that is in the summary throws it back at once: to the newest version that
knew nothing of that message. Since that is always done at once, any version made later is clean, and
so is the newest that ends before a given message, whatever came in between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, members
from models.base import Bare, Base
from models.chats import ChatType
from models.errors import NotChatAdmin
from models.members import MemberRole
from models.touched import Kind, touched


class ChatContext(Base):
    """The summary of one chat as it stands; no row: the AI has had no reason to make one."""

    __tablename__ = "ai_cache_contexts"
    __table_args__ = (
        CheckConstraint("summarized_seq >= 0 AND version >= 0 AND failures >= 0", name="counters_in_range"),
    )

    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    rolling_summary_text: Mapped[str] = mapped_column(Text, server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """``decisions``, ``open_questions`` and ``facts_by_user``, as the model gave them."""
    summarized_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The newest message in it."""
    version: Mapped[int] = mapped_column(server_default="0")
    """Only ever grows, with a reset too."""
    is_stale: Mapped[bool] = mapped_column(server_default=text("false"))
    """An edit or a deletion has thrown it back, and it has not caught up since."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """Steps in a row that came to nothing."""
    failed_at: Mapped[dt.datetime | None]
    """When the last of them did."""
    model: Mapped[str | None] = mapped_column(Text)
    tokens: Mapped[int | None]
    """Of the step that made it, asked and answered."""
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())


class PastSummary(Base):
    """A summary that a later one has replaced."""

    __tablename__ = "past_summaries"

    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rolling_summary_text: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    summarized_seq: Mapped[int] = mapped_column(BigInteger)
    model: Mapped[str | None] = mapped_column(Text)
    made_at: Mapped[dt.datetime]


FAILURES_BEFORE_PAUSE = 3
"""Then a chat's summary rests for a while: a model that cannot do it is not asked again and again."""
PAUSE_MINUTES, MOST_DOUBLINGS = 10, 7
"""The first pause, and how often it may double: to 21 hours."""
RESTS = f"""(context.failures >= {FAILURES_BEFORE_PAUSE} AND context.failed_at + interval '{PAUSE_MINUTES} minutes'
    * power(2, LEAST(context.failures - {FAILURES_BEFORE_PAUSE}, {MOST_DOUBLINGS})) > clock_timestamp())"""
"""Of ``ai_cache_contexts AS context``."""

_CURRENT = text(f"""
    SELECT COALESCE(rolling_summary_text, '') AS rolling_summary_text, COALESCE(details, '{{}}') AS details,
           COALESCE(summarized_seq, 0) AS summarized_seq, COALESCE(version, 0) AS version,
           COALESCE(is_stale, false) AS is_stale, COALESCE({RESTS}, false) AS rests, model,
           CASE WHEN version > 0 THEN updated_at END AS updated_at, last_seq, last_change_seq
    FROM chats LEFT JOIN ai_cache_contexts AS context ON chat_id = chats.id WHERE chats.id = CAST(:chat_id AS uuid)
""")  # noqa: S608


def current(session: Session | Bare, chat_id: str) -> Mapping[str, Any]:
    """The summary as it stands, and the chat's ``last_seq``; of a chat that has none, an empty one of version 0.

    For whoever may read all of the chat: a member who does not see its beginning must not see this either.

    Raises:
        LookupError: there is no such chat.
    """
    row = session.execute(_CURRENT, {"chat_id": chat_id}).mappings().one_or_none()
    if row is None:
        raise LookupError(chat_id)
    return row  # type: ignore[return-value]


def shown(session: Session | Bare, chat_id: str, *, reader: str) -> Mapping[Any, Any]:
    """The same for a member, with ``is_withheld``: it is kept from who may not see what it is made of.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    joined_seq = members.member_of(session, chat_id, user_id=reader)["joined_seq"]
    state = current(session, chat_id)
    is_withheld = joined_seq > 0 and state["summarized_seq"] > 0
    return {**state, "is_withheld": is_withheld, **(_BLANK if is_withheld else {})}


_BLANK: Mapping[str, Any] = {"rolling_summary_text": "", "details": {}}
_HISTORY = text("""
    SELECT version, rolling_summary_text, details, summarized_seq, model, made_at FROM past_summaries
    WHERE chat_id = CAST(:chat_id AS uuid) AND (CAST(:below AS bigint) IS NULL OR version < CAST(:below AS bigint))
    ORDER BY version DESC LIMIT :limit
""")


def history(
    session: Session | Bare, chat_id: str, *, reader: str, limit: int, below: int | None = None
) -> Sequence[Mapping[Any, Any]]:
    """Summaries that later ones have replaced, the newest first; none for who may not see what they are made of.

    Args:
        below: version of the last one already seen.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    if members.member_of(session, chat_id, user_id=reader)["joined_seq"] > 0:
        return []
    return session.execute(_HISTORY, {"chat_id": chat_id, "limit": limit, "below": below}).mappings().all()


PUT_AWAY = """
    INSERT INTO past_summaries (chat_id, version, rolling_summary_text, details, summarized_seq, model, made_at)
    SELECT chat_id, version, rolling_summary_text, details, summarized_seq, model, updated_at
    FROM replaced WHERE version > 0
"""
"""Of what is ``replaced``. Nothing was ever said by version 0."""
# What is deleted is gone from the versions that are kept, too. (What was edited is kept as it was anyway.)
_THROW_BACK = text(f"""
    WITH gone AS (
        SELECT seq FROM messages WHERE chat_id = CAST(:chat_id AS uuid) AND seq = :seq AND deleted_at IS NOT NULL
    ), replaced AS (
        SELECT * FROM ai_cache_contexts
        WHERE chat_id = CAST(:chat_id AS uuid) AND summarized_seq >= :seq FOR UPDATE
    ), clean AS (
        SELECT rolling_summary_text, details, summarized_seq, model FROM past_summaries
        WHERE chat_id = CAST(:chat_id AS uuid) AND summarized_seq < :seq ORDER BY version DESC LIMIT 1
    ), kept AS ({PUT_AWAY} AND NOT EXISTS (SELECT FROM gone)), forgotten AS (
        DELETE FROM past_summaries USING gone WHERE chat_id = CAST(:chat_id AS uuid) AND summarized_seq >= gone.seq
    )
    UPDATE ai_cache_contexts AS context SET
        rolling_summary_text = COALESCE(clean.rolling_summary_text, ''), details = COALESCE(clean.details, '{{}}'),
        summarized_seq = COALESCE(clean.summarized_seq, 0), version = context.version + 1, is_stale = true,
        model = clean.model, tokens = NULL, updated_at = clock_timestamp()
    FROM replaced LEFT JOIN clean ON true WHERE context.chat_id = replaced.chat_id RETURNING context.version
""")  # noqa: S608


def disturbed(session: Session, chat_id: str, *, seq: int) -> None:
    """Throw the summary back if it covers this message, which has just been edited or deleted.

    To be called after that, in its transaction, which holds the chat's row: a step that is
    being stored waits for it.

    Args:
        seq: of several that have been, the lowest.
    """
    renewed(session, chat_id, version=session.execute(_THROW_BACK, {"chat_id": chat_id, "seq": seq}).scalar())


def renewed(session: Session, chat_id: str, *, version: int | None) -> None:
    """Have it told that there is another summary, if there is; for `models` only."""
    if version is not None:
        touched(session, chat_id=chat_id, kind=Kind.SUMMARY, seq=version)


_RESET = text(f"""
    WITH replaced AS (
        SELECT * FROM ai_cache_contexts WHERE chat_id = CAST(:chat_id AS uuid) FOR UPDATE
    ), kept AS ({PUT_AWAY})
    UPDATE ai_cache_contexts AS context SET
        rolling_summary_text = '', details = '{{}}', summarized_seq = 0, version = context.version + 1,
        is_stale = false, failures = 0, failed_at = NULL, model = NULL, tokens = NULL, updated_at = clock_timestamp()
    FROM replaced WHERE context.chat_id = replaced.chat_id RETURNING context.version
""")  # noqa: S608


def reset(session: Session, chat_id: str, *, user_id: str) -> None:
    """Begin anew, from the first message on. A step that is under way comes too late.

    Raises:
        ChatNotFound: this user is not in it.
        NotChatAdmin: in a group that is for its admins.
    """
    member = members.member_of(session, chat_id, user_id=user_id, lock=True)
    if member["type"] == ChatType.GROUP and member["role"] != MemberRole.ADMIN:
        raise NotChatAdmin
    renewed(session, chat_id, version=session.execute(_RESET, {"chat_id": chat_id}).scalar())

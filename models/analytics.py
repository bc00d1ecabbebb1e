"""Analytics: chats that an operator may want to look into. Numbers about chats, never what is said in them.

A page walks the chats from the newest down and looks at a bounded number of them: it may have fewer than were asked
for, none even, and still not be the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models.summaries import RESTS
from models.summary_jobs import OVERLOOKED, UNSEEN

COUNTED_AT_ONCE = 500
"""Chats whose messages one page counts."""
LOOKED_AT = 5_000
"""Chats whose rows one page reads."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some chats."""

    chats: Sequence[Mapping[Any, Any]]
    end: int | None
    """``chat_no`` below which to go on; None: there are no more."""


# `last` says how far it has looked; the others are null in its row if nothing was found.
_PAGE = """
    WITH looked_at AS MATERIALIZED (
        SELECT * FROM chats WHERE CAST(:below AS bigint) IS NULL OR chat_no < CAST(:below AS bigint)
        ORDER BY chat_no DESC LIMIT :most
    ), found AS ({found} ORDER BY chats.chat_no DESC LIMIT :limit)
    SELECT last.*, found.* FROM (
        SELECT min(chat_no) AS last_no, count(*) AS looked_at FROM looked_at
    ) AS last LEFT JOIN found ON true ORDER BY found.chat_no DESC
"""
_BOT_DOMINATED = text(
    _PAGE.format(
        found="""
        SELECT chats.id::text AS chat_id, chats.chat_no, type, last_message_at, ai_messages, human_messages
        FROM looked_at AS chats CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE is_ai) AS ai_messages, count(*) FILTER (WHERE NOT is_ai) AS human_messages
            FROM messages WHERE messages.chat_id = chats.id AND deleted_at IS NULL) AS counted
        WHERE ai_messages > human_messages"""
    )
)
_STALE_SUMMARIES = text(
    _PAGE.format(
        found=f"""
        SELECT chats.id::text AS chat_id, chats.chat_no, type, last_message_at, {UNSEEN} AS unseen, last_seq,
               summarized_seq, version, is_stale, failures, {RESTS} AS rests
        FROM looked_at AS chats JOIN ai_cache_contexts AS context ON context.chat_id = chats.id
        WHERE {OVERLOOKED}"""  # noqa: S608
    )
)


def bot_dominated(session: Session, *, limit: int, below: int | None = None) -> Page:
    """Chats in which the AI has said more than people have; what was deleted does not count."""
    return _page(session, _BOT_DOMINATED, limit=limit, below=below, most=COUNTED_AT_ONCE)


def stale_summaries(session: Session, *, limit: int, below: int | None = None) -> Page:
    """Chats in which the AI was called and whose summary lacks too much: what the sweeper looks for.

    Those that stay here have failed: their steps fail, or the AI has been turned off there.
    """
    return _page(session, _STALE_SUMMARIES, limit=limit, below=below, most=LOOKED_AT)


def _page(session: Session, query: TextClause, *, limit: int, below: int | None, most: int) -> Page:
    rows = session.execute(query, {"limit": limit + 1, "below": below, "most": most}).mappings().all()
    found = [row for row in rows if row["chat_id"] is not None]
    if len(found) > limit:
        return Page(chats=found[:limit], end=found[limit - 1]["chat_no"])
    is_all = rows[0]["looked_at"] < most
    return Page(chats=found, end=None if is_all else rows[0]["last_no"])

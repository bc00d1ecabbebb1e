"""Searches: messages that hold some words, in the chats that somebody is in, the newest first.

PostgreSQL's own full text, in the row's own transaction: what can be read can be found. Words are looked for as they
are written, whatever their language; ``"two words"`` beside one another, ``or`` and ``-without`` as on the web.

Words that are everywhere would have everything read, so a search has `SEARCH_SECONDS`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import base, members
from models.errors import SearchTooBroad
from models.messages import SHOWN

SEARCH_SECONDS = 2.0
MOST_SEARCHED = 1_000
"""Chats of one person that are looked through: those that moved last."""
_CANCELLED = "57014"

Position = tuple[dt.datetime, str, int]
"""``(created_at, chat id, seq)`` of a message."""

_WHERE = text(f"""
    SELECT chats.id::text FROM chat_members JOIN chats ON chats.id = chat_members.chat_id
    WHERE chat_members.user_id = CAST(:user_id AS uuid) AND last_seq > joined_seq
    ORDER BY last_message_at DESC LIMIT {MOST_SEARCHED}
""")  # noqa: S608
# The chats are named a second time, as constants: so partitions in which there are none of them are not looked into.
_FOUND = text(f"""
    SELECT {SHOWN} FROM messages AS m
    JOIN chat_members AS mine ON mine.chat_id = m.chat_id AND mine.user_id = CAST(:user_id AS uuid)
    WHERE m.chat_id = ANY(CAST(:chat_ids AS uuid[])) AND m.seq > joined_seq AND deleted_at IS NULL
    AND to_tsvector('simple', m.content) @@ websearch_to_tsquery('simple', :words)
    AND (CAST(:at AS timestamptz) IS NULL OR (m.created_at, m.chat_id, m.seq)
         < (CAST(:at AS timestamptz), CAST(:chat_id AS uuid), CAST(:seq AS bigint)))
    ORDER BY m.created_at DESC, m.chat_id DESC, m.seq DESC LIMIT :limit
""")  # noqa: S608


def found(  # noqa: PLR0913
    session: Session,
    user_id: str,
    *,
    words: str,
    chat_id: str | None = None,
    before: Position | None = None,
    limit: int,
) -> tuple[Sequence[Mapping[Any, Any]], Position | None]:
    """At most ``limit`` messages behind ``before``, and where to go on, if there are more.

    Args:
        chat_id: only there.

    Raises:
        ChatNotFound: this user is not in that chat.
        SearchTooBroad: they could not be found in time.
    """
    given = {"user_id": user_id, "words": words, "limit": limit + 1}
    given |= dict(zip(("at", "chat_id", "seq"), before or (None, None, None), strict=True))
    if chat_id is not None:
        chat_ids = [str(members.member_of(session, chat_id, user_id=user_id)["chat_id"])]
    else:
        chat_ids = list(session.execute(_WHERE, given).scalars())
    base.take_time(session, seconds=SEARCH_SECONDS)
    try:
        messages = session.execute(_FOUND, {**given, "chat_ids": chat_ids}).mappings().all()
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == _CANCELLED:
            raise SearchTooBroad from None
        raise
    shown = messages[:limit]
    if len(messages) <= limit:
        return shown, None
    return shown, (shown[-1]["created_at"], shown[-1]["chat_id"], shown[-1]["seq"])

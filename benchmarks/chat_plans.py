"""Chat plans: how PostgreSQL means to answer what is asked for most of chats, on a load set.

`STATEMENTS` are those of the hot routes and of the worker, with what they are asked about: the longest chat of the set
and the person who is in most of them. `tests/models/test_chat_plans.py` holds their plans to reading along indexes;
``python -m benchmarks.chats --plans`` prints them as they ran.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models import (
    analytics,
    contexts,
    edits,
    members,
    messages,
    moments,
    newest,
    own_chats,
    replies,
    searches,
    summary_jobs,
    summary_steps,
    unread,
)
from models.live import chat_changes
from models.messages import MessageStatus
from models.settings import Settings
from scripts.load_set import RARE_WORD, chat_id, person_id

READER, CHAT = person_id(0), chat_id(0)
JOB = "00000000-0000-4000-8000-000000000001"
OF_CHAT: dict[str, Any] = {"chat_id": CHAT, "user_id": READER, "limit": 50, "seq": None}
_POSTED: dict[str, Any] = {
    "chat_id": CHAT,
    "sender_id": READER,
    "is_ai": False,
    "client_msg_id": str(uuid.UUID(int=7)),
    "reply_to": None,
    "joined_seq": 0,
    "content": "Hello",
    "preview": "Hello",
    "job_id": None,
    "status": MessageStatus.COMPLETE,
}
_CALLED: dict[str, Any] = replies.row_of(
    {"user_id": READER, "chat_id": CHAT}, Settings(), purpose="reply", type="chat", message="Hello", up_to_seq=2_000
)
_SEARCHED: dict[str, Any] = {
    "user_id": READER,
    "words": RARE_WORD,
    "limit": 51,
    **dict.fromkeys(("at", "chat_id", "seq")),
    "chat_ids": [CHAT],
}
STATEMENTS: dict[str, tuple[TextClause, dict[str, Any]]] = {
    "five latest chats": (own_chats._PAGE, {"user_id": READER, "at": None, "id": None, "limit": 6}),
    "one chat": (own_chats._ONE, OF_CHAT),
    "newest page": (messages._OLDER, OF_CHAT),
    "newest page, to be kept": (newest._NEWEST, OF_CHAT),
    "page further up": (messages._OLDER, OF_CHAT | {"seq": 2_000}),
    "page behind": (messages._NEWER, OF_CHAT | {"seq": 2_000}),
    "place of a time": (moments._PARTED, OF_CHAT | {"at": "2026-01-01T08:00:00Z"}),
    "changes": (messages._CHANGES, OF_CHAT | {"seq": 3_100}),
    "changes, to be kept": (chat_changes._CHANGES, {"chat_id": CHAT, "version": 3_100, "limit": 51}),
    "unread of all chats": (own_chats._COUNTS, {"user_id": READER}),
    "unread, to be kept": (unread._COUNTS, {"user_id": READER, "chat_ids": None}),
    "unread of some chats": (unread._COUNTS, {"user_id": READER, "chat_ids": [CHAT]}),
    "members": (chat_changes._MEMBERS, {"chat_id": CHAT}),
    "members, shown": (members._EVERYBODY, OF_CHAT),
    "seen": (members._SEE, OF_CHAT | {"seq": 2_000}),
    "chat, held": (members._LOCKED, OF_CHAT),
    "message, posted": (messages._POST, _POSTED),
    "message, calling the AI": (replies._REPLY, _CALLED),
    "message, to be changed": (edits._ONE, OF_CHAT | {"seq": 2_000, "joined_seq": 0}),
    "prompt of a reply": (contexts._REPLY, {"job_id": JOB}),
    "messages of a summary step": (summary_steps._MESSAGES, {"chat_id": CHAT, "first": 101, "last": 200}),
    "summary, whether due": (summary_jobs._DUE, {"chat_id": CHAT, "above": 40, "asked_by": READER}),
    "chats to search": (searches._WHERE, {"user_id": READER}),
    "search in one chat": (searches._FOUND, _SEARCHED),
    "search": (searches._FOUND, _SEARCHED | {"chat_ids": [chat_id(2 * number) for number in range(20)]}),
    "bot-dominated chats, a page": (analytics._BOT_DOMINATED, {"below": None, "limit": 51, "most": 500}),
    "stale summaries, a page": (analytics._STALE_SUMMARIES, {"below": None, "limit": 51, "most": 5_000}),
}


def plan(session: Session, name: str, *, as_it_runs: bool = False) -> str:
    """The plan of one of them.

    Args:
        as_it_runs: run it, and say how long each step took and what it read. What it writes is for the caller to
            roll back.
    """
    statement, given = STATEMENTS[name]
    explain = "EXPLAIN (ANALYZE, BUFFERS, SUMMARY)" if as_it_runs else "EXPLAIN"
    return "\n".join(session.scalars(text(f"{explain} {statement.text}"), given))

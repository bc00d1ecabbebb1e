"""Titles: what a chat is called, from the beginning of its first message to what a person calls it.

    none ──▶ auto (at once, the first message) ──▶ model (later, a job) ──▶ user (a person)

A title may only be replaced by one from further right; who asks for another one makes the present one ``auto`` first
(`models.title_requests`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import job_rows, json_answers, mentions
from models.chats import ChatType, TitleSource
from models.jobs import JobType, Purpose, QueueClass
from models.settings import OFFLINE
from models.touched import Kind, touched

AUTO_CHARACTERS = 48
MODEL_CHARACTERS, MODEL_WORDS = 64, 8
"""A model is asked for six words; two more are let pass."""
READ_CHARACTERS = 4_000
"""Of the first message, from which a title is made."""
MAX_ATTEMPTS, DEADLINE_SECONDS = 3, 3_600

_REASONING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)

_AT_ONCE = text(f"""
    UPDATE chats SET title = :title, title_source = '{TitleSource.AUTO}'
    WHERE id = CAST(:chat_id AS uuid) AND title_source = '{TitleSource.NONE}' RETURNING id
""")  # noqa: S608


def at_once(session: Session, *, member: Mapping[Any, Any], content: str) -> None:
    """Call a chat with the AI as its first message begins, unless it is called something."""
    if member["type"] != ChatType.AI or member["title_source"] != TitleSource.NONE:
        return
    title = beginning(content)
    if title and session.execute(_AT_ONCE, {"chat_id": member["chat_id"], "title": title}).one_or_none():
        touched(session, chat_id=member["chat_id"], kind=Kind.CHAT)


def beginning(content: str) -> str:
    r"""How a message begins, as a title: on one line, whole words if it has any.

    >>> beginning("@AI, why is the sky\n blue?")
    'why is the sky blue?'
    >>> beginning("Please compare the climate of Lisbon with the climate of Helsinki")
    'Please compare the climate of Lisbon with the…'
    """
    words = " ".join(_shown(mentions.without(content[: 4 * AUTO_CHARACTERS])).split())
    if len(words) <= AUTO_CHARACTERS:
        return words
    cut = words[:AUTO_CHARACTERS]
    return (cut[:-1].rpartition(" ")[0] or cut[:-1]).rstrip(" ,.;:") + "…"


def _shown(content: str) -> str:
    """Without letters that no screen shows as they are."""
    return "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in content)


# Once a chat, after the AI's first message: a model that is asked for a title knows what it is about by then.
_WANT = text(
    job_rows.insert(
        id="gen_random_uuid()",
        owner="reply.owner",
        type=f"'{JobType.CHAT}'",
        queue_class=f"'{QueueClass.INTERACTIVE}'",
        message=f"left(first.content, {READ_CHARACTERS})",
        priority="0",
        max_attempts=f"{MAX_ATTEMPTS}",
        deadline_seconds=f"{DEADLINE_SECONDS}",
        rank_at="t",
        deadline_at=f"t + interval '{DEADLINE_SECONDS} seconds'",
        purpose=f"'{Purpose.TITLE}'",
        chat_id="chats.id",
        up_to_seq="first.seq",
        asked_by="reply.asked_by",
        traceparent="reply.traceparent",
        source=f"""
            (SELECT clock_timestamp() AS t) AS clock, jobs AS reply JOIN chats ON chats.id = reply.chat_id
            JOIN LATERAL (
                SELECT seq, content FROM messages
                WHERE chat_id = chats.id AND NOT is_ai AND deleted_at IS NULL ORDER BY seq LIMIT 1) AS first ON true
            WHERE reply.id = ANY(CAST(:job_ids AS uuid[])) AND title_source = '{TitleSource.AUTO}'
            AND COALESCE(reply.model, '') <> '{OFFLINE}' AND NOT EXISTS (
                SELECT FROM messages WHERE chat_id = chats.id AND is_ai AND job_id <> reply.id)
            RETURNING id
        """,  # noqa: S608
    )
)


def want_better(session: Session, job_ids: Sequence[str]) -> None:
    """Have a model find titles for those chats in which the AI has just said its first words, by these jobs."""
    session.execute(_WANT, {"job_ids": list(job_ids)})


_IMPROVE = text(f"""
    UPDATE chats SET title = :title, title_source = '{TitleSource.MODEL}'
    WHERE id = CAST(:chat_id AS uuid) AND title_source IN ('{TitleSource.NONE}', '{TitleSource.AUTO}') RETURNING id
""")  # noqa: S608


def settle(session: Session, completed: Sequence[Mapping[str, Any]]) -> None:
    """Give chats the titles that a model has found; what is no title changes nothing. By `models.purposes`."""
    for row in completed:
        title = None if row["truncated"] else understood(row["result"])
        if title and session.execute(_IMPROVE, {"chat_id": row["chat_id"], "title": title}).one_or_none():
            touched(session, chat_id=row["chat_id"], kind=Kind.CHAT)


def understood(answer: str) -> str | None:
    """The title in a model's answer, ``{"title": "…"}``; None if there is none that will do.

    >>> understood('{"title": "The colour of the sky"}'), understood("Sure! How about: The sky?")
    ('The colour of the sky', None)
    """
    try:
        title = json_answers.the_object(_REASONING.sub("", answer)).get("title")
    except ValueError:
        return None
    if not isinstance(title, str):
        return None
    title = title.strip().strip("\"'“”.").strip()
    fits = 1 <= len(title) <= MODEL_CHARACTERS and len(title.split()) <= MODEL_WORDS
    return title if fits and _shown(title) == title else None

"""Contexts: what the AI is told of a chat when it answers there.

    the rolling summary, then the newest messages behind it, `MOST_MESSAGES` at most, up to the one it answers

Nothing that any of those who ask may not see: they must still be in the chat, and where its history is hidden from
one of them, what came before they joined is left out, and the summary with it, which is made of that. What was
deleted is left out, too.

Read when a worker has claimed the job, by one statement, and again by the next attempt: nothing of it is stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.ai_errors import AiShutOut, AskerLeft, NothingToSummarize, RequestWithdrawn
from models.base import Bare
from models.chats import ChatType
from models.folding import MOST_VERBATIM
from models.jobs import Purpose
from models.mentions import MOST_RECAPPED, Span
from models.users import AI_ID

MOST_MESSAGES = MOST_VERBATIM
MOST_JOINED = 1_000
"""Messages among which those are looked for that have joined a call; nobody says so many in the time one waits."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message."""

    seq: int
    user_id: str
    name: str
    is_ai: bool
    at: dt.datetime
    text: str
    answers: int | None = None
    """The ``seq`` of the message that it answers."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known of a chat."""

    chat_id: str
    type: ChatType
    said: tuple[Said, ...]
    """In their order, except that an answer stands behind what it answers. The request is among them."""
    request: Said
    """To be answered."""
    summary: str = ""
    summarized_seq: int = 0
    """What came before is in the summary."""
    left_out: int = 0
    """Messages that are neither in the summary nor here."""
    reuses_answers: bool = False
    """What the AI has said to the very same prompt will do."""
    sees_all: bool = False
    """Nothing is hidden from who asks, so that the summary is for them, too."""

    @property
    def may_catch_up(self) -> bool:
        """Moving the summary on would put what is left out into it."""
        return self.left_out > 0 and self.sees_all

    @property
    def unseen(self) -> int:
        """Messages up to the request that no summary has seen, if `sees_all`."""
        return self.request.seq - self.summarized_seq

    @property
    def names(self) -> dict[str, str]:
        """Of everybody who speaks here but the AI, by user id, in the order of their ids."""
        return dict(sorted((one.user_id, one.name) for one in self.said if not one.is_ai))

    @property
    def is_private(self) -> bool:
        """One person and the AI."""
        return self.type == ChatType.AI and len(self.names) <= 1


# `asks` are the messages that this job is to answer: they carry its id, and who wrote them will read the answer.
# A regeneration answers what its message answered, for whoever wants it anew.
_ASKED = f"""
    FROM jobs JOIN chats ON chats.id = jobs.chat_id
    LEFT JOIN messages AS target ON jobs.purpose = '{Purpose.REGENERATION}'
        AND target.chat_id = jobs.chat_id AND target.seq = jobs.up_to_seq
    CROSS JOIN LATERAL (SELECT COALESCE(target.reply_to, jobs.up_to_seq) AS up_to_seq, target.seq AS replaced_seq) AS at
    CROSS JOIN LATERAL (
        SELECT max(member.joined_seq) AS joined_seq, count(member.user_id) AS askers,
               max(asks.seq) FILTER (WHERE deleted_at IS NULL AND member.user_id IS NOT NULL) AS seq
        FROM (
            SELECT seq, CASE WHEN replaced_seq IS NULL THEN sender_id ELSE jobs.asked_by END AS asker, deleted_at
            FROM messages WHERE chat_id = jobs.chat_id AND NOT is_ai AND (
                job_id = jobs.id AND replaced_seq IS NULL AND seq <= at.up_to_seq AND seq > at.up_to_seq - {MOST_JOINED}
                OR replaced_seq IS NOT NULL AND seq = at.up_to_seq)
        ) AS asks LEFT JOIN chat_members AS member ON member.chat_id = jobs.chat_id AND member.user_id = asks.asker
    ) AS asked
"""  # noqa: S608
# jsonb: UNION compares, which json cannot. Names are looked up one by one: joined, all there are would be read.
_SAID = """
    SELECT m.seq, jsonb_build_object(
        'seq', m.seq, 'user_id', m.sender_id, 'is_ai', m.is_ai, 'text', m.content,
        'name', (SELECT display_name FROM users WHERE users.id = m.sender_id),
        'at', EXTRACT(EPOCH FROM m.created_at), 'answers', m.reply_to) AS line
    FROM messages AS m
    WHERE m.chat_id = jobs.chat_id AND m.deleted_at IS NULL AND m.seq > COALESCE(asked.joined_seq, jobs.up_to_seq)
"""
_COLUMNS = f"""
    SELECT chats.id::text AS chat_id, chats.type, chats.reuses_answers,
           asked.askers, asked.seq AS request_seq, asked.joined_seq,
           EXISTS (SELECT FROM chat_members AS ai WHERE ai.chat_id = chats.id AND ai.user_id = '{AI_ID}') AS is_ai_there
"""  # noqa: S608
# What was answered after the request came is known, too: an earlier call may have been answered meanwhile.
_REPLY = text(f"""
    {_COLUMNS}, summary.text AS summary, summary.seq AS summarized_seq,
        ARRAY(SELECT line FROM (
            ({_SAID} AND m.seq > summary.seq AND (m.seq <= at.up_to_seq OR m.is_ai AND replaced_seq IS NULL)
             AND m.seq IS DISTINCT FROM replaced_seq ORDER BY m.seq DESC LIMIT {MOST_MESSAGES})
            UNION ({_SAID} AND m.seq = asked.seq)
        ) AS said (seq, line) ORDER BY seq) AS said
    {_ASKED}
    LEFT JOIN ai_cache_contexts AS context ON context.chat_id = jobs.chat_id
        AND asked.joined_seq = 0 AND (replaced_seq IS NULL OR context.summarized_seq < at.up_to_seq)
    CROSS JOIN LATERAL (
        SELECT COALESCE(rolling_summary_text, '') AS text, COALESCE(summarized_seq, 0) AS seq) AS summary
    WHERE jobs.id = CAST(:job_id AS uuid)
""")  # noqa: S608
_RECAP = text(f"""
    {_COLUMNS}, '' AS summary, 0 AS summarized_seq,
        ARRAY(SELECT line FROM (
            ({_SAID} AND m.seq < asked.seq AND (CAST(:after AS bigint) IS NULL OR m.seq > CAST(:after AS bigint))
             AND (NOT :today OR m.created_at >= (
                SELECT date_trunc('day', created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM messages AS request
                WHERE request.chat_id = jobs.chat_id AND request.seq = asked.seq))
             ORDER BY m.seq DESC LIMIT :most)
            UNION ({_SAID} AND m.seq = asked.seq)
        ) AS said (seq, line) ORDER BY seq) AS said
    {_ASKED} WHERE jobs.id = CAST(:job_id AS uuid)
""")  # noqa: S608


def of_reply(session: Session | Bare, job_id: str) -> Context:
    """What a reply, or a regeneration, is made of.

    Raises:
        AskerLeft: nobody of those who asked is in it any more, or there is no such chat.
        AiShutOut: the AI is not in it any more.
        RequestWithdrawn: what was to be answered has been deleted.
    """
    return _context(session.execute(_REPLY, {"job_id": job_id}).mappings().one_or_none(), most=MOST_MESSAGES)


def of_recap(session: Session | Bare, job_id: str, span: Span) -> Context:
    """What a recap is made of: the messages that were asked for, and the request behind them.

    Raises:
        NothingToSummarize: there are none.
        AskerLeft, AiShutOut, RequestWithdrawn: as for `of_reply`.
    """
    most = span.last or MOST_RECAPPED
    given = {"job_id": job_id, "after": span.after, "today": span == Span(), "most": most}
    found = session.execute(_RECAP, given).mappings().one_or_none()
    context = _context(found, most=most if span.last is None else None)
    if len(context.said) == 1:
        raise NothingToSummarize
    return context


def _context(row: Mapping[Any, Any] | None, *, most: int | None) -> Context:
    """Made of a row; if there are ``most`` messages in it, there may be others before them."""
    if row is None or not row["askers"]:
        raise AskerLeft
    if not row["is_ai_there"]:
        raise AiShutOut
    if row["request_seq"] is None:
        raise RequestWithdrawn
    said = [_said(line) for line in row["said"]]
    request = next(one for one in said if one.seq == row["request_seq"])
    floor = max(row["joined_seq"], row["summarized_seq"])
    shown = [one.seq for one in said if one.seq > floor]
    # Numbers have no gaps, so they tell how many there are below.
    left_out = shown[0] - floor - 1 if most is not None and len(shown) >= most else 0
    return Context(
        chat_id=row["chat_id"],
        type=ChatType(row["type"]),
        said=tuple(sorted(said, key=_place)),
        request=request,
        summary=row["summary"],
        summarized_seq=row["summarized_seq"],
        left_out=left_out,
        reuses_answers=row["reuses_answers"],
        sees_all=row["joined_seq"] == 0,
    )


def _said(line: Mapping[str, Any]) -> Said:
    return Said(**{**line, "at": dt.datetime.fromtimestamp(float(line["at"]), dt.UTC)})


def _place(one: Said) -> tuple[int, int]:
    """An answer stands behind what it answers, though others have spoken in between."""
    return (one.answers or one.seq) if one.is_ai else one.seq, one.seq

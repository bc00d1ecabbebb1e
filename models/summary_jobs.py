"""Summary jobs: when a chat's summary is made to move on.

    the AI is called      its next reply is spared the wait, or could not wait for all of it: `due`
    a step was stored     and there is more to do: `go_on`
    somebody asks         `request`
    nobody did            `sweep`, by the dispatcher

One unfinished job a chat, kept by an index: whoever comes second finds that it has been done. A job says only
that a step is wanted. What it folds is read when a worker has claimed it, so a job may be lost or made twice.

It belongs to whoever called the AI in that chat last: their turn among owners, their tokens of the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models import job_rows
from models.folding import AHEAD_FROM, MOST_BEFORE_REPLY, MOST_VERBATIM, OVERDUE, VERBATIM
from models.jobs import JobType, Purpose, QueueClass
from models.summaries import FAILURES_BEFORE_PAUSE, RESTS

MOST_ATTEMPTS = FAILURES_BEFORE_PAUSE
"""A job that has used them up leaves a chat whose summary rests."""
DEADLINE_SECONDS = 3600
SWEPT_AT_ONCE = 5_000
"""Contexts that one tick looks at."""
MADE_AT_ONCE = 200
"""Jobs that one tick makes at most."""

UNSEEN = "(chats.last_seq - context.summarized_seq)"
"""Messages that no summary has seen. Arithmetic on two rows: nothing is counted."""
# An unfinished job is looked for first: inserting beside one that is just being completed would wait for it.
_UNDER_WAY = f"""EXISTS (SELECT FROM jobs WHERE jobs.chat_id = chats.id AND purpose = '{Purpose.SUMMARY}'
    AND finished_at IS NULL)"""
_MAKE = job_rows.insert(
    id="gen_random_uuid()",
    owner="'user:' || asked_by",
    type=f"'{JobType.SUMMARIZE}'",
    queue_class=f"'{QueueClass.BATCH}'",
    message="'Fold the oldest messages of this chat into its summary.'",
    priority="0",
    max_attempts=f"{MOST_ATTEMPTS}",
    deadline_seconds=f"{DEADLINE_SECONDS}",
    rank_at="t",
    deadline_at=f"t + interval '{DEADLINE_SECONDS} seconds'",
    purpose=f"'{Purpose.SUMMARY}'",
    chat_id="chats.id",
    up_to_seq="chats.last_seq",
    asked_by="asked_by",
    source=f"""
        chats JOIN ai_cache_contexts AS context ON context.chat_id = chats.id, LATERAL (
            SELECT clock_timestamp() AS t, COALESCE(
                CAST(:asked_by AS uuid),
                (SELECT asked_by FROM jobs WHERE jobs.chat_id = chats.id
                 ORDER BY created_at DESC, jobs.id DESC LIMIT 1),
                chats.created_by) AS asked_by
        ) AS asker
        WHERE chats.ai_mode <> 'off' AND NOT {_UNDER_WAY} AND {{which}}
        ON CONFLICT DO NOTHING RETURNING id::text AS id
    """,  # noqa: S608
)
OPEN = text("INSERT INTO ai_cache_contexts (chat_id) VALUES (CAST(:chat_id AS uuid)) ON CONFLICT DO NOTHING")
"""Before anything is written of a chat's summary."""
_ONE = f"chats.id = CAST(:chat_id AS uuid) AND {UNSEEN} > :above"
_REQUEST = text(_MAKE.format(which=_ONE))
_DUE = text(
    _MAKE.format(
        which=f"""{_ONE} AND NOT {RESTS} AND {UNSEEN} NOT BETWEEN {MOST_VERBATIM} + 1 AND {MOST_BEFORE_REPLY}"""
    )
)
_GO_ON = text(_MAKE.format(which=f"{_ONE} AND NOT {RESTS}"))


def due(session: Session, chat_id: str, *, asked_by: str | None = None) -> str | None:
    """Have the chat's summary moved on, if it is time; the id of the job that was made. To be called with the AI.

    Not if the reply does it itself first (`tasks.summaries.catch_up`), for then both would.

    Args:
        asked_by: whose call it was; else whoever called the AI in this chat before.
    """
    session.execute(OPEN, {"chat_id": chat_id})
    return _made(session, _DUE, chat_id, above=AHEAD_FROM, asked_by=asked_by)


def go_on(session: Session, chat_id: str) -> str | None:
    """Another step if a prompt could not show all that is left."""
    return _made(session, _GO_ON, chat_id, above=MOST_VERBATIM)


def _made(session: Session, make: TextClause, chat_id: str, *, above: int, asked_by: str | None = None) -> str | None:
    made: str | None = session.scalar(make, {"chat_id": chat_id, "above": above, "asked_by": asked_by})
    return made


_UNFINISHED = text(f"""
    SELECT id::text FROM jobs WHERE chat_id = CAST(:chat_id AS uuid) AND purpose = '{Purpose.SUMMARY}'
    AND finished_at IS NULL
""")  # noqa: S608


def request(session: Session, chat_id: str, *, asked_by: str) -> str | None:
    """Fold all but the newest messages, because a member wants it; the job that does it, None if nothing is left.

    Somebody who asks is not told to wait because it failed before. Whether they may call the AI in that
    chat, `models.replies.check_may_call` knows.
    """
    session.execute(OPEN, {"chat_id": chat_id})
    made = _made(session, _REQUEST, chat_id, above=VERBATIM, asked_by=asked_by)
    return made or session.execute(_UNFINISHED, {"chat_id": chat_id}).scalar_one_or_none()


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one tick has done."""

    made: Sequence[str]
    """Ids of jobs."""
    last: str | None
    """The last chat it has looked at; None: it was the end of the table."""


OVERLOOKED = f"({UNSEEN} > {OVERDUE} OR (context.is_stale AND {UNSEEN} > {VERBATIM}))"
"""Somebody should have folded them, or what had been folded has to be folded anew."""
_LOOK = text(f"""
    WITH looked_at AS MATERIALIZED (
        SELECT * FROM ai_cache_contexts WHERE CAST(:after AS uuid) IS NULL OR chat_id > CAST(:after AS uuid)
        ORDER BY chat_id LIMIT {SWEPT_AT_ONCE}
    ), overlooked AS MATERIALIZED (
        SELECT chats.id FROM looked_at AS context JOIN chats ON chats.id = context.chat_id
        WHERE {OVERLOOKED} AND ai_mode <> 'off' AND NOT {RESTS} AND NOT {_UNDER_WAY}
        ORDER BY chats.id LIMIT {MADE_AT_ONCE} FOR NO KEY UPDATE OF chats SKIP LOCKED
    )
    SELECT (SELECT array_agg(id::text) FROM overlooked) AS overlooked, count(*) AS looked_at,
           max(chat_id::text) AS last, (SELECT count(*) FROM overlooked) = {MADE_AT_ONCE} AS is_full,
           (SELECT max(id::text) FROM overlooked) AS last_overlooked
    FROM looked_at
""")  # noqa: S608
_MAKE_ALL = text(_MAKE.format(which="chats.id = ANY(CAST(:ids AS uuid[]))"))


def sweep(session: Session, *, after: str | None) -> Swept:
    """Make jobs for chats whose summaries have fallen behind, from behind ``after`` on. For the dispatcher.

    Only where the AI has been called: elsewhere nobody has asked for a summary, and nobody shall pay for one.
    """
    seen = session.execute(_LOOK, {"after": after}).one()
    made: Sequence[str] = []
    if seen.overlooked:
        made = session.scalars(_MAKE_ALL, {"ids": seen.overlooked, "asked_by": None}).all()
    if seen.is_full:
        return Swept(made=made, last=seen.last_overlooked)
    return Swept(made=made, last=seen.last if seen.looked_at == SWEPT_AT_ONCE else None)

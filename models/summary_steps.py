"""Summary steps: one at a time, some messages are folded into the summary of a chat.

    read (a transaction) ──▶ the model (no transaction) ──▶ store (a transaction)

A step knows the version of the summary it was made from and the last change of the chat it has seen. Whoever
stores it holds the chat's row, and writes only if both still stand: no two steps overwrite one another, and none
brings back what was edited or deleted while the model was thinking. What comes too late is dropped, and
read again. So a step may be lost, repeated or made twice at once, and a chat of any length is summarised by as
many of them as it takes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import folding, summaries, summary_answers, summary_jobs
from models.folding import MOST_BEFORE_REPLY, MOST_VERBATIM, VERBATIM
from models.summary_answers import Summary

LINE_CHARACTERS = 4_000
"""Of a message; what is longer is shown to the model cut, and says so."""
STEP_CHARACTERS = 40_000
"""Of all messages of a step, some 10,000 tokens: a step that would have more takes fewer messages."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A message, as a step shows it to the model."""

    seq: int
    sender_id: str
    name: str
    created_at: dt.datetime
    content: str
    is_cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the model gets, and what it was made from."""

    chat_id: str
    version: int
    """Of the summary before."""
    before: Summary
    last_change_seq: int
    """Of the chat, before its messages were read."""
    covered: range
    """The messages it folds."""
    lines: tuple[Line, ...]
    """Those of them that say something: deleted ones do not."""
    names: Mapping[str, str]
    """By user id, of all who are spoken of: the senders and those whose facts are known."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A step and what the model made of it: the ``basis`` of an ending, for `settle`."""

    step: Step
    summary: Summary
    model: str | None
    """None: there was nothing to ask it."""


_MESSAGES = text(f"""
    SELECT seq, sender_id::text AS sender_id, messages.created_at,
           (SELECT display_name FROM users WHERE users.id = sender_id) AS name,
           left(content, {LINE_CHARACTERS}) AS content, char_length(content) > {LINE_CHARACTERS} AS is_cut
    FROM messages
    WHERE chat_id = CAST(:chat_id AS uuid) AND seq BETWEEN :first AND :last ORDER BY seq
""")  # noqa: S608
_NAMES = text("SELECT id::text AS id, display_name FROM users WHERE id = ANY(CAST(:ids AS uuid[]))")


def read(session: Session, chat_id: str) -> Step | None:
    """The next step, however few messages it folds; None if only the newest are outside of the summary.

    Raises:
        LookupError: there is no such chat, or no more.
    """
    return _step(session, chat_id, summaries.current(session, chat_id), tolerated=VERBATIM)


def read_before_reply(session: Session, chat_id: str, *, tolerated: int = MOST_VERBATIM) -> Step | None:
    """The next step, if a prompt could not show all messages that are outside of the summary, but soon can.

    None, too, while the chat's summary rests.

    Args:
        tolerated: how many it can show.

    Raises:
        LookupError: there is no such chat.
    """
    state = summaries.current(session, chat_id)
    return None if state["rests"] else _step(session, chat_id, state, tolerated=tolerated, most=MOST_BEFORE_REPLY)


def _step(session: Session, chat_id: str, state: Mapping[str, Any], **bounds: int) -> Step | None:
    covered = folding.next_step(last_seq=state["last_seq"], summarized_seq=state["summarized_seq"], **bounds)
    if not covered:
        return None
    found = session.execute(_MESSAGES, {"chat_id": chat_id, "first": covered[0], "last": covered[-1]}).mappings()
    shown = _within([Line(**row) for row in found], most=STEP_CHARACTERS)
    before = summary_answers.stored(state["rolling_summary_text"], state["details"])
    return Step(
        chat_id=chat_id,
        version=state["version"],
        before=before,
        last_change_seq=state["last_change_seq"],
        covered=range(covered[0], shown[-1].seq + 1),
        lines=tuple(line for line in shown if line.content),
        names=_names(session, {*before.facts_by_user, *(line.sender_id for line in shown)}),
    )


def _within(lines: Sequence[Line], *, most: int) -> Sequence[Line]:
    """The first lines that have so many characters together; one at least."""
    left = most
    for place, line in enumerate(lines):
        left -= len(line.content)
        if left < 0 and place:
            return lines[:place]
    return lines


def _names(session: Session, user_ids: set[str]) -> dict[str, str]:
    return {row.id: row.display_name for row in session.execute(_NAMES, {"ids": sorted(user_ids)})}


_HOLD = text("SELECT id FROM chats WHERE id = CAST(:chat_id AS uuid) FOR NO KEY UPDATE")
_STORE = text(f"""
    WITH replaced AS (
        SELECT * FROM ai_cache_contexts WHERE chat_id = CAST(:chat_id AS uuid) AND version = :version
        AND NOT EXISTS (
            SELECT FROM messages WHERE chat_id = CAST(:chat_id AS uuid) AND change_seq > :last_change_seq
            AND seq <= :up_to_seq)
        FOR UPDATE
    ), kept AS ({summaries.PUT_AWAY})
    UPDATE ai_cache_contexts AS context SET
        rolling_summary_text = :text, details = CAST(:details AS jsonb), summarized_seq = :up_to_seq,
        version = context.version + 1, failures = 0, failed_at = NULL, model = :model, tokens = :tokens,
        is_stale = context.is_stale AND (
            SELECT last_seq - :up_to_seq > {MOST_VERBATIM} FROM chats WHERE id = context.chat_id),
        updated_at = clock_timestamp()
    FROM replaced WHERE context.chat_id = replaced.chat_id RETURNING context.version
""")  # noqa: S608


def store(session: Session, answered: Answered, *, tokens: int | None = None) -> bool:
    """Replace the summary; False if something has changed since the step was read, so that it must be read again."""
    step, summary = answered.step, answered.summary
    for statement in (_HOLD, summary_jobs.OPEN):
        session.execute(statement, {"chat_id": step.chat_id})
    stored = session.execute(
        _STORE,
        {
            "chat_id": step.chat_id,
            "version": step.version,
            "last_change_seq": step.last_change_seq,
            "up_to_seq": step.covered[-1],
            "text": summary.text,
            "details": json.dumps(summary.details),
            "model": answered.model,
            "tokens": tokens,
        },
    )
    version = stored.scalar_one_or_none()
    summaries.renewed(session, step.chat_id, version=version)
    return version is not None


_FAILED = text("""
    UPDATE ai_cache_contexts SET failures = failures + 1, failed_at = clock_timestamp() WHERE chat_id = ANY(ARRAY(
        SELECT chat_id FROM ai_cache_contexts WHERE chat_id = ANY(CAST(:chat_ids AS uuid[]))
        ORDER BY chat_id FOR UPDATE))
""")


def failed(session: Session, chat_ids: Sequence[str]) -> None:
    """Count that a step of these chats came to nothing. The summaries they have stay as they are."""
    session.execute(_FAILED, {"chat_ids": list(chat_ids)})


def settle(session: Session, completed: Sequence[Mapping[Any, Any]]) -> None:
    """Store what summary jobs have answered, and go on where more is left. By `models.purposes`."""
    for row in completed:
        if row["basis"] is not None:
            store(session, row["basis"], tokens=row["tokens"])
        summary_jobs.go_on(session, row["chat_id"])


def note_failures(session: Session, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Count what failed of them. By `models.purposes`."""
    if rows:
        failed(session, [row["chat_id"] for row in rows])

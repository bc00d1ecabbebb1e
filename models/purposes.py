"""Purposes: what else happens when a job has been answered, by what its answer is for.

In the transaction that completes the job: an answer that is the job's result is in its chat too, or neither is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import deliveries, regenerations, summary_steps, titles
from models.jobs import Purpose

COLUMNS = """id::text AS id, attempt, purpose, chat_id::text AS chat_id, up_to_seq, asked_by::text AS asked_by, model,
             truncated, CASE WHEN purpose <> 'prompt' THEN result END AS result"""
"""Of a job, for whom it concerns; what concerns nobody else does not travel."""

Rows = Sequence[Mapping[Any, Any]]
"""`COLUMNS` of jobs that belong to chats, with ``basis`` and ``tokens`` of the `models.attempts.Ending` of each."""

_SETTLES: Mapping[Purpose, Callable[[Session, Rows], None]] = {
    Purpose.REPLY: deliveries.settle,
    Purpose.RECAP: deliveries.settle,
    Purpose.REGENERATION: regenerations.settle,
    Purpose.TITLE: titles.settle,
    Purpose.SUMMARY: summary_steps.settle,
}
_NOTES_FAILURES: Mapping[Purpose, Callable[[Session, Rows], None]] = {Purpose.SUMMARY: summary_steps.note_failures}

# In one order, whatever the purposes: two workers that complete jobs of the same chats wait, but never in a circle.
_HOLD = text("SELECT id FROM chats WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


def settle(session: Session, completed: Rows) -> None:
    """Do with the answers what they are for. Their chats are locked, as for a message."""
    if completed:
        session.execute(_HOLD, {"ids": list({row["chat_id"] for row in completed})})
        _each(session, completed, _SETTLES)


def note_failures(session: Session, failed: Rows) -> None:
    """Tell whom it concerns that an attempt failed, whether or not the job is tried again."""
    _each(session, failed, _NOTES_FAILURES)


def _each(session: Session, rows: Rows, verbs: Mapping[Purpose, Callable[[Session, Rows], None]]) -> None:
    for purpose, verb in verbs.items():
        if theirs := [row for row in rows if row["purpose"] == purpose]:
            verb(session, theirs)

"""Generations: what the AI says in a chat next. One at a time, in the order in which it was called.

A generation is a job whose answer becomes a message. The next one of a chat is
neither announced nor claimed before the one before it has finished, so that it
is told what was answered. That is a condition of the statements that announce and
claim, not a lock: a job that may not be claimed yet is left out, and those beside
it in the bundle are not held up.

It is safe without a lock, because calls are stored one after the other, under their
chat's row: whoever sees a call sees all that came before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import Bare
from models.states import RUNNING, in_sql

PURPOSES = "('recap', 'regeneration', 'reply')"
IS_NEXT = f"""(jobs.purpose NOT IN {PURPOSES} OR NOT EXISTS (
    SELECT FROM jobs AS other WHERE other.chat_id = jobs.chat_id AND other.finished_at IS NULL
    AND other.purpose IN {PURPOSES} AND other.id <> jobs.id
    AND (other.status IN {in_sql(RUNNING)} OR (other.created_at, other.id) < (jobs.created_at, jobs.id))))"""
"""Of a job that waits: it is no generation, or its chat's turn has come to it."""

_PRESENT = text(f"""
    SELECT id::text AS id, status, attempt FROM jobs
    WHERE chat_id = CAST(:chat_id AS uuid) AND finished_at IS NULL AND purpose IN {PURPOSES}
    ORDER BY status IN {in_sql(RUNNING)} DESC, created_at, jobs.id LIMIT 1
""")  # noqa: S608


def present(session: Session | Bare, chat_id: str) -> Mapping[Any, Any] | None:
    """The generation of a chat that runs, or else the one that is next; None: nobody waits for the AI."""
    return session.execute(_PRESENT, {"chat_id": chat_id}).mappings().one_or_none()

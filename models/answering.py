"""Answering: which jobs answer in which chats, for those who show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from models import generations
from models.base import Bare

_JOBS = text(f"""
    SELECT id::text AS id, chat_id::text AS chat_id, attempt, asked_by::text AS asked_by FROM jobs
    WHERE id = ANY(CAST(:ids AS uuid[])) AND purpose IN {generations.PURPOSES}
""")  # noqa: S608


def jobs(session: Bare, job_ids: Sequence[str]) -> Sequence[Mapping[Any, Any]]:
    """Those of these jobs that answer in a chat: ``id``, ``chat_id``, ``attempt``, ``asked_by``."""
    return session.execute(_JOBS, {"ids": list(job_ids)}).mappings().all()


def present(session: Bare, chat_id: str) -> Mapping[Any, Any] | None:
    """As `models.generations.present`."""
    return generations.present(session, chat_id)

"""Stops: the AI told to say no more, and what it had said by then.

That stays in the chat, as a message whose status is ``stopped``. What it had said, two know: Redis, if somebody
watched, so that who stops it gets what was seen; and the worker, which learns of it within a second and brings
all it has, if nothing was kept before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import deliveries, jobs
from models.messages import MessageStatus

_SAYING = "('recap', 'reply')"
"""Purposes of which a part is better than nothing. (Half a new answer does not take a whole one's place.)"""
_STOPPED = text(f"""
    SELECT id::text AS id, chat_id::text AS chat_id, up_to_seq, attempt FROM jobs
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'cancelled' AND purpose IN {_SAYING} ORDER BY chat_id
""")  # noqa: S608


def stop(session: Session, job_id: str, *, reader: str, attempt: int, said: str) -> bool:
    """Cancel a job and keep what it has said; whether it was this call that cancelled it.

    Args:
        said: by this attempt, so far; blank if nobody knows.

    Raises:
        JobNotFound, JobGone, AlreadyFinished: as for `models.jobs.cancel`.
    """
    is_new = jobs.cancel(session, job_id, reader=reader)
    if is_new:
        keep(session, {(job_id, attempt): said})
    return is_new


def keep(session: Session, said: Mapping[tuple[str, int], str]) -> None:
    """Post what stopped jobs had said, by job id and attempt; of a job that was not stopped, nothing."""
    spoken = {key: words for key, words in said.items() if words.strip()}
    if spoken:
        for job in _stopped(session, [job_id for job_id, _ in spoken]):
            if words := spoken.get((job["id"], job["attempt"])):
                deliveries.post(session, job, content=words, status=MessageStatus.STOPPED)


def _stopped(session: Session, job_ids: Sequence[str]) -> Sequence[Mapping[Any, Any]]:
    return session.execute(_STOPPED, {"ids": list(job_ids)}).mappings().all()

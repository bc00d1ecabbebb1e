"""Calls: a message said in a chat, and the AI called by it, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app

from api.auth import own_id, settings
from api.callers import caller
from api.queue import Queue
from api.writers import writing
from models import logs, messages, replies
from models.messages import Posted

log = logs.logger()


@dataclass(frozen=True)
class Said:
    """What became of it."""

    posted: Posted
    job_id: str | None
    """That answers it; of a message that was said before, that was to."""

    @property
    def message(self) -> Mapping[Any, Any]:
        """As it is now."""
        return {**self.posted.message, "job_id": self.job_id}


def say(
    chat: str,
    *,
    content: str,
    client_msg_id: str,
    reply_to: int | None = None,
    explicitly: bool = False,
    **options: object,
) -> Said:
    """Say something in the caller's name. If too much waits for the AI already, it is not said.

    Args:
        chat: id or room hash.
        explicitly: it is for the AI, whatever it says.
        options: of `models.replies.called_by`.

    Raises:
        Refusal: of `models.messages.post`, of `models.replies.called_by`, of the queue, or of the chat's `Writers`.
    """
    queue: Queue = current_app.extensions["parley"]["queue"]
    queue.look()  # not while the chat is held
    with writing(chat) as (session, chat_id):
        posted = messages.post(
            session,
            chat_id=chat_id,
            sender_id=own_id(),
            content=content,
            client_msg_id=client_msg_id,
            reply_to=reply_to,
        )
        if not posted.is_new:
            return Said(posted, posted.message["job_id"])
        job_id = replies.called_by(
            session, member=posted.member, message=posted.message, settings=settings(), explicitly=explicitly, **options
        )
        if job_id is not None:
            queue.admit(caller().owner)
    if job_id is not None:
        current_app.extensions["parley"]["waker"].wake()
        log.info("ai_called", job_id=job_id, chat_id=chat_id, seq=posted.message["seq"])
    return Said(posted, job_id)

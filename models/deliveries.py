"""Deliveries: the AI's messages, each posted by the transaction that ends its job.

The client id of such a message is ``ai:<job id>``. So a job posts once, whoever brings its end and however often: a
recorder that does not know whether it was heard, an attempt that was given up for dead, a worker and an api process
that both keep what a stopped job had said.

What has been answered is posted although the asker has left since: others have read the question. Where the AI has
been shut out since, or the chat is gone, nothing is posted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from models import logs, members, messages, titles
from models.errors import ChatNotFound, UnknownReplyTo
from models.messages import MESSAGE_CHARACTERS, MessageStatus
from models.users import AI_ID

log = logs.logger()


def settle(session: Session, completed: Sequence[Mapping[str, Any]]) -> None:
    """Post what these jobs have answered. By `models.purposes`, which holds their chats."""
    seats = members.in_held(session, {row["chat_id"] for row in completed}, user_id=AI_ID)
    for row in completed:
        post(session, row, content=row["result"], status=MessageStatus.COMPLETE, seat=seats.get(row["chat_id"]))
    titles.want_better(session, [row["id"] for row in completed])


def post(
    session: Session,
    job: Mapping[str, Any],
    *,
    content: str,
    status: MessageStatus,
    seat: Mapping[Any, Any] | None = None,
) -> int | None:
    """Say this in the job's chat, as the AI, unless the job has said something; the message's number.

    Args:
        job: with ``id``, ``chat_id`` and ``up_to_seq``.
        seat: the AI in that chat, whose row this transaction holds; None: not known.
    """
    try:
        posted = messages.post(
            session,
            chat_id=job["chat_id"],
            sender_id=AI_ID,
            content=content[:MESSAGE_CHARACTERS],
            client_msg_id=f"ai:{job['id']}",
            reply_to=job["up_to_seq"],
            job_id=job["id"],
            status=status,
            member=seat,
        )
    except (ChatNotFound, UnknownReplyTo) as refusal:
        log.info("reply_not_posted", job_id=job["id"], code=refusal.code)
        return None
    return int(posted.message["seq"])

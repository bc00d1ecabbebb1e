"""Replies: which messages call the AI, and the job that answers them.

Those that the chat's ``ai_mode`` says, of those members whom ``ai_callers`` lets: in a chat with the AI, unless its
owner wants it otherwise, each message of a person. What the AI says calls nobody.

The job is stored with the message, in one transaction. A call that comes while the reply to another is still to be
begun joins it: one reply then answers both. The messages that a job answers carry its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import job_rows, mentions, summary_jobs, titles, traces
from models.ai_errors import AiNotForYou, AiOff
from models.chats import AiCallers, AiMode
from models.jobs import DEFAULT_PRIORITY, PRIORITY_SECONDS, JobType, Purpose, QueueClass
from models.kinds import limits_of
from models.members import MemberRole
from models.owners import of_user
from models.settings import Settings

CREATE = job_rows.insert(
    id="CAST(:id AS uuid)",
    owner=":owner",
    type=":type",
    queue_class=f"'{QueueClass.INTERACTIVE}'",
    message=":message",
    priority=":priority",
    max_attempts=":max_attempts",
    deadline_seconds=":deadline_seconds",
    rank_at="t - make_interval(secs => :ahead)",
    deadline_at="t + make_interval(secs => :deadline_seconds)",
    start_by="t + make_interval(secs => :ttl_seconds)",
    purpose=":purpose",
    chat_id="CAST(:chat_id AS uuid)",
    up_to_seq=":up_to_seq",
    asked_by="CAST(:asked_by AS uuid)",
    traceparent=":traceparent",
    source="(SELECT clock_timestamp() AS t) AS clock",
)
"""A generation. To be called while its chat's row is held: `models.generations` counts on it."""
_JOIN = f"""
    ON CONFLICT (chat_id) WHERE status = 'created' AND purpose = '{Purpose.REPLY}'
    DO UPDATE SET up_to_seq = excluded.up_to_seq, message = excluded.message
"""
_CALL = """
    WITH called AS ({made} RETURNING id)
    UPDATE messages SET job_id = called.id FROM called
    WHERE chat_id = CAST(:chat_id AS uuid) AND seq = :up_to_seq RETURNING job_id::text
"""
_REPLY = text(_CALL.format(made=CREATE + _JOIN))
_RECAP = text(_CALL.format(made=CREATE))


def called_by(
    session: Session,
    *,
    member: Mapping[Any, Any],
    message: Mapping[Any, Any],
    settings: Settings,
    explicitly: bool = False,
    **options: object,
) -> str | None:
    """The id of the job that answers this message; None if it calls nobody.

    To be called once for each message of a person, in the transaction that has posted it. Gives the chat its first
    title, too.

    Args:
        member: who sent it, as `models.messages.post` found them before it was posted.
        message: as it was posted.
        explicitly: it calls the AI, whatever it says.
        options: ``priority``, ``deadline_seconds`` and ``ttl_seconds`` of a job that is made; one that is joined
            keeps its own.

    Raises:
        AiOff, AiNotForYou: it may not, and was to call it explicitly.
    """
    if message["is_ai"]:
        return None
    titles.at_once(session, member=member, content=message["content"])
    if explicitly:
        check_may_call(member)
    elif not _calls(member, message["content"]):
        return None
    span = mentions.recap(message["content"], last_read_seq=max(member["last_read_seq"], member["joined_seq"]))
    what = {"purpose": Purpose.REPLY, "type": JobType.CHAT, "message": message["content"]}
    if span is not None:
        what = {"purpose": Purpose.RECAP, "type": JobType.SUMMARIZE, "message": str(span)}
    row = row_of(member, settings, up_to_seq=message["seq"], **{**what, **options})
    job_id = str(session.scalar(_REPLY if span is None else _RECAP, row))
    summary_jobs.due(session, member["chat_id"], asked_by=member["user_id"])
    return job_id


def check_may_call(member: Mapping[Any, Any]) -> None:
    """Whether this member may have the AI say something.

    Raises:
        AiOff: it takes no part in the chat.
        AiNotForYou: it answers others.
    """
    if member["ai_mode"] == AiMode.OFF:
        raise AiOff
    if member["ai_callers"] == AiCallers.ADMINS and member["role"] != MemberRole.ADMIN:
        raise AiNotForYou


def _calls(member: Mapping[Any, Any], content: str) -> bool:
    try:
        check_may_call(member)
    except (AiOff, AiNotForYou):
        return False
    return member["ai_mode"] == AiMode.ALWAYS or mentions.calls(content)


def row_of(member: Mapping[Any, Any], settings: Settings, **what: Any) -> dict[str, Any]:
    """The parameters of `CREATE`, for a call by this member; with the defaults that hold for jobs of its type."""
    usual = {
        "id": str(uuid.uuid4()),
        "owner": of_user(member["user_id"]),
        "asked_by": member["user_id"],
        "chat_id": member["chat_id"],
        "priority": DEFAULT_PRIORITY,
        "traceparent": traces.carried(),
        **limits_of(settings, what["type"]),
    }
    row = {**usual, **what}
    return {**row, "ahead": row["priority"] * PRIORITY_SECONDS}

"""Factories: valid rows, of which a test names only what it is about."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session as OrmSession

from api.guest_secrets import GuestSecrets
from api.tokens import Tokens
from models import attempts, batches, chats, jobs, messages, owners, replies
from models.api_keys import ApiKey, Scope
from models.attempts import Attempt, Claimed, Ending, Outcome
from models.base import Session
from models.batches import Prompt
from models.jobs import Job, JobType, NewJob, QueueClass
from models.messages import Message, Posted
from models.principals import hashed
from models.sessions import UserSession
from models.settings import Settings
from models.states import FINISHED, RUNNING, JobStatus
from models.users import Role, User

WORKER = "worker-1"
TOKEN_KEY = "a-key-of-the-tests-of-43-characters-12345678"


def now() -> dt.datetime:
    """The present, by this machine, which is the database's too."""
    return dt.datetime.now(dt.UTC)


def count_jobs(session: OrmSession) -> dict[JobStatus, int]:
    """How many there are in each status."""
    return dict(session.execute(select(Job.status, func.count()).group_by(Job.status)).all())


def a_job(**columns: Any) -> str:
    """Store a job in any status, with what the table's laws demand of it; answers its id."""
    moment = now()
    status = columns.get("status", JobStatus.CREATED)
    running, finished = status in RUNNING, status in FINISHED
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "owner": "address:192.0.2.1",
        "type": JobType.CHAT,
        "queue_class": QueueClass.INTERACTIVE,
        "message": "Why is the sky blue?",
        "rank_at": moment,
        "status": status,
        "attempt": int(running or finished or status is JobStatus.RETRYING),
        "max_attempts": 5,
        "deadline_at": moment + dt.timedelta(minutes=10),
        "deadline_seconds": 600.0,
        "next_attempt_at": moment - dt.timedelta(seconds=1),
        "lease_until": moment + dt.timedelta(seconds=60) if running else None,
        "leased_by": WORKER if running else None,
        "finished_at": moment if finished else None,
        "result": "Because of Rayleigh." if status is JobStatus.COMPLETED else None,
        "error_code": "provider_rejected" if status is JobStatus.FAILED else None,
    }
    values |= columns
    values["error_message"] = "The model refused." if values["error_code"] else None
    job = Job(**values)
    with Session.begin() as session:
        session.add(job)
        session.flush()
        for number in range(1, job.attempt + 1):
            session.add(Attempt(job_id=job.id, attempt=number, worker=WORKER, started_at=moment))
    return job.id


def the_job(job_id: str) -> Job:
    """The row as it stands now."""
    with Session() as session:
        job = session.get(Job, job_id)
    assert job is not None
    return job


def the_attempt(job_id: str, number: int) -> Attempt:
    """The row as it stands now."""
    with Session() as session:
        attempt = session.get(Attempt, (job_id, number))
    assert attempt is not None
    return attempt


def claim(job_id: str, *, expected: int = 0, worker: str = WORKER) -> Claimed | None:
    """Claim one job as a worker would; None if it could not be had."""
    with Session.begin() as session:
        claims = attempts.claim(session, [(job_id, expected)], worker=worker, lease_seconds=15)
    return claims[0] if claims else None


def ask(claimed: Claimed) -> bool:
    """Note that the model has been asked; whether the job was still ours."""
    with Session.begin() as session:
        return claimed.id in attempts.asked(session, [claimed], model="some-model")


def change(job_id: str, **columns: Any) -> None:
    """Move a row in time, or anything else but its status."""
    with Session.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**columns))


def create(message: str = "Why is the sky blue?", **options: Any) -> str:
    """Create a job by the verb."""
    facts = {"owner": "address:192.0.2.1", "type": JobType.CHAT, "max_attempts": 5, "deadline_seconds": 600.0}
    with Session.begin() as session:
        return jobs.create(session, NewJob(message=message, **{**facts, **options}))


def a_batch(owner: str, *messages: str) -> str:
    """Store a batch by the verb; answers its id."""
    facts: dict[str, Any] = {"type": JobType.CHAT, "max_attempts": 5, "deadline_seconds": 600.0}
    prompts = [Prompt(owner=owner, message=message, **facts) for message in messages or ("Why is the sky blue?",)]
    with Session.begin() as session:
        return batches.create(session, prompts)


def a_user(**columns: Any) -> str:
    """Store a user; answers the id."""
    user_id = str(uuid.uuid4())
    facts = {"id": user_id, "username": f"user-{user_id[:8]}", "display_name": "Somebody", "role": Role.USER}
    with Session.begin() as session:
        session.add(User(**{**facts, **columns}))
    return user_id


def a_key(user_id: str, *scopes: Scope, **columns: Any) -> str:
    """Store an API key of this user; answers its text."""
    key = f"parley_{secrets.token_urlsafe(32)}"
    facts = {"id": str(uuid.uuid4()), "user_id": user_id, "name": "script", "prefix": key[:14]}
    with Session.begin() as session:
        session.add(ApiKey(**{**facts, "key_hash": hashed(key), "scopes": list(scopes), **columns}))
    return key


def signed_in(user_id: str, *, seconds: float = 900, **columns: Any) -> dict[str, str]:
    """Headers of this user, signed in anew.

    Args:
        seconds: how long the access token is good; negative: it ended so long ago.
        columns: of the session.
    """
    session_id = columns.setdefault("id", str(uuid.uuid4()))
    with Session.begin() as session:
        session.add(UserSession(**{"user_id": user_id, "expires_at": now() + dt.timedelta(days=30), **columns}))
    tokens = Tokens(Settings(token_key=TOKEN_KEY, access_seconds=seconds))
    return bearer(tokens.sign(user_id=user_id, session_id=session_id))


def a_guest() -> tuple[str, str]:
    """A guest's cookie, and the owner word of whoever holds it."""
    guests = GuestSecrets(Settings(token_key=TOKEN_KEY))
    cookie = guests.new_cookie()
    return cookie, owners.of_guest(str(guests.within(cookie)))


def bearer(credential: str) -> dict[str, str]:
    """Headers with it."""
    return {"Authorization": f"Bearer {credential}"}


def a_chat(*user_ids: str, **options: Any) -> str:
    """Store a group by the verb, the first its admin; answers its id."""
    options = {"title": "Trip", "member_ids": user_ids[1:], "key": TOKEN_KEY, **options}
    with Session.begin() as session:
        return chats.create_group(session, user_id=user_ids[0], **options)


def an_ai_chat(user_id: str, **options: Any) -> str:
    """Store somebody's chat with the AI by the verb; answers its id."""
    with Session.begin() as session:
        return chats.create_ai(session, user_id=user_id, key=TOKEN_KEY, **options)


def fill(chat_id: str, sender_id: str, *, up_to: int, words: str = "Message") -> None:
    """Have a chat be so many messages long, by one statement: ``Message 1``, ``Message 2``, …"""
    with Session.begin() as session:
        session.execute(_FILL, {"chat_id": chat_id, "sender_id": sender_id, "up_to": up_to, "words": words})


_FILL = text("""
    WITH chat AS (SELECT * FROM chats WHERE id = CAST(:chat_id AS uuid) FOR NO KEY UPDATE), said AS (
        INSERT INTO messages (chat_id, seq, sender_id, client_msg_id, content, change_seq)
        SELECT chat.id, last_seq + n, CAST(:sender_id AS uuid), gen_random_uuid()::text,
               CAST(:words AS text) || ' ' || last_seq + n, last_change_seq + n
        FROM chat, generate_series(1, CAST(:up_to AS bigint) - last_seq) AS n)
    UPDATE chats SET last_seq = :up_to, last_change_seq = chats.last_change_seq + :up_to - chats.last_seq
    FROM chat WHERE chats.id = chat.id
""")


def say(chat_id: str, sender_id: str, *contents: str, **options: Any) -> list[Posted]:
    """Post messages by the verb, one transaction each."""
    posted = []
    for content in contents or ("Hello",):
        with Session.begin() as session:
            given = {"client_msg_id": uuid.uuid4().hex, "content": content, **options}
            posted.append(messages.post(session, chat_id=chat_id, sender_id=sender_id, **given))
    return posted


def call(chat_id: str, sender_id: str, content: str = "@AI why is the sky blue?", **options: Any) -> str | None:
    """Post a message as the doors do; answers the id of the job that it calls for."""
    given: dict[str, Any] = {"client_msg_id": uuid.uuid4().hex, "content": content}
    with Session.begin() as session:
        posted = messages.post(session, chat_id=chat_id, sender_id=sender_id, **given)
        return replies.called_by(session, member=posted.member, message=posted.message, settings=Settings(), **options)


def answer(job_id: str | None, text: str = "Because of Rayleigh.", **facts: Any) -> bool:
    """Claim a job, ask and record this answer, as a worker would; whether it counted."""
    assert job_id is not None
    claimed = claim(job_id, expected=the_job(job_id).attempt)
    assert claimed is not None
    assert ask(claimed)
    return record(claimed, text=text, **facts)


def record(claimed: Claimed, *, outcome: Outcome = Outcome.COMPLETED, **facts: Any) -> bool:
    """Record how an attempt ended; whether it counted."""
    ending = Ending(job_id=claimed.id, attempt=claimed.attempt, outcome=outcome, **facts)
    with Session.begin() as session:
        return bool(attempts.record(session, [ending]))


def said_in(chat_id: str) -> list[Message]:
    """All messages of a chat, in their order."""
    with Session() as session:
        return list(session.scalars(select(Message).where(Message.chat_id == chat_id).order_by(Message.seq)))

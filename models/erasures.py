"""Erasures: an account's end, and what becomes of all that was its own.

At once, in one transaction: the person's names, password and phone number, their
sessions and API keys, their seats in chats, and the first `PIECE` of their jobs. The
rest the dispatcher erases, what they have said in chats among it (`models.departures`).
The row stays without anything of the person in it, and so do the audit log and the
tombstones, which know an id and no more.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import budget_alerts, departures, jobs, owners, quotas, spending
from models.touched import revoked
from models.users import NOBODYS_NAME

PIECE = 500
"""Jobs, chats or messages in one transaction: it stays far below the time limit of an answer."""
SETTLED_MINUTES = 10
"""A request that was let in before may still store something; nothing runs longer than an upload of a batch."""
USERS_AT_ONCE = 20

_END = text("""
    UPDATE users SET username = NULL, display_name = :nobody, password_hash = NULL, phone_hash = NULL, role = 'user',
        deleted_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid) AND deleted_at IS NULL AND password_hash = :verified RETURNING id
""")
_SIGN_OUT = text("DELETE FROM sessions WHERE user_id = CAST(:id AS uuid)")
_DISARM = text("DELETE FROM api_keys WHERE user_id = CAST(:id AS uuid)")


def account(session: Session, user_id: str, *, verified: str) -> bool:
    """End an account; False if it has ended, or its password was changed, a moment ago: then roll back.

    Args:
        verified: the hash of the password that its owner has given.
    """
    # Chats before the user: whoever sends a message has locked the chat when its sender is looked up.
    departures.leave(session, user_id, most=PIECE)
    ended = session.execute(_END, {"id": user_id, "nobody": NOBODYS_NAME, "verified": verified})
    if ended.one_or_none() is None:
        return False
    for statement in (_SIGN_OUT, _DISARM):
        session.execute(statement, {"id": user_id})
    revoked(session, user_id)
    quotas.erase(session, owners.of_user(user_id))
    spending.erase(session, owners.of_user(user_id))
    budget_alerts.erase(session, owners.of_user(user_id))
    some(session, owners.of_user(user_id), most=PIECE)
    return True


_SOME = text("SELECT id::text FROM jobs WHERE owner = :owner ORDER BY created_at, id LIMIT :most")
_ERASE = text("""
    WITH erased AS (
        DELETE FROM jobs WHERE id = ANY(ARRAY(
            SELECT id FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE))
        RETURNING id, owner
    )
    INSERT INTO tombstones (job_id, owner) SELECT id, owner FROM erased ON CONFLICT DO NOTHING
""")
_ERASE_BATCHES = text("""
    DELETE FROM batches WHERE id = ANY(ARRAY(
        SELECT id FROM batches WHERE owner = :owner AND NOT EXISTS (SELECT FROM jobs WHERE batch_id = batches.id)
        ORDER BY created_at, id LIMIT :most FOR UPDATE))
""")


def some(session: Session, owner: str, *, most: int) -> bool:
    """Erase up to ``most`` jobs of an owner, cancelled first, and batches that have none; whether there may be more."""
    ids = list(session.execute(_SOME, {"owner": owner, "most": most}).scalars())
    jobs.cancel_all(session, ids, reader=owner)
    session.execute(_ERASE, {"ids": ids})
    batches: int = session.execute(_ERASE_BATCHES, {"owner": owner, "most": most}).rowcount  # type: ignore[attr-defined]
    return most in (len(ids), batches)


_LEFT = text(f"""
    SELECT id::text AS id, deleted_at < statement_timestamp() - interval '{SETTLED_MINUTES} minutes' AS is_settled
    FROM users WHERE deleted_at IS NOT NULL AND NOT erased ORDER BY deleted_at
    LIMIT {USERS_AT_ONCE} FOR UPDATE SKIP LOCKED
""")  # noqa: S608
_ALL_ERASED = text("UPDATE users SET erased = true WHERE id = CAST(:id AS uuid)")


def sweep(session: Session, *, most: int) -> bool:
    """Erase some of what deleted users have left; whether there may be more. For the dispatcher."""
    for user_id, is_settled in session.execute(_LEFT).all():
        if some(session, owners.of_user(user_id), most=most) or departures.some(session, user_id, most=most):
            return True
        if is_settled:
            session.execute(_ALL_ERASED, {"id": user_id})
    return False

"""Adoptions: what a guest has made becomes that of the account in which they sign in.

In pieces, each its own transaction: a guest may have left thousands of jobs, and
workers wait for those that are locked. A piece that is done stays done, and whoever
signs in again with the same cookie goes on.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

PIECE = 500

# Keys go with what they made: the same request must not make it again. Where the account has used the same key
# itself, its own holds, and the guest's is forgotten.
_ADOPT = """
    WITH few AS (
        SELECT id FROM {table} WHERE owner = :guest ORDER BY created_at, id LIMIT :most
    ), held AS MATERIALIZED (
        SELECT id FROM {table} JOIN few USING (id) WHERE owner = :guest ORDER BY id FOR UPDATE OF {table}
    ), adopted AS (
        UPDATE {table} SET owner = :owner FROM held WHERE {table}.id = held.id RETURNING {table}.id
    ), keys AS (
        DELETE FROM idempotency_keys USING adopted WHERE {made} = adopted.id AND scope = :guest
        RETURNING key, request_hash, job_id, batch_id, expires_at
    ), handed_on AS (
        INSERT INTO idempotency_keys (scope, key, request_hash, job_id, batch_id, expires_at)
        SELECT :owner, key, request_hash, job_id, batch_id, expires_at FROM keys ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM adopted
"""
# Batches first: until theirs follow, a guest's jobs are open to whoever knows the batch, as they were.
_STATEMENTS = tuple(
    text(_ADOPT.format(table=table, made=made)) for table, made in (("batches", "batch_id"), ("jobs", "job_id"))
)


def some(session: Session, guest: str, *, owner: str) -> int:
    """Hand over up to `PIECE` of a guest's batches, and jobs; how many there were. None left: 0.

    Args:
        guest: the owner word of before.
    """
    given = {"guest": guest, "owner": owner, "most": PIECE}
    return sum(session.execute(statement, given).scalar_one() for statement in _STATEMENTS)

"""Idempotency keys: the same request sent twice makes one job.

One statement inserts the key's row and, if that was free, the job's. A second
request with the key waits at the primary key until the first has committed,
inserts nothing and then finds the job; so fifty at once make one job. What is compared is a hash of the
*validated* input: two spellings of the same JSON are the same request.

Source: IETF draft "The Idempotency-Key HTTP Header Field"; Brandur Leach,
"Implementing Stripe-like Idempotency Keys in Postgres" (2017).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Bare, Base
from models.errors import IdempotencyKeyReused

KEPT_HOURS = 24


class IdempotencyKey(Base):
    """A key somebody used, and the job or the batch it made."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_expires_at", "expires_at"),
        # A job or batch that is removed takes its keys with it; without these it would read them all.
        Index("ix_idempotency_keys_job_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_idempotency_keys_batch_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        CheckConstraint("num_nonnulls(job_id, batch_id) = 1", name="one_thing_made"),
    )

    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    """The owner: two callers may use the same key."""
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    job_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"))
    batch_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("batches.id", ondelete="CASCADE"))
    expires_at: Mapped[dt.datetime]


_CLAIM = f"""
    INSERT INTO idempotency_keys (scope, key, request_hash, {{made}}, expires_at)
    VALUES (:owner, :key, :request_hash, CAST(:id AS uuid), clock_timestamp() + interval '{KEPT_HOURS} hours')
    ON CONFLICT (scope, key) DO UPDATE
        SET request_hash = excluded.request_hash, job_id = excluded.job_id, batch_id = excluded.batch_id,
            expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at < clock_timestamp()
    RETURNING key
"""  # noqa: S608
CLAIM_FOR_JOB = _CLAIM.format(made="job_id")
"""Takes the key and answers a row, or none if it is taken. One that has expired but is not pruned counts as free."""
CLAIM_FOR_BATCH = _CLAIM.format(made="batch_id")
"""The same."""

_FIND = text("""
    SELECT COALESCE(job_id, batch_id)::text AS made, request_hash FROM idempotency_keys
    WHERE scope = :scope AND key = :key AND expires_at > clock_timestamp()
""")


def hash_of(request: Mapping[str, object]) -> bytes:
    """What is compared: the validated input, in one spelling."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).digest()


def made_by(session: Session | Bare, *, scope: str, key: str, request_hash: bytes) -> str | None:
    """The job or the batch that a taken key made; None if the key is free, or has expired.

    Raises:
        IdempotencyKeyReused: it made it from another request.
    """
    found = session.execute(_FIND, {"scope": scope, "key": key}).mappings().one_or_none()
    if found is None:
        return None
    if bytes(found["request_hash"]) != request_hash:
        raise IdempotencyKeyReused
    return str(found["made"])


_PRUNE = text("""
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency_keys WHERE expires_at < statement_timestamp() LIMIT :most FOR UPDATE SKIP LOCKED))
""")


def prune(session: Session, *, most: int) -> int:
    """Delete up to ``most`` expired keys; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]

"""Jobs: one AI reply each; what clients may do with them.

A job is true as soon as its row is committed; the dispatcher finds it. What workers do with it stands in
`models.attempts`, what happens when they vanish in `models.leases`, and once it is given up in `models.dead_letters`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Numeric, SmallInteger, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, idempotency, owners, retention, traces
from models.base import Bare, Base, stored_by_value
from models.errors import AlreadyFinished, JobNotFound
from models.kinds import JobType, Purpose, QueueClass
from models.states import DEAD, RUNNING, WAITING, JobStatus, in_sql, move
from models.versions import SHOW

__all__ = ["JobType", "Purpose", "QueueClass"]

MESSAGE_CHARACTERS = 32_000
DEFAULT_PRIORITY = 5
PRIORITY_SECONDS = 60
"""One step of priority is worth this much waiting: linear ageing with a fixed key."""


class Job(Base):
    """One request for an AI reply. ``status`` is written by `models.states.move` and by nothing else."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at_iff_finished",
        ),
        CheckConstraint(
            "(status IN ('processing', 'analyzing')) = (lease_until IS NOT NULL)", name="lease_iff_running"
        ),
        CheckConstraint("(lease_until IS NULL) = (leased_by IS NULL)", name="leased_by_iff_lease"),
        CheckConstraint("(status = 'completed') = (result IS NOT NULL)", name="result_iff_completed"),
        CheckConstraint("status != 'failed' OR error_code IS NOT NULL", name="failed_has_error"),
        CheckConstraint("(error_code IS NULL) = (error_message IS NULL)", name="error_has_message"),
        CheckConstraint("failures BETWEEN 0 AND max_attempts", name="failures_in_range"),
        CheckConstraint("attempt >= 0 AND lost_count >= 0 AND max_attempts > 0", name="counters_in_range"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_in_range"),
        CheckConstraint("(batch_id IS NULL) = (batch_position IS NULL)", name="position_iff_batch"),
        CheckConstraint("(purpose = 'prompt') = (chat_id IS NULL)", name="chat_iff_for_one"),
        CheckConstraint("discarded_at IS NULL OR status = 'failed'", name="discarded_only_failed"),
        CheckConstraint(f"char_length(message) BETWEEN 1 AND {MESSAGE_CHARACTERS}", name="message_length"),
        # The announcer walks this index owner by owner, most urgent first.
        Index(
            "ix_jobs_waiting",
            "queue_class",
            "owner",
            "rank_at",
            postgresql_where=text(f"status IN {in_sql(WAITING)} AND due"),
        ),
        Index("ix_jobs_later", "next_attempt_at", postgresql_where=text(f"status IN {in_sql(WAITING)} AND NOT due")),
        Index(
            "ix_jobs_batch", "batch_id", "batch_position", unique=True, postgresql_where=text("batch_id IS NOT NULL")
        ),
        # For the retention sweep. Not BRIN: its ranges never forget a row that is gone, and soon all of them match.
        Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index(
            "ix_jobs_announced",
            "queue_class",
            "announced_at",
            postgresql_where=text(f"status IN {in_sql(WAITING)} AND announced_at IS NOT NULL"),
        ),
        Index("ix_jobs_start_by", "start_by", postgresql_where=text("status = 'created' AND start_by IS NOT NULL")),
        Index("ix_jobs_waiting_deadline", "deadline_at", postgresql_where=text(f"status IN {in_sql(WAITING)}")),
        # On id, not on lease_until: a renewal then changes no indexed column and stays a HOT update.
        Index("ix_jobs_running", "queue_class", "id", postgresql_where=text(f"status IN {in_sql(RUNNING)}")),
        Index("ix_jobs_dead", "finished_at", "id", postgresql_where=text(DEAD)),
        Index("ix_jobs_dead_code", "error_code", "finished_at", "id", postgresql_where=text(DEAD)),
        Index("ix_jobs_dead_model", "model", "finished_at", "id", postgresql_where=text(DEAD)),
        Index("ix_jobs_discarded", "finished_at", "id", postgresql_where=text("discarded_at IS NOT NULL")),
        # Partial, although that is true of all: else a look-up by id alone could be planned to walk through it.
        Index("ix_jobs_owner", "owner", "created_at", "id", postgresql_where=text("owner <> ''")),
        # A message that comes while an answer still waits to be begun joins it; so does a call for a summary.
        Index(
            "uq_jobs_next_reply",
            "chat_id",
            unique=True,
            postgresql_where=text("status = 'created' AND purpose = 'reply'"),
        ),
        Index(
            "uq_jobs_next_summary",
            "chat_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL AND purpose = 'summary'"),
        ),
        Index("ix_jobs_chat", "chat_id", "created_at", "id", postgresql_where=text("chat_id IS NOT NULL")),
        # What a chat waits for, however many jobs it has had.
        Index(
            "ix_jobs_chat_unfinished", "chat_id", postgresql_where=text("finished_at IS NULL AND chat_id IS NOT NULL")
        ),
        {"postgresql_with": {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"}},
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    """A version 4 UUID: unguessable, so that knowing it may serve as permission."""
    owner: Mapped[str] = mapped_column(Text)
    """Who asked, as `models.owners` writes it: the scope of idempotency keys and of fairness, and who may see it."""
    type: Mapped[JobType] = mapped_column(stored_by_value(JobType))
    queue_class: Mapped[QueueClass] = mapped_column(stored_by_value(QueueClass))
    message: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=str(DEFAULT_PRIORITY))
    """9 most urgent, 0 least."""
    rank_at: Mapped[dt.datetime]
    """``created_at`` less a minute for each step of priority: who has the earliest goes first."""

    status: Mapped[JobStatus] = mapped_column(stored_by_value(JobStatus))
    attempt: Mapped[int] = mapped_column(server_default="0")
    """Claims so far: the fencing token. Only ever grows."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """Attempts that failed by the model's fault. Back-off and ``max_attempts`` look at this, not at ``attempt``."""
    max_attempts: Mapped[int]
    lost_count: Mapped[int] = mapped_column(server_default="0")
    """Attempts whose worker vanished. From 3 on the next attempt runs alone in a child process."""

    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    next_attempt_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    """Not to be announced before."""
    due: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether that time has come, as far as the announcer knows: it looks only at these."""
    run_at: Mapped[dt.datetime | None]
    """When its owner wants it to start; null: at once."""
    start_by: Mapped[dt.datetime | None]
    """Fails if no worker has claimed it by then."""
    announced_at: Mapped[dt.datetime | None]
    """When Celery was last told; cleared by the claim."""
    reserved: Mapped[Decimal | None] = mapped_column(Numeric)
    """While it is announced or runs, and there is a budget: what it will probably cost."""
    deadline_at: Mapped[dt.datetime]
    deadline_seconds: Mapped[float]
    """The length of that deadline, so that a redrive can grant it again."""
    lease_until: Mapped[dt.datetime | None]
    leased_by: Mapped[str | None] = mapped_column(Text)
    """The worker process that runs it (``owner`` is always the caller)."""
    finished_at: Mapped[dt.datetime | None]
    discarded_at: Mapped[dt.datetime | None]
    """An operator does not want to see this dead letter any more."""

    batch_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("batches.id", ondelete="CASCADE"))
    batch_position: Mapped[int | None]
    """From 0, in the order in which the prompts came."""
    custom_id: Mapped[str | None] = mapped_column(Text)
    """What its owner calls it within the batch."""

    purpose: Mapped[Purpose] = mapped_column(stored_by_value(Purpose), server_default=Purpose.PROMPT)
    chat_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("chats.id", ondelete="CASCADE"))
    """Where its answer goes."""
    up_to_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The newest message of the chat that it answers, or covers."""
    asked_by: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id"))
    """Whose message called the AI: nothing that they may not read may go into the prompt."""

    reuses_answer: Mapped[bool] = mapped_column(server_default=text("false"))
    """An answer that its owner was given to the very same prompt before will do."""
    cached: Mapped[bool | None]
    """Whether it was given such a one, and the model was not asked."""
    result: Mapped[str | None] = mapped_column(Text)
    truncated: Mapped[bool | None]
    """The reply was cut: by the model's own limit or by ours."""
    model: Mapped[str | None] = mapped_column(Text)
    """The model that answered."""
    fallback: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """How far down the chain of models this job has been handed: 0 is the first choice."""
    choice: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Which model of the chain it was last announced for: at or below ``fallback``'s, whose breaker allowed it."""
    degraded: Mapped[bool | None]
    """Whether another model than the first choice answered."""
    note: Mapped[str | None] = mapped_column(Text)
    """``still_working`` while the model has the prompt and has said nothing for some seconds."""
    error_code: Mapped[str | None] = mapped_column(Text)
    """Why it failed; while it is retried, why the last attempt did."""
    error_message: Mapped[str | None] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(Text)
    """The span of the request that made it, as W3C writes it; null: nobody made traces then (`models.traces`)."""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What is asked, by whom, and when it has to be done."""

    owner: str
    type: JobType
    message: str
    max_attempts: int
    deadline_seconds: float
    """From ``run_at``, or from now."""
    ttl_seconds: float | None = None
    """A worker must have claimed it so soon after ``run_at``, or after now."""
    run_at: dt.datetime | None = None
    """Not before; a time that has passed is now."""
    priority: int = DEFAULT_PRIORITY
    reuse: bool = False

    def row(self) -> dict[str, object]:
        """The parameters of `_INSERT`, with an id of its own."""
        ahead = self.priority * PRIORITY_SECONDS
        made = {"id": str(uuid.uuid4()), "queue_class": QueueClass.INTERACTIVE, "ahead": ahead}
        return {**vars(self), **made, "traceparent": traces.carried()}


_INSERT = """
    INSERT INTO jobs (id, owner, type, queue_class, message, priority, status, max_attempts, deadline_seconds, run_at,
                      created_at, updated_at, next_attempt_at, due, rank_at, deadline_at, start_by, reuses_answer,
                      traceparent)
    SELECT CAST(:id AS uuid), :owner, :type, :queue_class, :message, :priority, 'created', :max_attempts,
           :deadline_seconds, :run_at, t, t, from_t, from_t <= t, from_t - make_interval(secs => :ahead),
           from_t + make_interval(secs => :deadline_seconds), from_t + make_interval(secs => :ttl_seconds), :reuse,
           :traceparent
    FROM (SELECT t, GREATEST(t, CAST(:run_at AS timestamptz)) AS from_t
          FROM (SELECT clock_timestamp() AS t) AS clock) AS clock
"""
_CREATE = text(_INSERT).execution_options(prepared=True)
_CREATE_ONCE = text(
    f"WITH claimed AS ({idempotency.CLAIM_FOR_JOB}) {_INSERT} WHERE EXISTS (SELECT FROM claimed) RETURNING id"
).execution_options(prepared=True)


def create(session: Session | Bare, new_job: NewJob) -> str:
    """Store a job and answer its id. One statement."""
    row = new_job.row()
    session.execute(_CREATE, row)
    return str(row["id"])


def create_once(session: Session | Bare, new_job: NewJob, *, key: str, said: Mapping[str, object]) -> tuple[str, bool]:
    """Store a job unless this owner's key already made one: ``(job id, whether it is new)``.

    Key and job are inserted by one statement. However many arrive at once with
    one key, the first wins and the others wait for its commit.

    Args:
        said: the validated request without our defaults, which may change while a key lives.

    Raises:
        IdempotencyKeyReused: the key was used for another request.
    """
    row = new_job.row()
    request_hash = idempotency.hash_of(said)
    once = {**row, "key": key, "request_hash": request_hash}
    while session.execute(_CREATE_ONCE, once).mappings().one_or_none() is None:
        made = idempotency.made_by(session, scope=new_job.owner, key=key, request_hash=request_hash)
        if made is not None:
            return made, False
    return str(row["id"]), True


_SHOWN = text(f"{SHOW} WHERE id = CAST(:id AS uuid) AND {owners.READABLE_JOB}").execution_options(prepared=True)


def shown(session: Session | Bare, job_id: str, *, reader: str) -> Mapping[Any, Any]:
    """The job as its owner sees it, its newest attempts inside. One statement: this is the route that is polled.

    Raises:
        JobNotFound, JobGone: there is none that the reader may see.
    """
    job = session.execute(_SHOWN, {"id": job_id, "reader": reader}).mappings().one_or_none()
    if job is None:
        raise retention.absence(session, job_id, reader=reader, unknown=JobNotFound())
    return job


def cancel(session: Session, job_id: str, *, reader: str) -> bool:
    """Stop an unfinished job for good; whether it was this call that did. A running attempt loses its claim.

    Raises:
        JobNotFound, JobGone: there is none that the reader may see.
        AlreadyFinished: it completed or failed before.
    """
    if cancel_all(session, [job_id], reader=reader):
        return True
    if (status := shown(session, job_id, reader=reader)["status"]) != JobStatus.CANCELLED:
        raise AlreadyFinished(status)
    return False


def cancel_all(session: Session, job_ids: Sequence[str], *, reader: str) -> int:
    """Stop those of the jobs that are unfinished and the reader's to see; how many there were."""
    moved = move(
        session,
        [{"id": job_id, "attempt": None} for job_id in job_ids],
        to=JobStatus.CANCELLED,
        only_if=owners.READABLE_JOB,
        reader=reader,
        changes="""finished_at = clock_timestamp(), lease_until = NULL, leased_by = NULL, announced_at = NULL,
                   reserved = NULL""",
        log="""UPDATE attempts SET finished_at = moved.updated_at, outcome = 'cancelled' FROM moved
               WHERE job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.finished_at IS NULL""",
    )
    return len(moved)

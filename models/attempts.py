"""Attempts: each try at a job, and what the worker that made it may write.

A worker claims a bundle of jobs, notes that the model has been asked, and
records how each call ended; every step is one statement for as many jobs as
there are. One row here per claim stays for good: calls to a model are made at
least once, and the rows count and show them.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, Text, Uuid
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import breakers, generations, purposes, quotas, spending, stops
from models.base import Base, stored_by_value
from models.jobs import Purpose
from models.states import RUNNING, JobStatus, move


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    RETRIED = "retried"
    """Failed; the job is tried again."""
    FAILED = "failed"
    """Failed, and the job with it."""
    SNOOZED = "snoozed"
    """Tried again, no failure counted: the provider throttled, or the attempt was a breaker's probe."""
    RELEASED = "released"
    """Given back by a worker that stopped."""
    LOST = "lost"
    """Its worker vanished and the lease ran out."""
    CANCELLED = "cancelled"


class Attempt(Base):
    """One claim of one job by one worker."""

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name="outcome_iff_finished"),
        # What ended lately is what the breaker looks at. BRIN: ending an attempt stays a HOT update.
        Index("ix_attempts_finished", "finished_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str] = mapped_column(Text)
    started_at: Mapped[dt.datetime]
    asked_at: Mapped[dt.datetime | None]
    """When the prompt went to the model."""
    finished_at: Mapped[dt.datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(stored_by_value(Outcome))
    error_code: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None]
    """What the call cost, whatever became of the job."""
    completion_tokens: Mapped[int | None]
    cost: Mapped[Decimal | None] = mapped_column(Numeric)
    """In the currency of ``PRICES_FILE``. Null: not known, for want of a price or of a count of tokens."""
    price_version: Mapped[str | None] = mapped_column(Text)
    """Which price it was charged by."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A job in a worker's hands. ``attempt`` is its fencing token."""

    id: str
    attempt: int
    type: str
    message: str
    failures: int
    max_attempts: int
    lost_count: int
    seconds_left: float
    """Until the job's deadline, when it was claimed."""
    waited_seconds: float = 0.0
    """Since it could have been begun."""
    choice: int = 0
    """Which model of the chain is to be asked."""
    is_probe: bool = False
    """Sent to find out whether that model is well again: its failure is not the job's."""
    purpose: str = Purpose.PROMPT
    chat_id: str | None = None
    """Whose messages the prompt is to be made of, unless it is the message alone."""
    up_to_seq: int | None = None
    asked_by: str | None = None
    owner: str = ""
    reuses_answer: bool = False
    """An answer that its owner got to the same prompt will do. (What a chat wants, is told with its messages.)"""
    traceparent: str | None = None
    """Of the request that made it: `models.traces`."""


def claim(session: Session, hints: Sequence[tuple[str, int]], *, worker: str, lease_seconds: float) -> list[Claimed]:
    """Take those of the jobs that wait at the attempt the hint names; late, repeated and early hints match none."""
    rows = move(
        session,
        [{"id": job_id, "attempt": attempt} for job_id, attempt in hints],
        to=JobStatus.PROCESSING,
        # An attempt keeps its number through a redrive: a hint from before it must not begin a delayed one early.
        only_if=f"jobs.due AND {generations.IS_NEXT}",
        changes="""attempt = jobs.attempt + 1, lease_until = clock_timestamp() + make_interval(secs => :lease_seconds),
                   leased_by = :worker, announced_at = NULL""",
        log="""INSERT INTO attempts (job_id, attempt, worker, started_at)
               SELECT id, attempt, leased_by, updated_at FROM moved""",
        returning=f"""id::text AS id, attempt, type, message, failures, max_attempts, lost_count, choice,
                     {breakers.IS_PROBE}, purpose, chat_id::text AS chat_id, up_to_seq, asked_by::text AS asked_by,
                     owner, reuses_answer, traceparent,
                     CAST(EXTRACT(EPOCH FROM deadline_at - clock_timestamp()) AS float8) AS seconds_left,
                     GREATEST(0, CAST(EXTRACT(EPOCH FROM updated_at - next_attempt_at) AS float8)) AS waited_seconds""",
        worker=worker,
        lease_seconds=lease_seconds,
    )
    return [Claimed(**row) for row in rows]


def asked(session: Session, claims: Sequence[Claimed], *, model: str) -> set[str]:
    """Note that the model has these prompts; answers the ids of the jobs that are still ours."""
    rows = move(
        session,
        [{"id": claimed.id, "attempt": claimed.attempt} for claimed in claims],
        to=JobStatus.ANALYZING,
        changes="model = :model, note = NULL",
        log="""UPDATE attempts SET asked_at = moved.updated_at, model = :model FROM moved
               WHERE job_id = moved.id AND attempts.attempt = moved.attempt""",
        returning="id::text AS id",
        model=model,
    )
    return {row["id"] for row in rows}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one attempt ended and what is to become of its job."""

    job_id: str
    attempt: int
    outcome: Outcome
    text: str | None = None
    """The answer; of an attempt that was broken off, what had come of it."""
    truncated: bool = False
    error_code: str | None = None
    error_message: str | None = None
    delay_seconds: float = 0.0
    """Until the next attempt, where there is one."""
    fallback: int | None = None
    """If it is tried again: hand it down to this model of the chain, with all its attempts before it."""
    degraded: bool = False
    """Another model than the first choice answered."""
    cached: bool = False
    """It had been given to the same prompt before; no model was asked."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    """Those of the prompt's that the model's server had kept; they may cost less."""
    cost: Decimal | None = None
    price_version: str | None = None
    basis: Any = None
    """What the prompt was made of, from whoever made it to whoever settles the answer (`models.purposes`)."""

    @property
    def tokens(self) -> int:
        """Of both; 0 if nobody counted them."""
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


_BECOMES: Mapping[Outcome, tuple[JobStatus, str]] = {
    Outcome.COMPLETED: (
        JobStatus.COMPLETED,
        """result = held.text, truncated = held.truncated, degraded = held.degraded, cached = held.cached,
           error_code = NULL, error_message = NULL, finished_at = clock_timestamp()""",
    ),
    Outcome.FAILED: (
        JobStatus.FAILED,
        """failures = LEAST(jobs.failures + 1, jobs.max_attempts), error_code = held.error_code,
           error_message = held.error_message, finished_at = clock_timestamp()""",
    ),
    Outcome.RETRIED: (
        JobStatus.RETRYING,
        """failures = CASE WHEN held.fallback IS NULL THEN jobs.failures + 1 ELSE 0 END,
           fallback = COALESCE(held.fallback, jobs.fallback),
           error_code = held.error_code, error_message = held.error_message,
           due = false, next_attempt_at = clock_timestamp() + make_interval(secs => held.delay)""",
    ),
    Outcome.SNOOZED: (
        JobStatus.RETRYING,
        """error_code = held.error_code, error_message = held.error_message,
           due = false, next_attempt_at = clock_timestamp() + make_interval(secs => held.delay)""",
    ),
    Outcome.RELEASED: (JobStatus.RETRYING, "next_attempt_at = clock_timestamp()"),
}
_LET_GO = ", lease_until = NULL, leased_by = NULL, announced_at = NULL, reserved = NULL, note = NULL"

# From `given`, not from `moved`: tokens are on the attempt's row even if the job
# was cancelled or taken over meanwhile. How the attempt ended is written only
# with what it did to the job: an ending that does not count closes nothing.
# The join makes PostgreSQL lock jobs before attempts, as everywhere.
_LOG_ENDING = """
    UPDATE attempts SET
        finished_at = CASE WHEN moved.id IS NULL THEN attempts.finished_at ELSE clock_timestamp() END,
        outcome = CASE WHEN moved.id IS NULL THEN attempts.outcome ELSE :outcome END,
        error_code = CASE WHEN moved.id IS NULL THEN attempts.error_code ELSE given.error_code END,
        prompt_tokens = given.prompt_tokens, completion_tokens = given.completion_tokens,
        cost = given.cost, price_version = given.price_version
    FROM given LEFT JOIN moved ON moved.id = given.id AND moved.attempt = given.attempt
    WHERE attempts.job_id = given.id AND attempts.attempt = given.attempt
"""


def record(session: Session, endings: Sequence[Ending]) -> set[tuple[str, int]]:
    """Write how attempts ended, one statement for each kind; answers the ``(job id, attempt)`` that counted.

    The job of one that is missing in the answer had been cancelled, reaped or taken over:
    its result is dropped, its tokens are not.
    """
    quotas.count(session, ((ending.job_id, ending.attempt, ending.tokens) for ending in endings))
    spending.count(session, map(_call, endings))
    moved = {
        outcome: move(
            session,
            [_row(ending) for ending in endings if ending.outcome is outcome],
            to=status,
            leaving=RUNNING,
            changes=changes + _LET_GO,
            log=_LOG_ENDING,
            returning=purposes.COLUMNS,
            outcome=outcome.value,
        )
        for outcome, (status, changes) in _BECOMES.items()
    }
    taken = {(row["id"], row["attempt"]) for rows in moved.values() for row in rows}
    failed = [(ending.job_id, ending.attempt) for ending in endings if ending.error_code in breakers.FAILURES]
    if counted := [attempt for attempt in failed if attempt in taken]:
        breakers.note_failures(session, counted)
    # Last, because chats are locked after jobs, as everywhere.
    purposes.settle(session, _of_chats(moved[Outcome.COMPLETED], endings))
    purposes.note_failures(session, _of_chats([*moved[Outcome.RETRIED], *moved[Outcome.FAILED]], endings))
    late = [ending for ending in endings if ending.text and (ending.job_id, ending.attempt) not in taken]
    stops.keep(session, {(ending.job_id, ending.attempt): ending.text or "" for ending in late})
    return taken


def _of_chats(moved: purposes.Rows, endings: Sequence[Ending]) -> purposes.Rows:
    """Those of the jobs that belong to chats, with what is known of their endings alone."""
    known = {(ending.job_id, ending.attempt): ending for ending in endings}
    rows = [(row, known[row["id"], row["attempt"]]) for row in moved if row["chat_id"] is not None]
    return [{**row, "basis": ending.basis, "tokens": ending.tokens} for row, ending in rows]


def _call(ending: Ending) -> spending.Call:
    return ending.job_id, ending.attempt, ending.prompt_tokens, ending.completion_tokens, ending.cost


def _row(ending: Ending) -> dict[str, object]:
    return {
        "id": ending.job_id,
        "attempt": ending.attempt,
        "text": ending.text,
        "truncated": ending.truncated,
        "error_code": ending.error_code,
        "error_message": ending.error_message,
        "delay": ending.delay_seconds,
        "fallback": ending.fallback,
        "degraded": ending.degraded,
        "cached": ending.cached,
        "prompt_tokens": ending.prompt_tokens,
        "completion_tokens": ending.completion_tokens,
        "cost": ending.cost,
        "price_version": ending.price_version,
    }

"""Breakers: which models are out of order, known to all dispatchers because it is a row.

    closed ──▶ open ──▶ half_open ──▶ closed, slowly
                ▲            │
                └────────────┘

While a model's breaker is open no job is announced for it, so an outage costs
neither slots nor attempts. What a breaker becomes is decided in
`tasks.breaker`; here stand the facts that needs, and the guarded writes.

One row for each model of the chain. All of them are asked at one server, so
the model's name is key enough.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, stored_by_value

FAILURES = frozenset({"provider_unreachable", "provider_timeout", "provider_unavailable"})
"""Codes of attempts that speak against a model: no connection, no answer in time, 5xx."""
NO_VERDICT = frozenset({"deadline_exceeded", "no_room_alone", "poison"})
"""Codes of attempts that say nothing about it: the job ran out of time, or never got there."""
WINDOW_SECONDS = 30
NEWEST_CALLS = 100
"""Of the window no more than these are looked at: at 200 calls/s it takes 15 s until half of 30 s have failed."""


class BreakerState(enum.StrEnum):
    """What may be announced for a model."""

    CLOSED = "closed"
    """Anything; for a while after an outage, only some."""
    OPEN = "open"
    """Nothing."""
    HALF_OPEN = "half_open"
    """One job is on its way, the probe; nothing else until it has ended."""


class Breaker(Base):
    """The breaker of one model."""

    __tablename__ = "breakers"
    __table_args__ = (
        CheckConstraint("(state = 'half_open') = (probe_job_id IS NOT NULL)", name="probe_iff_half_open"),
        CheckConstraint("(probe_job_id IS NULL) = (probe_attempt IS NULL)", name="probe_has_attempt"),
        CheckConstraint("(state = 'open') = (retry_at IS NOT NULL)", name="retry_iff_open"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[BreakerState] = mapped_column(stored_by_value(BreakerState), server_default="closed")
    changes: Mapped[int] = mapped_column(server_default="0")
    """Changes of state so far: the fencing token of the next one."""
    changed_at: Mapped[dt.datetime | None]
    """The last of them. Closed: only calls begun since then count. Null: it was never open."""
    retry_at: Mapped[dt.datetime | None]
    """While open: when a probe may be sent."""
    open_seconds: Mapped[float] = mapped_column(server_default="0")
    """How long it was opened for, last; doubles while the outage lasts."""
    failed_calls: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Calls that spoke against the model. Only ever grows: the announcer judges when it has."""
    probe_job_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    """No foreign key: the job may be removed while its breaker waits for it."""
    probe_attempt: Mapped[int | None]


class Probe(enum.StrEnum):
    """How far a probe is."""

    UNCLAIMED = "unclaimed"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    VOID = "void"
    """It ended without telling anything: cancelled, released, or its worker was lost."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A breaker as the announcer finds it."""

    model: str
    state: BreakerState = BreakerState.CLOSED
    changes: int = 0
    failed_calls: int = 0
    open_seconds: float = 0.0
    unchanged_seconds: float | None = None
    """Since it got into this state; None if it was never open."""
    wait_seconds: float | None = None
    """While open: until a probe may be sent; negative when it may."""
    probe: Probe | None = None
    """While half open."""


def _in_sql(codes: frozenset[str]) -> str:
    return "(" + ", ".join(f"'{code}'" for code in sorted(codes)) + ")"


_TELLS = f"""(outcome IN ('completed', 'retried', 'failed', 'snoozed')
              AND COALESCE(error_code, '') NOT IN {_in_sql(NO_VERDICT)})"""
_FAILED = f"(COALESCE(error_code, '') IN {_in_sql(FAILURES)})"

SEEN = f"""(
    SELECT COALESCE(jsonb_agg(jsonb_build_object(
        'model', breakers.model, 'state', state, 'changes', changes, 'failed_calls', failed_calls,
        'open_seconds', open_seconds, 'unchanged_seconds', EXTRACT(EPOCH FROM clock_timestamp() - changed_at),
        'wait_seconds', EXTRACT(EPOCH FROM retry_at - clock_timestamp()),
        'probe', CASE WHEN state = 'half_open' THEN COALESCE((
            SELECT CASE WHEN outcome IS NULL THEN 'running' WHEN NOT {_TELLS} THEN 'void'
                   WHEN {_FAILED} THEN 'failed' ELSE 'passed' END
            FROM attempts WHERE job_id = probe_job_id AND attempts.attempt = probe_attempt), 'unclaimed') END
    ) ORDER BY breakers.model), '[]') FROM breakers)"""  # noqa: S608
"""All breakers as one value, for a statement that asks for more; `read` understands it."""


def read(found: Sequence[Mapping[str, Any]]) -> tuple[Seen, ...]:
    """What `SEEN` brought."""
    return tuple(
        Seen(**{**row, "state": BreakerState(row["state"]), "probe": row["probe"] and Probe(row["probe"])})
        for row in found
    )


_SEEN = text(f"SELECT {SEEN} AS breakers")


def seen(session: Session) -> tuple[Seen, ...]:
    """All breakers."""
    return read(session.execute(_SEEN).scalar_one())


_ADD = text("INSERT INTO breakers (model) SELECT unnest(CAST(:models AS text[])) ON CONFLICT DO NOTHING")
_DROP = text("DELETE FROM breakers WHERE model != ALL(CAST(:models AS text[]))")


def keep(session: Session, models: Sequence[str]) -> None:
    """See to it that these models have a breaker, and no others."""
    session.execute(_DROP, {"models": list(models)})
    session.execute(_ADD, {"models": list(models)})


# statement_timestamp(): clock_timestamp() is volatile, and no index can be searched for that.
_TALLY = text(f"""
    SELECT count(*) AS calls, count(*) FILTER (WHERE failed) AS failures FROM (
        SELECT {_FAILED} AS failed FROM attempts
        WHERE finished_at > statement_timestamp() - interval '{WINDOW_SECONDS} seconds'
        AND asked_at > (SELECT COALESCE(max(changed_at), '-infinity') FROM breakers WHERE breakers.model = :model)
        AND attempts.model = :model AND {_TELLS}
        ORDER BY finished_at DESC LIMIT {NEWEST_CALLS}) AS newest
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The newest calls of the window, and how many of them failed by the model's fault."""

    calls: int
    failures: int


def tally(session: Session, model: str) -> Tally:
    """Count what ended lately, of the calls begun since the breaker last closed."""
    row = session.execute(_TALLY, {"model": model}).one()
    return Tally(calls=row.calls, failures=row.failures)


_NOTE = text("""
    WITH counted AS (
        SELECT model, count(*) AS calls FROM attempts
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS given(job_id, attempt) USING (job_id, attempt)
        GROUP BY model
    ), held AS MATERIALIZED (
        SELECT model, calls FROM breakers JOIN counted USING (model) ORDER BY model FOR UPDATE OF breakers
    )
    UPDATE breakers SET failed_calls = failed_calls + held.calls FROM held WHERE breakers.model = held.model
""")


def note_failures(session: Session, failed: Sequence[tuple[str, int]]) -> None:
    """Tell the announcer that these attempts speak against their models, so that it judges at its next tick."""
    session.execute(_NOTE, {"ids": [job_id for job_id, _ in failed], "attempts": [attempt for _, attempt in failed]})


_CHANGE = text("""
    UPDATE breakers SET state = :state, changes = changes + 1, changed_at = clock_timestamp(),
        open_seconds = :open_seconds, probe_job_id = CAST(:job_id AS uuid), probe_attempt = :attempt,
        retry_at = CASE WHEN :state = 'open' THEN clock_timestamp() + make_interval(secs => :wait_seconds) END
    WHERE model = :model AND changes = :changes RETURNING model
""")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a breaker becomes."""

    to: BreakerState
    open_seconds: float
    wait_seconds: float = 0.0
    """If it opens: until a probe may be sent."""
    probe: tuple[str, int] | None = None
    """If it becomes half open: job and attempt."""


def change(session: Session, found: Seen, wanted: Change) -> bool:
    """Change a breaker, if it is still as it was found; whether it was."""
    job_id, attempt = wanted.probe or (None, None)
    changed = session.execute(
        _CHANGE,
        {
            "model": found.model,
            "changes": found.changes,
            "state": wanted.to.value,
            "open_seconds": wanted.open_seconds,
            "wait_seconds": wanted.wait_seconds,
            "job_id": job_id,
            "attempt": attempt,
        },
    )
    return changed.first() is not None


_MAY_PROBE = text("""
    SELECT 1 FROM breakers WHERE model = :model AND changes = :changes AND retry_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
""")


def may_probe(session: Session, found: Seen) -> bool:
    """Take the right to send this breaker's one probe, until the transaction ends; False if another has it."""
    return session.execute(_MAY_PROBE, {"model": found.model, "changes": found.changes}).first() is not None


IS_PROBE = """EXISTS (SELECT FROM breakers
                      WHERE probe_job_id = moved.id AND probe_attempt = moved.attempt) AS is_probe"""
"""For the claim: whether the attempt that begins is a probe."""

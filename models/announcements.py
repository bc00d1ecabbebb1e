"""Announcements: which waiting jobs the workers are told about next.

Celery's queue holds only a small window of hints, never the backlog, so that
cancelling, priority and fairness act at once and an erased Redis costs nothing
but a second telling. One announcer at a time per queue class; who holds the
advisory lock is it, for one tick.

Fair share: owners take turns, each with its most urgent jobs first, and what an
owner has running counts as turns it has had. While another owner waits, nobody
gets more than half of the slots. PostgreSQL
refuses FOR UPDATE beside window functions and ranking a whole backlog costs
98 ms a tick at 100,000 rows, so each owner's first few are fetched by a loose
index scan instead: about 4 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import breakers, generations, heartbeats
from models.states import RUNNING, WAITING, in_sql

SMALLEST_WINDOW = 8
"""Announced although no slot is free: the next jobs then stand at a worker's door when one falls free."""
LARGEST_ANNOUNCEMENT = 512
PROMOTED_AT_ONCE = 1000
LOOKED_AT = 2000
"""Jobs that one tick considers, shared among the owners."""
WAKE_CHANNEL = "parley_jobs"
"""``NOTIFY`` here says that jobs were created: the API sends it, the dispatcher listens."""
LOCK_SPACE = 0x5041524C
"""Advisory locks of this product: ``(LOCK_SPACE, hash of the queue class)``."""

_LOCK = text("SELECT pg_try_advisory_xact_lock(:space, hashtext(:queue_class))")


def take_turn(session: Session, queue_class: str) -> bool:
    """Become the announcer of this class until the transaction ends; False if another one is."""
    return bool(session.scalar(_LOCK, {"space": LOCK_SPACE, "queue_class": queue_class}))


# Free slots are counted from rows (slots of live workers less running jobs), so
# they are exact at every tick, however old the heartbeats are.
_ROOM = text(f"""
    SELECT (SELECT COALESCE(sum(slots), 0) FROM heartbeats
            WHERE kind = '{heartbeats.WORKER}' AND queue_class = :queue_class
            AND seen_at > clock_timestamp() - interval '{heartbeats.LIVE_SECONDS} seconds') AS slots,
           (SELECT count(*) FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(RUNNING)}) AS running,
           (SELECT count(*) FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)}
            AND announced_at > statement_timestamp() - make_interval(secs => :again_after)) AS announced,
           EXISTS (SELECT FROM jobs
                   WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)} AND due) AS any_due,
           {breakers.SEEN} AS breakers
""")  # noqa: S608


@dataclass(frozen=True)
class Room:
    """How much may be announced now; nothing if nothing is due."""

    slots: int
    """Of all live workers of the class."""
    free: int
    breakers: tuple[breakers.Seen, ...] = ()
    """As of the same moment: they decide for which models it may be announced."""

    @property
    def share(self) -> int:
        """Slots one owner may hold while another waits: half, rounded up, or the odd slot would stay empty."""
        return max(1, (self.slots + 1) // 2)


def room(session: Session, queue_class: str, *, again_after: float) -> Room:
    """How many more jobs may be announced now; none while no worker lives, or hints would pile up in Redis."""
    now = session.execute(_ROOM, {"queue_class": queue_class, "again_after": again_after}).one()
    slots = int(now.slots)
    free = max(SMALLEST_WINDOW, slots - int(now.running)) - int(now.announced) if slots and now.any_due else 0
    return Room(slots=slots, free=min(LARGEST_ANNOUNCEMENT, max(0, free)), breakers=breakers.read(now.breakers))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Jobs that may be announced for one model of the chain.

    One pass for all jobs is the rule. There are several while a breaker lets
    through only some of them, or none.
    """

    choice: int = 0
    """The model's place in the chain; a job that has been handed down further gets its own."""
    low: int = 0
    high: int = 32767
    """Only jobs that have been handed down so far."""
    most: int = LARGEST_ANNOUNCEMENT
    last: int = 32767
    """The last place in the chain; a job handed down further, when the chain was longer, gets that."""
    resting: list[str] = field(default_factory=list)
    """Owners whose jobs wait, for want of a budget."""


EVERYTHING = Pass()

_IN_FLIGHT = text(f"""
    SELECT (SELECT count(*) FROM jobs WHERE status IN {in_sql(RUNNING)} AND choice = :choice)
         + (SELECT count(*) FROM jobs WHERE status IN {in_sql(WAITING)} AND choice = :choice
            AND announced_at > statement_timestamp() - make_interval(secs => :again_after))
""")  # noqa: S608


def in_flight(session: Session, choice: int, *, again_after: float) -> int:
    """How many jobs of all classes run or are announced for this model of the chain."""
    return int(session.execute(_IN_FLIGHT, {"choice": choice, "again_after": again_after}).scalar_one())


TURNS = f"""
    WITH RECURSIVE owners AS (
        (SELECT owner FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)} AND due
         ORDER BY owner LIMIT 1)
        UNION ALL
        SELECT (SELECT jobs.owner FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)} AND due
                AND jobs.owner > owners.owner ORDER BY jobs.owner LIMIT 1)
        FROM owners WHERE owners.owner IS NOT NULL
    ), due AS (
        SELECT first.id, owners.owner, first.rank_at,
               row_number() OVER (PARTITION BY owners.owner ORDER BY first.rank_at) AS turn
        FROM owners CROSS JOIN LATERAL (
            SELECT id, rank_at FROM jobs
            WHERE queue_class = :queue_class AND owner = owners.owner AND status IN {in_sql(WAITING)} AND due
            AND deadline_at > clock_timestamp() AND fallback BETWEEN :low AND :high
            AND owners.owner <> ALL(CAST(:resting AS text[])) AND {generations.IS_NEXT}
            AND (announced_at IS NULL OR announced_at <= clock_timestamp() - make_interval(secs => :again_after))
            ORDER BY rank_at LIMIT (SELECT LEAST(:most, GREATEST(2, :looked_at / count(*))) FROM owners)
        ) AS first
    ), busy AS (
        SELECT owner, count(*) AS held FROM (
            SELECT owner FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(RUNNING)}
            UNION ALL
            SELECT owner FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)}
            AND announced_at > statement_timestamp() - make_interval(secs => :again_after)
        ) AS jobs GROUP BY owner
    ), queue AS (
        SELECT id, owner, turn + COALESCE(held, 0) AS turn, rank_at FROM due LEFT JOIN busy USING (owner)
    ), crowd AS (
        SELECT count(*) > 1 AS is_one FROM owners WHERE owner IS NOT NULL
    )
"""  # noqa: S608
"""Each owner's first waiting jobs: ``queue``, in the order of ``turn, rank_at``.

Of a crowd of owners only two jobs each: what is left over is there at the next tick.

``turn`` is how many slots the owner would hold with this job; ``crowd`` says whether several owners wait.
"""

_ANNOUNCE = text(f"""
    {TURNS}, chosen AS (
        SELECT id, turn, rank_at FROM queue, crowd WHERE turn <= :share OR NOT is_one
        ORDER BY turn, rank_at LIMIT :most
    ), held AS MATERIALIZED (
        SELECT jobs.id FROM jobs WHERE id IN (SELECT id FROM chosen) AND status IN {in_sql(WAITING)}
        ORDER BY id FOR UPDATE SKIP LOCKED
    ), stamped AS (
        UPDATE jobs SET announced_at = clock_timestamp(), choice = GREATEST(:choice, LEAST(jobs.fallback, :last))
        FROM held WHERE jobs.id = held.id
        RETURNING jobs.id, jobs.attempt
    )
    SELECT stamped.id::text AS id, stamped.attempt FROM stamped JOIN chosen USING (id)
    ORDER BY chosen.turn, chosen.rank_at
""")  # noqa: S608


def stamp(
    session: Session, queue_class: str, *, room: Room, again_after: float, only: Pass = EVERYTHING
) -> list[tuple[str, int]]:
    """Choose due jobs for the free room and mark them announced: ``(job id, attempt)``, in the order they should run.

    Args:
        again_after: seconds after which an announcement nobody acted on counts as lost.
        only: which of the jobs, and for which model.
    """
    rows = session.execute(
        _ANNOUNCE,
        {
            **vars(only),
            "queue_class": queue_class,
            "most": min(room.free, only.most),
            "share": room.share,
            "looked_at": LOOKED_AT,
            "again_after": again_after,
        },
    )
    return [(row.id, row.attempt) for row in rows]


_TRACED = text("""
    SELECT id::text, traceparent FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) AND traceparent IS NOT NULL
""")


def traced(session: Session, job_ids: list[str]) -> list[tuple[str, str]]:
    """Those of the jobs that belong to a trace, each with its ``traceparent``."""
    return [(row.id, row.traceparent) for row in session.execute(_TRACED, {"ids": job_ids})]


_ARE_OUT = text(f"""
    SELECT EXISTS (SELECT FROM jobs WHERE queue_class = :queue_class AND status IN {in_sql(WAITING)}
                   AND announced_at > clock_timestamp() - make_interval(secs => :again_after))
""")  # noqa: S608


def are_out(session: Session, queue_class: str, *, again_after: float) -> bool:
    """Whether jobs of this class have been announced that nobody has claimed yet."""
    return bool(session.scalar(_ARE_OUT, {"queue_class": queue_class, "again_after": again_after}))


_PROMOTE = text(f"""
    UPDATE jobs SET due = true WHERE id = ANY(ARRAY(
        SELECT id FROM jobs WHERE status IN {in_sql(WAITING)} AND NOT due AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at LIMIT {PROMOTED_AT_ONCE} FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def promote(session: Session) -> None:
    """Let those jobs into the queue whose back-off is over, or whose time has come."""
    session.execute(_PROMOTE)


_TAKE_BACK = text(f"""
    UPDATE jobs SET announced_at = NULL, reserved = NULL WHERE id = ANY(ARRAY(
        SELECT jobs.id FROM jobs
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS given(id, attempt) USING (id)
        WHERE jobs.attempt = given.attempt AND status IN {in_sql(WAITING)} ORDER BY jobs.id FOR UPDATE OF jobs))
""")  # noqa: S608


def take_back(session: Session, hints: list[tuple[str, int]]) -> None:
    """Forget announcements that could not be published, so that they are due again at once."""
    session.execute(_TAKE_BACK, {"ids": [job_id for job_id, _ in hints], "attempts": [attempt for _, attempt in hints]})

"""Dead letters: jobs that were given up, and what an operator may do about them.

A dead letter is a job whose status is ``failed``; there is no second store. One
that is *discarded* stays as it is and is only not shown any more.

Many may be redriven at once, but not to run at once: an outage leaves thousands,
and what has just come back would fall over them. They come due one after the
other, and from then on they are jobs as any: the announcer's fair share and the
limits on what may wait hold for them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models import owners, retention, snapshots
from models.ai_errors import OvertakenReply
from models.errors import BacklogFull, DeadLetterNotFound
from models.states import DEAD, JobStatus, move
from models.versions import SHOWN_ATTEMPTS

MOST_AT_ONCE = 10_000
REDRIVEN_AT_ONCE = DISCARDED_AT_ONCE = 500
"""In one transaction: it stays far below the time limit of an answer."""
COUNTED = 1000
"""Nobody needs to know how many more there are; a probe is asked often."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which dead letters; what is None does not matter."""

    error_code: str | None = None
    model: str | None = None
    finished_after: dt.datetime | None = None
    """Or at that time."""
    finished_before: dt.datetime | None = None
    discarded: bool = False
    """Only the discarded ones, or only the others."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may wait."""

    most_waiting: int
    most_waiting_per_owner: int


# psycopg2 writes values into the statement, so the planner sees which conditions are none, drops them, and
# finds the partial index that serves the rest.
_MATCHES = """
    status = 'failed'
    AND ((:discarded AND discarded_at IS NOT NULL) OR (NOT :discarded AND discarded_at IS NULL))
    AND (CAST(:error_code AS text) IS NULL OR error_code = :error_code)
    AND (CAST(:model AS text) IS NULL OR model = :model)
    AND (CAST(:finished_after AS timestamptz) IS NULL OR finished_at >= CAST(:finished_after AS timestamptz))
    AND (CAST(:finished_before AS timestamptz) IS NULL OR finished_at < CAST(:finished_before AS timestamptz))
"""
_COLUMNS = """id::text AS id, owner, type, error_code, error_message, attempt, failures, max_attempts, lost_count,
              model, created_at, finished_at, discarded_at"""
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM jobs WHERE {_MATCHES}
    AND (CAST(:at AS timestamptz) IS NULL OR (finished_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
    ORDER BY finished_at DESC, jobs.id DESC LIMIT :limit
""")  # noqa: S608
# What is said in a chat is for those who are in it.
_ONE = text(f"""
    SELECT {_COLUMNS}, CASE WHEN chat_id IS NULL THEN message ELSE 'Said in chat ' || chat_id END AS message
    FROM jobs WHERE id = CAST(:id AS uuid) AND status = 'failed'
""")  # noqa: S608
_LEDGER = text(f"""
    SELECT *, sum(prompt_tokens) OVER () AS all_prompt_tokens, sum(completion_tokens) OVER () AS all_completion_tokens
    FROM attempts WHERE job_id = CAST(:id AS uuid) ORDER BY attempt DESC LIMIT {SHOWN_ATTEMPTS}
""")  # noqa: S608


def page(
    session: Session, which: Filter, *, limit: int, before: tuple[dt.datetime, str] | None = None
) -> Sequence[Row[Any]]:
    """Dead letters, the latest first; ``before`` is the ``(finished_at, id)`` of the last one already seen."""
    at, job_id = before or (None, None)
    return session.execute(_PAGE, {**vars(which), "limit": limit, "at": at, "id": job_id}).all()


def one(session: Session, job_id: str) -> Row[Any]:
    """One dead letter, discarded or not, with its message.

    Raises:
        DeadLetterNotFound, JobGone: there is no such job, or it has not failed.
    """
    letter = session.execute(_ONE, {"id": job_id}).one_or_none()
    if letter is None:
        raise retention.absence(session, job_id, reader=owners.ANYONE, unknown=DeadLetterNotFound())
    return letter


def ledger(session: Session, job_id: str) -> Sequence[Row[Any]]:
    """The newest attempts at a job, the last first; each row also has the tokens of all of them, even the older."""
    return session.execute(_LEDGER, {"id": job_id}).all()


_COUNT = text(f"""
    SELECT count(*) AS number, CAST(EXTRACT(EPOCH FROM clock_timestamp() - min(finished_at)) AS float8) AS oldest
    FROM (SELECT finished_at FROM jobs WHERE {DEAD} ORDER BY finished_at LIMIT {COUNTED} + 1) AS first
""")  # noqa: S608


def count(session: Session) -> tuple[int, float | None]:
    """How many there are that are not discarded, up to one more than `COUNTED`, and the age of the oldest in seconds.

    Reads so many entries of one index, however many jobs there are.
    """
    row = session.execute(_COUNT).one()
    return row.number, row.oldest


# `attempt` is kept: an attempt from before the redrive must stay fenced off.
_REVIVED = """failures = 0, lost_count = 0, finished_at = NULL, error_code = NULL, error_message = NULL,
              due = held.delay <= 0, next_attempt_at = clock_timestamp() + make_interval(secs => held.delay),
              announced_at = NULL, start_by = NULL, discarded_at = NULL, fallback = 0,
              deadline_at = clock_timestamp() + make_interval(secs => held.delay + jobs.deadline_seconds)"""


# Of one purpose a chat waits for one job. Its chat is held, so that nobody calls for another meanwhile.
_NOT_OVERTAKEN = """(jobs.chat_id IS NULL OR NOT EXISTS (
    SELECT FROM jobs AS other WHERE other.chat_id = jobs.chat_id AND other.purpose = jobs.purpose
    AND other.finished_at IS NULL))"""
_FIRST_OF_ITS_CHAT = """(jobs.chat_id IS NULL OR NOT EXISTS (
    SELECT FROM given AS twin JOIN jobs AS other USING (id) WHERE other.chat_id = jobs.chat_id
    AND other.purpose = jobs.purpose AND other.status = 'failed' AND other.id < jobs.id))"""
_HOLD_CHATS = text("""
    SELECT id FROM chats WHERE id IN (SELECT chat_id FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])))
    ORDER BY id FOR NO KEY UPDATE
""")


def redrive(session: Session, job_id: str) -> None:
    """Give a dead letter its failures back and a new deadline of the old length; its attempts stay on record.

    Raises:
        DeadLetterNotFound, JobGone: there is no such dead letter, or another redrive was faster.
        OvertakenReply: its chat waits for a later one.
    """
    if not redrive_all(session, [job_id]):
        one(session, job_id)
        raise OvertakenReply


def redrive_all(session: Session, job_ids: Sequence[str], *, delays: Sequence[float] | None = None) -> set[str]:
    """Redrive those of the jobs that are dead letters; answers their ids. Of one chat only one of them.

    Args:
        delays: for each, the seconds until it is due; its deadline counts from then. At once, if not given.
    """
    session.execute(_HOLD_CHATS, {"ids": list(job_ids)})
    moved = move(
        session,
        [
            {"id": job_id, "attempt": None, "delay": delay}
            for job_id, delay in zip(job_ids, delays or [0.0] * len(job_ids), strict=True)
        ],
        to=JobStatus.CREATED,
        only_if=f"{_NOT_OVERTAKEN} AND {_FIRST_OF_ITS_CHAT}",
        changes=_REVIVED,
        log="SELECT 1",
        returning="id::text AS id",
    )
    return {row["id"] for row in moved}


# The oldest first. SKIP LOCKED before LIMIT: two redrives at once share the letters, and each is taken by one.
_HOLD = text(f"""
    SELECT id::text AS id, owner FROM jobs WHERE {_MATCHES} AND owner <> ALL(CAST(:full AS text[]))
    AND {_NOT_OVERTAKEN}
    ORDER BY finished_at, jobs.id LIMIT :most FOR UPDATE SKIP LOCKED
""")  # noqa: S608


class Redrive:
    """Many dead letters sent on another round, a transaction's worth at a time.

    What may wait is counted from the last snapshot, about a second old, and what this redrive has added to it.
    """

    def __init__(self, session: Session, which: Filter, *, most: int, per_second: float, limits: Limits) -> None:
        """See how much there is room for.

        Args:
            per_second: how many of them come due in a second.

        Raises:
            BacklogFull: for not even one.
        """
        backlog = snapshots.latest(session).get(snapshots.BACKLOG) or {"waiting": 0, "owners": {}}
        self._most = min(most, limits.most_waiting - backlog["waiting"])
        if self._most <= 0:
            raise BacklogFull
        self._which, self._per_second, self._most_per_owner = which, per_second, limits.most_waiting_per_owner
        self._waiting = Counter(backlog["owners"])
        self.done = 0
        self.full: set[str] = set()
        """Owners who have letters left, but as many jobs waiting as they may."""

    def some(self, session: Session) -> bool:
        """Redrive the next few, the oldest first; whether there may be more."""
        few = min(REDRIVEN_AT_ONCE, self._most - self.done)
        found = session.execute(_HOLD, {**vars(self._which), "full": list(self.full), "most": few}).all()
        taken = [letter.id for letter in found if self._admits(letter.owner)]
        delays = [(self.done + place) / self._per_second for place in range(len(taken))]
        self.done += len(redrive_all(session, taken, delays=delays))
        return bool(found) and self.done < self._most

    def _admits(self, owner: str) -> bool:
        if self._waiting[owner] >= self._most_per_owner:
            self.full.add(owner)
            return False
        self._waiting[owner] += 1
        return True


_DISCARD = text("""
    UPDATE jobs SET discarded_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid) AND status = 'failed' AND discarded_at IS NULL RETURNING id
""")
_DISCARD_SOME = text(f"""
    UPDATE jobs SET discarded_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = ANY(ARRAY(
        SELECT id FROM jobs WHERE {_MATCHES} ORDER BY finished_at, id LIMIT :most FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def discard(session: Session, job_id: str) -> None:
    """Show a dead letter no more. Its job stays as it is; a second time changes nothing.

    Raises:
        DeadLetterNotFound, JobGone: there is no such dead letter.
    """
    if session.execute(_DISCARD, {"id": job_id}).one_or_none() is None:
        one(session, job_id)


def discard_some(session: Session, which: Filter, *, most: int) -> int:
    """Discard the oldest of these dead letters, a transaction's worth at most; how many there were."""
    limits = {**vars(which), "most": min(most, DISCARDED_AT_ONCE)}
    return session.execute(_DISCARD_SOME, limits).rowcount  # type: ignore[attr-defined,no-any-return]

"""Samples: how the installation stood every few seconds, kept for charts of the last hour, day and week.

One row is one moment of a chart. Each sample is added to the row of its time in three spans: rows of the hour are as
fine as `SAMPLE_SECONDS`, those of the day take five minutes together, those of the week half an hour. So the table
has some hundred rows of each, however long it all runs, and no chart reads more.

Any number of dispatchers sample: the first of them in its turn at each time does, by the database's clock.
What no process has told is absent, and so unknown; it is not 0.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import announcements, figures, reports, spending
from models.base import Base
from models.breakers import BreakerState
from models.states import WAITING

TURN = "samples"
SETTLED_SECONDS = 2.0
"""What ended so lately may be in a transaction that is not committed yet: it is counted with the next sample."""
LONGEST_SECONDS = 600.0
"""What a sample tells of. After a longer pause the time before that is a gap in the charts."""
Body = Mapping[str, Any]
"""``seconds`` it tells of; ``heard``: processes that reported, by kind; ``counts`` of that time; ``gauges``; and
``activity`` as `models.activity.read` has it, if it is known."""


class Span(enum.StrEnum):
    """What a chart shows."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"


SHOWN_SECONDS = {Span.HOUR: 3600, Span.DAY: 86_400, Span.WEEK: 7 * 86_400}
_STEPS = {Span.DAY: 300, Span.WEEK: 1800}


class Sample(Base):
    """One moment of the charts of one span."""

    __tablename__ = "samples"
    # Added to again and again: room for the next version on the same page.
    __table_args__ = {"postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012

    span: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(primary_key=True)
    """When its time begins."""
    until: Mapped[dt.datetime]
    """What ended later is not counted yet."""
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


def step_of(span: Span, sample_seconds: int) -> int:
    """Seconds that one row of a span stands for."""
    return _STEPS.get(span, sample_seconds)


_LAST = text("""
    SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS float8) AS now, CAST(EXTRACT(EPOCH FROM at) AS float8) AS at,
           CAST(EXTRACT(EPOCH FROM until) AS float8) AS until
    FROM (SELECT true) AS always LEFT JOIN (
        SELECT at, until FROM samples WHERE span = :span ORDER BY at DESC LIMIT 1
    ) AS last ON true
""")
_ENDED = text("""
    SELECT status, count(*) AS jobs FROM jobs
    WHERE finished_at > to_timestamp(:since) AND finished_at <= to_timestamp(:until) GROUP BY status
""")
# The clock has been put back: they would stand in the way until it is as late again.
_FORGET = text("DELETE FROM samples WHERE at > to_timestamp(:now) OR until > to_timestamp(:now)")
_ROW = text("SELECT body FROM samples WHERE span = :span AND at = to_timestamp(:at)")
_STORE = text("""
    INSERT INTO samples (span, at, until, body)
    VALUES (:span, to_timestamp(:at), to_timestamp(:until), CAST(:body AS jsonb))
    ON CONFLICT (span, at) DO UPDATE SET until = excluded.until, body = excluded.body
""")


def take(session: Session, *, every: int, activity: Mapping[str, Any] | None = None) -> bool:
    """Take the sample of this time, unless that has been done or is being done.

    Args:
        every: seconds from one to the next.
        activity: as `models.activity.read` has it; None: nobody knows.
    """
    if not announcements.take_turn(session, TURN):
        return False
    last = session.execute(_LAST, {"span": Span.HOUR}).one()
    if last.at is not None and last.at > last.now:
        session.execute(_FORGET, {"now": last.now})
    elif last.at is not None and last.now // every <= last.at // every:
        return False
    until = last.now - SETTLED_SECONDS
    goes_on = last.until is not None and last.until < until
    since = max(until - LONGEST_SECONDS, last.until) if goes_on else until - every
    body = {**_told(session, seconds=last.now - since), **_asked(session, since=since, until=until)}
    body["seconds"], body["activity"] = until - since, activity
    for span in Span:
        step = step_of(span, every)
        key = {"span": span, "at": last.now // step * step}
        before = session.execute(_ROW, key).scalar_one_or_none()
        whole = body if before is None else merged(before, body)
        session.execute(_STORE, {**key, "until": until, "body": json.dumps(whole)})
    return True


def _told(session: Session, *, seconds: float) -> dict[str, Any]:
    """What the processes say of themselves: counts added up, and of each process how it stands by its last word."""
    counts: dict[str, float] = {}
    last: dict[tuple[str, str], Mapping[str, float]] = {}
    for row in reports.take(session, seconds=seconds):
        add(counts, row.body["counts"])
        last[row.kind, row.instance] = row.body["gauges"]
    gauges: dict[str, float] = {}
    for standing in last.values():
        fullest = max(standing.get(reports.DISK, 0), gauges.get(reports.DISK, 0))
        add(gauges, standing)
        gauges |= {reports.DISK: fullest} if reports.DISK in standing else {}
    heard: dict[str, float] = {}
    for kind, _ in last:
        add(heard, {kind: 1})
    return {"heard": heard, "counts": counts, "told": gauges}


def _asked(session: Session, *, since: float, until: float) -> dict[str, Any]:
    """What the database says."""
    found = figures.read(session)
    day = spending.today(session)
    cost = spending.total(session, first=day, last=day)["cost"]
    ended = {row.status: row.jobs for row in session.execute(_ENDED, {"since": since, "until": until})}
    return {
        "ended": {status: ended.get(status, 0) for status in ("completed", "failed", "cancelled")},
        "gauges": {
            "waiting": sum(jobs for (status, *_), jobs in found.unfinished.items() if status in WAITING),
            "running": sum(jobs for (status, *_), jobs in found.unfinished.items() if status not in WAITING),
            "oldest": max(found.oldest.values(), default=0),
            "dead_letters": found.dead_letters,
            "breakers_open": sum(seen.state is not BreakerState.CLOSED for seen in found.breakers),
            # For a chart only: what is paid, `models.spending` knows to the last digit.
            **({} if cost is None else {"cost": float(cost)}),
        },
    }


def add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    """Add each number to the one of its name."""
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value


def merged(one: Body, other: Body) -> dict[str, Any]:
    """Both times as one; ``other`` is the later. Of what stands, the most: a peak must not vanish among quiet moments.

    >>> early = {"seconds": 15, "heard": {"api": 2}, "counts": {"requests.2xx": 5}, "told": {"sockets": 7},
    ...          "ended": {"failed": 1}, "gauges": {"waiting": 9}, "activity": {"users": 1}}
    >>> late = {"seconds": 15, "heard": {}, "counts": {}, "told": {"sockets": 8}, "ended": {"failed": 0},
    ...         "gauges": {"waiting": 2}, "activity": None}
    >>> whole = merged(early, late)
    >>> whole["seconds"], whole["heard"], whole["counts"], whole["told"], whole["ended"], whole["gauges"]
    (30, {'api': 2}, {'requests.2xx': 5}, {'sockets': 8}, {'failed': 1}, {'waiting': 9})
    """
    whole: dict[str, Any] = {"seconds": one["seconds"] + other["seconds"]}
    for name in ("counts", "ended"):
        whole[name] = dict(one[name])
        add(whole[name], other[name])
    for name in ("heard", "told", "gauges"):
        whole[name] = dict(one[name])
        for key, value in other[name].items():
            whole[name][key] = max(whole[name].get(key, value), value)
    whole["activity"] = other["activity"] or one["activity"]
    return whole


_HISTORY = text("""
    SELECT at, body FROM samples WHERE span = :span AND at > clock_timestamp() - make_interval(secs => :seconds)
    ORDER BY at
""")
_NEWEST = text("""
    SELECT until, body FROM samples WHERE span = :span AND until > clock_timestamp() - make_interval(secs => :seconds)
    ORDER BY at DESC LIMIT 1
""")
_PRUNE = text("""
    DELETE FROM samples USING (SELECT unnest(CAST(:spans AS text[])) AS name, unnest(CAST(:seconds AS int[])) AS kept)
        AS spans
    WHERE span = spans.name AND at < clock_timestamp() - make_interval(secs => spans.kept)
""")


def history(session: Session, span: Span) -> Sequence[Any]:
    """``at`` and ``body`` of each row that a span shows, the oldest first."""
    return session.execute(_HISTORY, {"span": span, "seconds": SHOWN_SECONDS[span]}).all()


def newest(session: Session, *, every: int) -> Any:
    """``until`` and ``body`` of the newest sample; None: there is none of the last three times, so nobody samples."""
    given = {"span": Span.HOUR, "seconds": 3 * every + SETTLED_SECONDS}
    return session.execute(_NEWEST, given).one_or_none()


def prune(session: Session) -> None:
    """Forget what no chart shows any more."""
    session.execute(_PRUNE, {"spans": list(SHOWN_SECONDS), "seconds": list(SHOWN_SECONDS.values())})

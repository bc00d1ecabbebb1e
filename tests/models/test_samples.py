"""Samples: what the dashboard's charts are made of."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy import text

from models import announcements, reports, sample_figures, samples
from models.base import Session
from models.reports import Reporter
from models.samples import Span
from models.settings import Settings
from models.states import JobStatus
from tasks import dispatcher
from tasks.sampler import Sampler
from tests.factories import a_job, a_user, now, signed_in

pytestmark = pytest.mark.usefixtures("db")

EVERY = 300
"""Seconds: no test lasts into the next time but by chance, and `again` sees to that."""


def take(**options: Any) -> bool:
    with Session.begin() as session:
        return samples.take(session, **{"every": EVERY, **options})


def again() -> bool:
    """Take the sample of the next time: move what there is back by one."""
    with Session.begin() as session:
        session.execute(text("UPDATE samples SET at = at - interval '300 seconds' WHERE span = '1h'"))
    return take()


def told(**counts: float) -> None:
    """A report of an API."""
    with Session.begin() as session:
        assert reports.hand_in(session, kind="api", instance="one", counts=counts, gauges={})


def rows(span: Span = Span.HOUR) -> list[Any]:
    with Session() as session:
        return list(samples.history(session, span))


def ended(ago: float, status: JobStatus = JobStatus.COMPLETED) -> str:
    return a_job(status=status, finished_at=now() - dt.timedelta(seconds=ago))


def test_a_time_is_sampled_once_whoever_tries() -> None:
    """Several dispatchers run, and none of them knows of the others."""
    assert take()
    assert not take()
    assert len(rows()) == 1


def test_a_clock_that_was_put_back_stops_no_chart() -> None:
    """What was sampled by the wrong time goes; else there would be nothing new until it is as late again."""
    assert take()
    with Session.begin() as session:
        session.execute(text("UPDATE samples SET at = at + interval '1 day', until = until + interval '1 day'"))

    assert take()

    for span in Span:
        assert [row.at <= now() for row in rows(span)] == [True]
    assert rows()[0].body["seconds"] == pytest.approx(EVERY)


def test_after_a_long_pause_a_sample_tells_of_its_end() -> None:
    """A clock that was put forward, or no dispatcher for an hour: what was before is a gap, and no quiet time."""
    assert take()
    ended(1800)
    told(resyncs=3)
    with Session.begin() as session:
        session.execute(text("UPDATE samples SET at = at - interval '1 hour', until = until - interval '1 hour'"))
        session.execute(text("UPDATE reports SET reported_at = reported_at - interval '30 minutes'"))

    assert take()

    body = rows()[-1].body
    assert body["seconds"] == pytest.approx(samples.LONGEST_SECONDS)
    assert body["ended"]["completed"] == 0
    assert body["counts"] == {}


def test_who_finds_another_at_it_leaves_it_to_him() -> None:
    """Without waiting for him: a sampler that hangs must not hang the others."""
    with Session.begin() as other:
        assert announcements.take_turn(other, samples.TURN)
        assert not take()


def test_what_ended_counts_in_one_sample() -> None:
    """From where the sample before ended, so that the sums are those of the database."""
    ended(10)
    ended(20, JobStatus.FAILED)
    ended(4000)  # before the time of the first sample
    assert take()
    with Session.begin() as session:  # as if that had been a while ago
        session.execute(text("UPDATE samples SET until = until - interval '5 seconds'"))
        session.execute(text("UPDATE jobs SET finished_at = finished_at - interval '5 seconds'"))
    ended(3, JobStatus.CANCELLED)
    ended(4)
    assert again()

    first, second = (row.body for row in rows())

    assert first["ended"] == {"completed": 1, "failed": 1, "cancelled": 0}
    assert second["ended"] == {"completed": 1, "failed": 0, "cancelled": 1}
    assert sum(first["ended"].values()) + sum(second["ended"].values()) == 4
    assert sample_figures.derived(first)["failed_share"] == 0.5


def test_each_report_counts_once() -> None:
    """It is gone when the sample that has it is there."""
    told(resyncs=3)
    told(resyncs=4)
    assert take()
    told(resyncs=5)
    assert again()

    assert [row.body["counts"]["resyncs"] for row in rows()] == [7, 5]
    assert [row.body["heard"] for row in rows()] == [{"api": 1}, {"api": 1}]


def test_of_several_disks_the_fullest_is_shown_and_sockets_are_added() -> None:
    """Each process says how full its own is, and only its last word counts."""
    words = (("one", 2, 0.3), ("one", 3, 0.4), ("two", 4, 0.9), ("three", 5, 0.1))
    for instance, sockets, disk in words:
        with Session.begin() as session:
            gauges = {"sockets": sockets, reports.DISK: disk}
            reports.hand_in(session, kind="gateway", instance=instance, counts={}, gauges=gauges)
    assert take()

    figures = sample_figures.derived(rows()[0].body)

    assert (figures["sockets"], figures["disk_used_share"]) == (12, 0.9)


def test_a_row_of_the_day_is_the_sum_of_its_time_and_keeps_the_peaks() -> None:
    """The chart of a week must show the minute in which a hundred jobs waited."""
    told(resyncs=3)
    for _ in range(3):
        a_job()
    assert take()
    with Session.begin() as session:
        session.execute(text("DELETE FROM jobs"))
    told(resyncs=4)
    assert again()

    [week] = rows(Span.WEEK)[-1:]
    if len(rows(Span.WEEK)) == 1:  # else the half hour has just ended between the two
        assert week.body["counts"]["resyncs"] == 7
        assert week.body["gauges"]["waiting"] == 3
        assert week.body["seconds"] == pytest.approx(sum(row.body["seconds"] for row in rows()))


def test_what_nobody_has_told_is_unknown_and_not_zero() -> None:
    """An API that is cut off from the database is not one without errors."""
    assert take()
    [row] = rows()
    figures = sample_figures.derived(row.body)

    for name in ("request_rate", "error_share", "latency_p95", "sockets", "delivery_p95", "chat_cache_hits", "cores"):
        assert figures[name] is None, name
    assert figures["waiting"] == 0
    assert figures["finished_rate"] == 0


def test_old_samples_go() -> None:
    """Each span keeps what it shows."""
    assert take()
    with Session.begin() as session:
        for span, seconds in samples.SHOWN_SECONDS.items():
            for more in (-100, 100):
                session.execute(
                    text("""
                        INSERT INTO samples SELECT CAST(:span AS text), clock_timestamp() - make_interval(secs => :ago),
                        until, body FROM samples LIMIT 1
                    """),
                    {"span": span, "ago": seconds + more},
                )

    dispatcher.prune(retention_days=30, audit_days=365, session_days=30)

    with Session() as session:
        left = session.execute(text("SELECT span, count(*) FROM samples GROUP BY span ORDER BY span")).all()

    assert [tuple(row) for row in left] == [("1h", 2), ("24h", 2), ("7d", 2)]


def test_reports_that_nobody_takes_do_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch, db: Settings) -> None:
    """And what could not be handed in is in the next one that can be."""
    monkeypatch.setattr(reports, "MOST_WAITING", 1)
    monkeypatch.setattr(reports, "_HAND_IN", text(str(reports._HAND_IN).replace("5000", "1")))
    registry = CollectorRegistry()
    resyncs = Counter("parley_gateway_resyncs_total", "-", registry=registry)
    reporter = Reporter(db, kind="gateway", gauges=lambda: {"sockets": 2}, registry=registry)
    for _ in range(3):
        resyncs.inc()
        reporter.report()
    assert take()  # with the first
    reporter.report()
    assert again()

    first, second = (row.body for row in rows())

    assert [first["counts"]["resyncs"], second["counts"]["resyncs"]] == [1, 2]
    assert sample_figures.derived(second)["sockets"] == 2
    assert (sample_figures.derived(second)["resident"] or 0) > 1_000_000


def test_a_report_counts_what_the_api_answers_and_not_its_probes(db: Settings) -> None:
    """A probe every second would make every API look fast."""
    registry = CollectorRegistry()
    took = Histogram(
        "parley_http_request_duration_seconds", "-", ("method", "route"), buckets=(0.1, 0.2), registry=registry
    )
    for route, seconds in (("/api/jobs", 0.15), ("/health/ready", 0.01), ("/static/<path:filename>", 0.01)):
        took.labels("GET", route).observe(seconds)

    counts = reports.counted(registry)

    assert sample_figures.buckets(counts, "answers", (0.1, 0.2)) == [(0.1, 0), (0.2, 1), (float("inf"), 1)]


def test_the_activity_of_a_day_is_of_people_and_of_jobs(db: Settings) -> None:
    """Whoever came without asking anything was there; whoever asked yesterday was not."""
    busy, present, absent = (a_user() for _ in range(3))
    for _ in range(3):
        a_job(owner=f"user:{busy}", created_at=now())
    a_job(owner="guest:someone", created_at=now())
    a_job(owner=f"user:{absent}", created_at=now() - dt.timedelta(days=2))
    signed_in(present)
    sampler = Sampler(every=EVERY)

    sampler.tick()

    [row] = rows()
    assert row.body["activity"] == {"users": 2, "owners": 2, "jobs": 4, "jobs_per_owner": [1, 3, 3]}

"""``python -m benchmarks.history``: what two million jobs of the last month cost those who come.

The product is asked with ten thousand finished jobs in its tables, and with two million: the statements of the routes
that read jobs and of those that count them for operators, a POST and a poll on the real api, and how soon a new job
is picked up. Then what removes old jobs, and what PostgreSQL cleans up behind it, on the big set alone.

The exit code is 1 if a statement's median is more than 1.5 times slower on the big set.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import machine
from benchmarks.client import Client, Load
from benchmarks.product import API, DISPATCHER, WORKER, Product
from models import (
    activity,
    announcements,
    base,
    dead_letters,
    everybodys,
    figures,
    invariants,
    own_jobs,
    retention,
)
from models.base import Session
from models.everybodys import Ended
from models.kinds import QueueClass

SMALL, BIG = 10_000, 2_000_000
AT_ONCE = 500_000
"""Rows of one INSERT."""
SLOWER = 1.5
TIMES, WARM_UP = 200, 20
COSTLY_TIMES = 5
POSTS, POLLS = 1_000, 4_000
SWEEP_JOBS, SWEEPS = 1_000, 100
DAYS, KEPT_DAYS = 29, 20
"""The first is less than `JOB_RETENTION_DAYS`, or the dispatcher would remove the oldest while more are stored."""
JOBS_EACH = 500
"""Of one owner, in either set: what is asked for of all of them costs by their number."""
OWNER = "address:127.0.0.7"
PAGE = 50

Times = Mapping[str, tuple[float, float]]
"""p50 and p95 in milliseconds, by what was asked."""

# One job in a hundred is dead. All over the last month but for this hour.
_JOBS = f"""
    INSERT INTO jobs (id, owner, type, queue_class, message, status, priority, max_attempts, deadline_seconds, attempt,
                      created_at, updated_at, next_attempt_at, rank_at, deadline_at, finished_at, due, result, model,
                      error_code, error_message)
    SELECT uuidv7(age), 'address:127.' || owner / 10000 || '.' || owner / 100 %% 100 || '.' || owner %% 100, 'chat',
           'interactive', repeat('A question of some length? ', 13),
           CASE WHEN is_dead THEN 'failed' ELSE 'completed' END, 5, 5, 86400, 1, at, at, at, at,
           at + interval '1 day', at + interval '1 second', false,
           CASE WHEN NOT is_dead THEN repeat('An answer of some length. ', 14) END, 'fake-model',
           CASE WHEN is_dead THEN 'provider_rejected' END, CASE WHEN is_dead THEN 'No.' END
    FROM (SELECT number / {JOBS_EACH} AS owner, age, now() + age AS at, number %% 100 = 0 AS is_dead
          FROM (SELECT number, - interval '1 hour' - number * (interval '{DAYS} days' / %s) AS age
                FROM generate_series(%s, %s) AS number) AS numbered) AS told
"""
# Of what the worker has done itself.
_PICK_UP = """
    SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY CAST(1000 * EXTRACT(EPOCH FROM started_at - created_at) AS float8))
    FROM jobs JOIN attempts ON job_id = id WHERE worker <> 'worker@long-ago'
"""
_ATTEMPTS = """
    INSERT INTO attempts (job_id, attempt, worker, started_at, asked_at, finished_at, outcome, error_code, model)
    SELECT id, 1, 'worker@long-ago', created_at, created_at, finished_at, status, error_code, model FROM jobs
"""


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="Measure beside finished jobs.")
    parser.add_argument("--jobs", type=int, default=BIG, help="of the big set")
    options = parser.parse_args()
    with Product() as product:
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        product.run_only(API, DISPATCHER, WORKER)
        base.open_database(product.settings(), name="benchmark")
        small, big = _filled_and_asked(product, SMALL), _filled_and_asked(product, options.jobs)
        print(f"{'ms, p50 and p95':26} {SMALL:>16,} {options.jobs:>18,}   ratio")
        for name, (p50, p95) in big.items():
            less = small[name]
            print(f"{name:26} {less[0]:7.2f} {less[1]:8.2f} {p50:9.2f} {p95:8.2f} {p50 / less[0]:7.2f}")
        _costly()
        _remove(product)
    return 1 if max(big[name][0] / small[name][0] for name in _QUESTIONS) > SLOWER else 0


def _filled_and_asked(product: Product, number: int) -> Times:
    product.forget()
    begun = time.monotonic()
    for first in range(1, number + 1, AT_ONCE):
        product.sql(_JOBS, number, first, min(number, first + AT_ONCE - 1))
    product.sql(_ATTEMPTS)
    product.sql("VACUUM ANALYZE jobs, attempts")
    product.sql("CHECKPOINT")
    ((jobs_gb, attempts_gb),) = product.sql(
        "SELECT pg_total_relation_size('jobs') / 1e9, pg_total_relation_size('attempts') / 1e9"
    )
    print(
        f"{number:,} finished jobs: stored in {time.monotonic() - begun:.0f} s, {jobs_gb:.2f} GB and "
        f"{attempts_gb:.2f} GB with indexes",
        flush=True,
    )
    ids = tuple(row[0] for row in product.sql("SELECT id::text FROM jobs TABLESAMPLE SYSTEM (50) LIMIT 1000"))
    return {**{name: _timed(ask) for name, ask in _QUESTIONS.items()}, **_requested(product, ids)}


_QUESTIONS: Mapping[str, Callable[[Any], object]] = {
    "a tick of the announcer": lambda session: announcements.room(session, QueueClass.INTERACTIVE, again_after=5.0),
    "one's own jobs, a page": lambda session: own_jobs.page(session, OWNER, own_jobs.Filter(), limit=PAGE),
    "all jobs, a page": lambda session: everybodys.page(session, everybodys.Filter(status=Ended.YES), limit=PAGE),
    "dead letters, a page": lambda session: dead_letters.page(session, dead_letters.Filter(), limit=PAGE),
    "figures for /metrics": figures.read,
}
"""Each rolled back."""


def _timed(ask: Callable[[Any], object], *, times: int = TIMES) -> tuple[float, float]:
    taken = []
    for _ in range(WARM_UP + times):
        with Session() as session:
            base.take_time(session, seconds=60)
            begun = time.perf_counter()
            ask(session)
            taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken[WARM_UP:]), statistics.quantiles(taken[WARM_UP:], n=20)[-1]


def _requested(product: Product, ids: tuple[str, ...]) -> Times:
    """On the real api, mean and p95; and by when the worker has taken a job, p50 and p95."""
    kinds = {
        "GET of a finished job": Load(port=product.port, requests=POLLS, ids=ids, connections=1, warm_up=200),
        "POST": Load(port=product.port, requests=POSTS, message="Hello", connections=1, warm_up=100),
    }
    times = {}
    for name, load in kinds.items():
        with Client(load) as client:
            outcome = client.run()
        times[name] = (1000 * outcome.seconds / load.requests, outcome.p95_ms)
    product.wait_until_finished(seconds=60)
    ((quantiles,),) = product.sql(_PICK_UP)
    return {**times, "from POST to claim": tuple(quantiles)}


def _costly() -> None:
    """What looks at all of them, or at all of a day, by nobody's leave but the clock's."""
    asked: Mapping[str, Callable[[Any], object]] = {
        "who was active today": activity.read,
        "all invariants": lambda session: invariants.check(session, seconds=600),
    }
    print(f"on the big set, ms, median of {COSTLY_TIMES}:")
    for name, ask in asked.items():
        taken = []
        for _ in range(COSTLY_TIMES):
            with Session() as session:
                base.take_time(session, seconds=600)
                begun = time.perf_counter()
                ask(session)
                taken.append(1000 * (time.perf_counter() - begun))
        print(f"  {name:26} {statistics.median(taken):9.1f}", flush=True)


def _remove(product: Product) -> None:
    taken, removed = [], 0
    for _ in range(SWEEPS):
        with Session.begin() as session:
            begun = time.perf_counter()
            removed += retention.sweep(session, days=KEPT_DAYS, most=SWEEP_JOBS)
        taken.append(1000 * (time.perf_counter() - begun))
    p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    print(f"{removed:,} jobs removed, {SWEEP_JOBS:,} at a time: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    begun_at = time.monotonic()
    product.sql("VACUUM jobs, attempts")
    print(f"VACUUM of both: {time.monotonic() - begun_at:.1f} s")


if __name__ == "__main__":
    sys.exit(main())

"""A thousand jobs while workers are killed and Redis is erased: nothing lost, nothing done twice.

``make test`` shortens the lease; ``make chaos-full`` runs with the product's own
times, three times. Both print what Jepsen would ask for: accepted, lost,
duplicated, unexpected, and how long recovery took.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("system")
FULL = os.environ.get("PARLEY_CHAOS") == "full"
JOBS = 1000
KILLED_EVERY_SECONDS = 3.0
# Enough work for several kills: 2 x 8 slots at 300 ms, and a new worker takes seconds to start.
SETTINGS = {"WORKER_SLOTS": "8", "LLM_TOTAL_SECONDS": "20"}
OWN_TIMES = {"LEASE_SECONDS": "15", "ANNOUNCE_SECONDS": "5", "RETRY_BASE_SECONDS": "2"}

# Each must find nothing: docs/how-to/operate.md has them for production.
INVARIANTS = {
    "accepted but not completed": "SELECT id FROM jobs WHERE status != 'completed'",
    "completed by anything but one attempt": """
        SELECT job_id FROM attempts GROUP BY job_id HAVING count(*) FILTER (WHERE outcome = 'completed') != 1""",
    "written by an attempt that was not the last": """
        SELECT id FROM jobs JOIN attempts ON job_id = id AND outcome = 'completed'
        WHERE attempts.attempt != jobs.attempt""",
    "result of another job": "SELECT id FROM jobs WHERE result IS DISTINCT FROM 'Echo: ' || left(message, 60)",
    "attempts without a row": """
        SELECT id FROM jobs WHERE attempt != (SELECT count(*) FROM attempts WHERE job_id = id)""",
    "attempt without an end": "SELECT job_id FROM attempts WHERE finished_at IS NULL",
    "failures counted for losses": "SELECT id FROM jobs WHERE failures > 0",
}


@pytest.fixture
def chaos(tmp_path: pathlib.Path, worker_id: str) -> Iterator[Stack]:
    """A product of its own with two workers."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    with FakeLLM(latency_ms=300) as llm:
        settings = {"LLM_BASE_URL": llm.base_url, **SETTINGS, **(OWN_TIMES if FULL else {})}
        stack = Stack(tmp_path, servers, settings)
        try:
            stack.start_all()
            stack.start("worker")
            yield stack
        finally:
            stack.close()
            servers.drop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", range(3 if FULL else 1))
def test_a_thousand_jobs_survive_killed_workers_and_an_erased_redis(chaos: Stack, run: int) -> None:
    """Accepted is completed, once, by the newest attempt."""
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(chaos.create, (f"Question {number}" for number in range(JOBS))))

    kills = kill_until_done(chaos)

    broken = {name: len(chaos.sql(query)) for name, query in INVARIANTS.items()}
    rows = {row["id"] for row in chaos.sql("SELECT id::text FROM jobs")}
    report(chaos, kills, lost=len(set(ids) - rows), unexpected=len(rows - set(ids)))
    assert broken == dict.fromkeys(INVARIANTS, 0)
    assert rows == set(ids)
    assert len(kills) >= 3


def kill_until_done(chaos: Stack) -> dict[int, float]:
    """Kill the older worker every few seconds and start another, erase Redis twice; when each died, by its pid."""
    kills: dict[int, float] = {}
    next_kill = time.monotonic() + KILLED_EVERY_SECONDS

    def done() -> bool:
        nonlocal next_kill
        if time.monotonic() >= next_kill:
            next_kill = time.monotonic() + KILLED_EVERY_SECONDS
            victim = chaos.of("worker")[0].pid
            chaos.kill("worker", most=1)
            kills[victim] = time.time()
            if len(kills) in (1, 3):
                chaos.servers.erase_redis()
            chaos.start("worker")
        return bool(chaos.sql("SELECT count(*) AS n FROM jobs WHERE status != 'completed'")[0]["n"] == 0)

    eventually(done, seconds=500 if FULL else 240)
    return kills


def report(chaos: Stack, kills: dict[int, float], *, lost: int, unexpected: int) -> None:
    """Print the counts, and the time from each kill to the next start of each job it hit."""
    rows = chaos.sql(
        """SELECT split_part(a.worker, ':', 2)::int AS pid, extract(epoch FROM b.started_at)::float8 AS again
           FROM attempts a JOIN attempts b ON b.job_id = a.job_id AND b.attempt = a.attempt + 1
           WHERE a.outcome = 'lost'"""
    )
    recoveries = [row["again"] - kills[row["pid"]] for row in rows if row["pid"] in kills]
    attempts = chaos.sql("SELECT count(*) AS n FROM attempts")[0]["n"]
    print(  # noqa: T201
        f"\naccepted {JOBS}, lost {lost}, unexpected {unexpected}, workers killed {len(kills)}, "
        f"attempts {attempts}, lost {len(rows)} of them ({len(rows) - len(recoveries)} without a kill), "
        f"recovery p50 {statistics.median(recoveries or [0]):.1f} s, "
        f"max {max(recoveries, default=0):.1f} s"
    )

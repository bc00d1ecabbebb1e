"""A minute without the model, two thousand jobs waiting: what it is asked meanwhile, and how it is asked again.

``PARLEY_CHAOS=full .venv/bin/python -m pytest tests/chaos/test_breaker.py -n 0 -s`` (about 4 min). The times are
the product's own.
"""

from __future__ import annotations

import pathlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("system")
SLOTS, LATENCY_MS = 20, 300
BEFORE, QUEUED = 1000, 2000
OUTAGE_SECONDS = 60.0
SETTINGS = {
    "WORKER_SLOTS": str(SLOTS),
    "LLM_TOTAL_SECONDS": "20",
    "BREAKER_CALLS": "20",
    "LEASE_SECONDS": "15",
    "ANNOUNCE_SECONDS": "5",
    "RETRY_BASE_SECONDS": "2",
}


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    """A model that takes its time."""
    with FakeLLM(latency_ms=LATENCY_MS) as server:
        yield server


@pytest.fixture
def stack(tmp_path: pathlib.Path, worker_id: str, llm: FakeLLM) -> Iterator[Stack]:
    """A product of its own, with two dispatchers."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    mine = Stack(tmp_path, servers, {"LLM_BASE_URL": llm.base_url, **SETTINGS})
    try:
        mine.start_all()
        mine.start("dispatcher")
        yield mine
    finally:
        mine.close()
        servers.drop()


def completed(stack: Stack) -> int:
    return int(stack.sql("SELECT count(*) AS n FROM jobs WHERE status = 'completed'")[0]["n"])


def now(stack: Stack) -> float:
    return float(stack.sql("SELECT extract(epoch FROM clock_timestamp())::float8 AS t")[0]["t"])


def calls_each_second(stack: Stack, start: float, end: float) -> list[int]:
    rows = stack.sql(
        "SELECT extract(epoch FROM asked_at)::float8 AS t FROM attempts "
        "WHERE asked_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)",
        start,
        end,
    )
    counts = Counter(int(row["t"] - start) for row in rows)
    return [counts[second] for second in range(int(end - start))]


@pytest.mark.timeout(600)
def test_an_outage_of_a_minute_costs_probes_and_ends_without_a_rush(stack: Stack, llm: FakeLLM) -> None:
    """O23: few calls meanwhile, recovery at no more than 1.5 times the normal rate, and everybody finishes."""
    stack.kill("worker")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(stack.create, (f"Question {number}" for number in range(BEFORE + QUEUED))))
    stack.start("worker")
    eventually(lambda: completed(stack) >= 100)
    began = now(stack)
    eventually(lambda: completed(stack) >= BEFORE)

    asked_before = llm.stats()["requests"]
    llm.script(default={"status": 503, "latency_ms": LATENCY_MS})
    down_at, down_until = now(stack), time.monotonic() + OUTAGE_SECONDS
    eventually(lambda: time.monotonic() > down_until, seconds=OUTAGE_SECONDS + 5)
    asked_during = llm.stats()["requests"] - asked_before
    llm.script(default={"status": 200, "latency_ms": LATENCY_MS})
    up_at = now(stack)
    eventually(lambda: completed(stack) == BEFORE + QUEUED, seconds=300)
    done_at = now(stack)

    normal = statistics.median(calls_each_second(stack, began, down_at))
    after = calls_each_second(stack, up_at, done_at)
    first = next(second for second, calls in enumerate(after) if calls)
    log = (stack.folder / "dispatcher.log").read_text()
    probes = log.count("breaker_probed")
    failures = stack.sql("SELECT sum(failures) AS n, max(failures) AS most FROM jobs")[0]
    print(  # noqa: T201
        f"\ncalls during the outage {asked_during} (probes {probes}, opened {log.count('breaker_opened')} times); "
        f"failures {failures['n']}, most of one job {failures['most']}; normal {normal:g} calls/s, "
        f"peak after {max(after)} ({max(after) / normal:.2f} times); first call {first} s after the model was back, "
        f"drained after {done_at - up_at:.0f} s; calls each second from the probe on: {after[first : first + 20]}"
    )
    # Half of the newest hundred have to fail; others are in the slots and at the door by then.
    assert asked_during <= 50 + 2 * SLOTS + 8 + probes
    assert failures["n"] <= 50 + 2 * SLOTS + 8
    assert failures["most"] <= 2
    assert max(after) <= 1.5 * normal

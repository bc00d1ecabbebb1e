"""Five times as many jobs as can be done: some are refused with a reason, the others are all done."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psutil
import pytest

from local import ports
from tests.conftest import ROOT
from tests.system import outages
from tests.system.outages import FULL, Answer, all_completed, ask, p95
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("restarts"), pytest.mark.timeout(400), pytest.mark.outage]
LOAD_SECONDS = 60 if FULL else 3
SLOTS, CALL_MS = 4, 100
A_SECOND = 5 * SLOTS * 1000 // CALL_MS
"""Jobs offered: five times what the slots can do."""
LONGER = 5
"""Times as long, at most, if not every refusal was seen."""
GROWN_MB = 30
POLL_SECONDS, POLLS_WHEN_IDLE = 0.02, 50
SETTINGS = {"WORKER_SLOTS": str(SLOTS), "MOST_WAITING": "200", "MOST_WAITING_PER_OWNER": "120"}


def offered(stack: Stack, *, seconds: float, until: frozenset[int] = frozenset()) -> list[Answer]:
    """What two callers got who asked for too much, one of them more than the other.

    They go on until each of these statuses was answered: how soon the queue is full is the machine's doing.
    """
    jobs: list[Future[Answer]] = []
    begun = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        for number in range(int(A_SECOND * seconds * LONGER)):
            if number >= A_SECOND * seconds and until <= {job.result().status for job in jobs if job.done()}:
                break
            time.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))
            caller = "127.0.0.2" if number % 3 == 0 else "127.0.0.1"
            body = {"message": f"[[latency-ms={CALL_MS}]] Too many"}
            jobs.append(threads.submit(ask, stack, "POST", "/api/jobs", body, caller=caller))
    return [job.result() for job in jobs]


@contextlib.contextmanager
def polling(port: int, path: str) -> Iterator[list[Answer]]:
    """Somebody looks there all the while: what he was answered."""
    answers: list[Answer] = []
    command = [sys.executable, "-m", "tests.system.poller", str(port), path, str(POLL_SECONDS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as poller:

        def read() -> None:
            for line in poller.stdout or ():
                status, seconds = json.loads(line)
                answers.append(Answer(status, seconds, None, {}))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield answers
        finally:  # or a failed test would wait for the poller
            poller.terminate()
            reader.join(30)


@contextlib.contextmanager
def idle_neighbour(stack: Stack) -> Iterator[int]:
    """The port of a server of the same kind that nobody else asks: it feels the load on the machine, and no other."""
    port = ports.free_port()
    environment = {**os.environ, **stack.environment, "PORT": str(port)}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "benchmarks.floor:app"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: not ports.can_listen("127.0.0.1", port))
            yield port
        finally:
            server.terminate()


def memory_mb(stack: Stack) -> float:
    """Of all processes of the product."""
    leaders = [psutil.Process(process.pid) for name in ("api", "dispatcher", "worker") for process in stack.of(name)]
    family = [*leaders, *(child for leader in leaders for child in leader.children(recursive=True))]
    return sum(process.memory_info().rss for process in family) / 1e6


def test_too_much_work_is_refused_in_time_and_what_is_accepted_is_done(stack: Stack) -> None:
    """429 for a caller who has too many waiting, 503 when all together have; both say when to come back."""
    known = stack.create("Polled")
    all_completed(stack, [answer.body["jobId"] for answer in offered(stack, seconds=1) if answer.status == 201])
    before = memory_mb(stack)
    job, floor = f"/api/jobs/{known}", "/floor"
    with idle_neighbour(stack) as neighbour:
        with polling(stack.port, job) as idle, polling(neighbour, floor) as floor_idle:
            eventually(lambda: min(len(idle), len(floor_idle)) >= POLLS_WHEN_IDLE)
        with polling(stack.port, job) as polled, polling(neighbour, floor) as floor_polled:
            answers = offered(stack, seconds=LOAD_SECONDS, until=frozenset({429, 503}))
    grown = memory_mb(stack) - before
    accepted = [answer.body["jobId"] for answer in answers if answer.status == 201]
    took = all_completed(stack, accepted)

    codes = {status: sum(answer.status == status for answer in answers) for status in (201, 429, 503)}
    outages.report(
        "O21: overload",
        offered=float(len(answers)),
        accepted=float(codes[201]),
        refused_429=float(codes[429]),
        refused_503=float(codes[503]),
        p95=p95(answers),
        get_p95_idle=p95(idle),
        get_p95=p95(polled),
        floor_p95_idle=p95(floor_idle),
        floor_p95=p95(floor_polled),
        grown_mb=grown,
        drained=took,
    )
    refused = [answer for answer in answers if answer.status in (429, 503)]
    assert sum(codes.values()) == len(answers)
    assert min(codes.values()) > 0
    assert {answer.body["code"] for answer in refused} == {"owner_backlog_full", "backlog_full"}
    assert all(int(answer.retry_after or 0) > 0 for answer in refused)
    assert {answer.status for answer in polled} == {200}
    if (
        FULL
    ):  # the cores are shared with those who offer the load: what a neighbour feels of it is not the queue's doing
        assert p95(polled) / p95(idle) < 2 * max(1.0, p95(floor_polled) / p95(floor_idle))
    assert grown < GROWN_MB

"""One effect each: hints that come many times, fifty zombies, redrives at once. On real processes.

``make chaos-full`` runs these with more jobs.
"""

from __future__ import annotations

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from celery import Celery

from tests.fake_llm import FakeLLM
from tests.system.outages import report
from tests.system.stack import OPERATOR, Stack, eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.outage]
SETTINGS = {"LLM_TOTAL_SECONDS": "20"}
IS_LONG = os.environ.get("PARLEY_CHAOS") == "full"
HINTED, DELIVERIES, BUNDLE = 500 if IS_LONG else 50, 10, 32
ZOMBIES = 50
LATENCY_MS = 5000
"""Time enough to ask the model all of them; the lease is shorter."""
REDRIVEN = 500 if IS_LONG else 50


def create_all(stack: Stack, *messages: str) -> list[str]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(stack.create, messages))


def finish_all(stack: Stack, status: str) -> None:
    """Wait until every job there is has this status."""
    eventually(lambda: not stack.sql("SELECT 1 FROM jobs WHERE status != %s LIMIT 1", status), seconds=90)


def test_hints_delivered_ten_times_shuffled_and_late_ask_the_model_once(stack: Stack, llm: FakeLLM) -> None:
    """By real Celery, beside the dispatcher's own hints. (Experiment E8.)"""
    messages = [f"[[latency-ms=200]] Hinted {number}" for number in range(HINTED)]
    stack.start("worker")
    ids = create_all(stack, *messages)
    url = stack.servers.environment["REDIS_URL"]
    hints = [(job_id, attempt) for job_id in ids for attempt in (0, 1) for _ in range(DELIVERIES // 2)]
    random.Random(8).shuffle(hints)

    deliver(url, hints)
    finish_all(stack, "completed")
    deliver(url, hints)
    with redis.Redis.from_url(url) as client:
        eventually(lambda: not client.llen("interactive"))
    assert stack.finished(stack.create("Last"))["status"] == "completed"

    asked = llm.stats()["per_message"]
    calls = sum(asked[message] for message in messages)
    report("E8: hints of Celery", jobs=HINTED, hints=2 * len(hints), calls=calls, dropped=2 * len(hints) - calls)
    assert {message: asked[message] for message in messages} == dict.fromkeys(messages, 1)
    assert stack.sql("SELECT DISTINCT attempt, outcome FROM attempts") == [{"attempt": 1, "outcome": "completed"}]
    stack.terminate("worker")
    stack.start("worker")


def deliver(url: str, hints: list[tuple[str, int]]) -> None:
    """Send them as the dispatcher would."""
    with Celery(broker=url) as sender:
        for start in range(0, len(hints), BUNDLE):
            bundle = {"v": 1, "jobs": hints[start : start + BUNDLE]}
            sender.send_task("parley.answer", kwargs=bundle, queue="interactive", retry=False)


def test_fifty_attempts_of_a_frozen_worker_come_back_late_and_are_refused_and_counted(
    stack: Stack, llm: FakeLLM
) -> None:
    """Another worker answered meanwhile; the log has one `attempt_fenced` for each. (Experiment E9.)"""
    stack.sql("DELETE FROM jobs")
    llm.reset()
    llm.script(default={"latency_ms": LATENCY_MS})
    [zombie] = stack.of("worker")
    ids = create_all(stack, *(f"Zombie {number}" for number in range(ZOMBIES)))
    eventually(lambda: llm.stats()["active"] == ZOMBIES)
    zombie.send_signal(signal.SIGSTOP)
    llm.script(default={"latency_ms": 0})
    try:
        stack.start("worker")
        finish_all(stack, "completed")
        answered = stack.sql("SELECT id, updated_at, result FROM jobs ORDER BY id")
    finally:
        zombie.send_signal(signal.SIGCONT)

    eventually(lambda: fenced(stack, ids) == ZOMBIES)
    changed = stack.sql("SELECT id, updated_at, result FROM jobs ORDER BY id") != answered
    report(
        "E9: a frozen worker's attempts",
        attempts=ZOMBIES,
        refused=fenced(stack, ids),
        changed=int(changed),
        calls=llm.stats()["requests"],
    )

    assert stack.sql("SELECT id, updated_at, result FROM jobs ORDER BY id") == answered
    assert outcomes(stack) == {(1, "lost"): ZOMBIES, (2, "completed"): ZOMBIES}
    assert llm.stats()["requests"] == 2 * ZOMBIES
    stack.terminate("worker")
    stack.start("worker")


def fenced(stack: Stack, ids: list[str]) -> int:
    """Of how many of these jobs the workers' log says that an ending came too late."""
    lines = (stack.folder / "worker.log").read_text().splitlines()
    refused = [line for line in lines if '"attempt_fenced"' in line]
    return sum(any(job_id in line for line in refused) for job_id in ids)


def outcomes(stack: Stack) -> dict[tuple[int, str], int]:
    """How many attempts of each number ended how."""
    rows = stack.sql("SELECT attempt, outcome, count(*)::int AS n FROM attempts GROUP BY 1, 2")
    return {(row["attempt"], row["outcome"]): row["n"] for row in rows}


def test_dead_letters_redriven_twice_at_once_run_once_more(stack: Stack, llm: FakeLLM) -> None:
    """Of two redrives of one letter the second is told that there is none. (Experiment R19.)"""
    stack.sql("DELETE FROM jobs")
    messages = [f"[[status=400]] Dead {number}" for number in range(REDRIVEN)]
    ids = create_all(stack, *messages)
    finish_all(stack, "failed")
    # What was redriven must not fail and be redriven again before the second redrive has come by.
    llm.script(default={"latency_ms": 3000})
    token = {"Authorization": f"Bearer {OPERATOR}"}

    def redrive(job_id: str) -> int:
        return stack.request("POST", f"/api/dead-letters/{job_id}/redrive", **token)[0]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(redrive, [job_id for job_id in ids for _ in range(2)]))
    llm.script(default={"latency_ms": 0})
    finish_all(stack, "failed")

    assert sorted(answers) == [200] * REDRIVEN + [404] * REDRIVEN
    assert outcomes(stack) == {(1, "failed"): REDRIVEN, (2, "failed"): REDRIVEN}
    asked = llm.stats()["per_message"]
    report("R19: redriven twice at once", letters=REDRIVEN, redriven=answers.count(200), told_404=answers.count(404))
    assert {message: asked[message] for message in messages} == dict.fromkeys(messages, 2)

"""A model that is out of order: what is asked of it meanwhile, what waiting jobs show, and how they come through."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("people")
SLOTS = 8
SETTINGS = {"WORKER_SLOTS": str(SLOTS), "LLM_TOTAL_SECONDS": "20", "BREAKER_CALLS": "20", "MAX_ATTEMPTS": "5"}
JOBS = 60
DOWN: dict[str, object] = {"status": 503}
WELL: dict[str, object] = {"status": 200}


def a_crowd(stack: Stack, what: str) -> list[str]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(stack.create, (f"{what} {number}" for number in range(JOBS))))


def component(stack: Stack) -> dict[str, object]:
    ready = stack.request("GET", "/health/ready")[1]
    return {**ready["components"]["model"], "overall": ready["status"]}


def let_wait_pass(stack: Stack) -> None:
    """Move the time of the next probe to now."""
    stack.sql("UPDATE breakers SET retry_at = clock_timestamp() WHERE state = 'open'")


def probes(stack: Stack) -> int:
    return (stack.folder / "dispatcher.log").read_text().count("breaker_probed")


def test_an_outage_costs_few_calls_and_no_attempts_and_everybody_comes_through(stack: Stack, llm: FakeLLM) -> None:
    """Twenty calls tell; then jobs wait, and say for what, until a probe goes well."""
    llm.script(default=DOWN)
    ids = a_crowd(stack, "Down")
    eventually(lambda: component(stack)["status"] == "open")
    waiting = eventually(
        lambda: [job for job in map(stack.job, ids) if job["waitReason"] == "breaker_open"], seconds=15
    )
    shown = component(stack)
    let_wait_pass(stack)
    eventually(lambda: stack.sql("SELECT 1 FROM breakers WHERE state = 'open' AND open_seconds = 20"))
    during = llm.stats()["requests"]

    llm.script(default=WELL)
    let_wait_pass(stack)
    finished = [stack.finished(job_id) for job_id in ids]

    assert shown["overall"] == "degraded"
    assert shown["models"] == ["fake-model"]
    assert 0 <= int(str(shown["retrySeconds"])) <= 10
    assert waiting[0]["etaSeconds"] is None
    # Twenty to tell, those in the slots, those announced beyond, and the probes.
    assert during <= 20 + SLOTS + 8 + 1
    assert probes(stack) == 2
    assert {job["status"] for job in finished} == {"completed"}
    assert sum(job["failures"] for job in finished) <= 20 + SLOTS + 8
    assert {job["degraded"] for job in finished} == {False}
    eventually(lambda: component(stack) == {"status": "up", "overall": "ready"})

"""A model that is out of order, with another one to ask meanwhile."""

from __future__ import annotations

import pytest

from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually
from tests.system.test_breaker import DOWN, SLOTS, WELL, a_crowd, component, let_wait_pass, probes

pytestmark = pytest.mark.xdist_group("people")
SETTINGS = {"WORKER_SLOTS": str(SLOTS), "LLM_TOTAL_SECONDS": "20", "BREAKER_CALLS": "20", "LLM_FALLBACKS": "offline"}


def test_jobs_are_answered_by_the_next_model_and_say_so(stack: Stack, llm: FakeLLM) -> None:
    """Those that failed first too; after the outage the first choice answers again."""
    llm.script(default=DOWN)
    ids = a_crowd(stack, "Down")
    meanwhile = [stack.finished(job_id) for job_id in ids]
    during = llm.stats()["requests"]
    llm.script(default=WELL)
    let_wait_pass(stack)
    stack.create("Somebody has to be the probe")
    eventually(lambda: component(stack)["status"] == "up")
    afterwards = stack.finished(stack.create("Afterwards"))

    assert {(job["status"], job["model"], job["degraded"]) for job in meanwhile} == {("completed", "offline", True)}
    assert "out of reach" in meanwhile[0]["result"]
    assert during <= 20 + SLOTS + 8 + probes(stack)
    assert (afterwards["model"], afterwards["degraded"]) == ("fake-model", False)


def test_a_job_that_has_used_up_its_attempts_is_handed_down(stack: Stack, llm: FakeLLM) -> None:
    """One bad job opens no breaker; a permanent error goes nowhere."""
    used_up = stack.finished(stack.create("[[cut=fin]] Always"))
    refused = stack.finished(stack.create("[[status=400]] Never"))

    assert (used_up["status"], used_up["model"], used_up["degraded"]) == ("completed", "offline", True)
    assert [attempt["outcome"] for attempt in used_up["attempts"]] == ["retried"] * 5 + ["completed"]
    assert (refused["status"], refused["attempt"]) == ("failed", 1)

"""A job whose process is killed whenever it runs, as the kernel does with one that eats its memory.

Part of the long form only: every loss takes a lease. `test_lost_processes` begins at the last one.
"""

from __future__ import annotations

import psutil
import pytest

from tests.fake_llm import FakeLLM
from tests.system import outages
from tests.system.stack import FINISHED, Stack, alone_under, eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]
SETTINGS = {"LLM_TOTAL_SECONDS": "20"}
MESSAGE, NEIGHBOURS = "[[latency-ms=15000]] Poison", 10
MOST_RUNS = 4
"""Three with others, and one alone."""


def kill_who_runs(stack: Stack) -> None:
    """The child, if the job has one of its own; else the worker with all it has in hand."""
    [worker] = stack.of("worker")
    alone = alone_under(psutil.Process(worker.pid))
    if alone:
        return alone[0].kill()
    stack.kill("worker")
    stack.start("worker")
    return None


def test_a_job_that_ends_every_process_that_runs_it_is_buried_and_its_neighbours_finish(
    stack: Stack, llm: FakeLLM
) -> None:
    """Four runs, one call each; those beside it lose at most the one attempt it has cost them."""
    poison, runs = stack.create(MESSAGE), 0
    neighbours: list[str] = []
    while stack.job(poison)["status"] not in FINISHED and runs <= MOST_RUNS:
        eventually(lambda: llm.stats()["per_message"].get(MESSAGE, 0) > runs)  # noqa: B023  called at once
        # Others each time: who is beside it again and again is taken for what it is.
        outages.all_completed(stack, neighbours)
        neighbours += [stack.create(f"[[latency-ms=2500]] {runs} {number}") for number in range(NEIGHBOURS)]
        runs += 1
        kill_who_runs(stack)
        eventually(lambda: stack.job(poison)["status"] != "analyzing")
    job = stack.finished(poison)
    outages.all_completed(stack, neighbours)

    lost = stack.sql("SELECT count(*) AS n FROM attempts WHERE outcome = 'lost' AND job_id::text != %s", poison)[0]["n"]
    code = str((job["error"] or {}).get("code"))
    outages.report("R18: poison", runs=runs, code=code, neighbours=len(neighbours), their_attempts_lost=lost)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "lost", "lost", "failed"]
    assert (job["status"], code, runs) == ("failed", "poison", MOST_RUNS)
    assert lost <= len(neighbours)

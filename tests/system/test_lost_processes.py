"""Processes that die, and a broker that forgets."""

from __future__ import annotations

import functools
import pathlib

import psutil
import pytest

from api import metrics_folder
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, alone_under, eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.outage]
SETTINGS = {"LLM_TOTAL_SECONDS": "20"}


def test_the_job_of_a_killed_worker_is_finished_by_another(stack: Stack) -> None:
    """Its lease runs out; the next attempt answers; the loss counts no failure."""
    job_id = stack.create("[[latency-ms=1500]] Survive")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    stack.kill("worker")
    stack.start("worker")

    job = stack.finished(job_id)

    assert (job["status"], job["failures"]) == ("completed", 0)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "completed"]


def folders_of_the_api(stack: Stack) -> set[str]:
    """In which it counts."""
    pids = [process.pid for process in stack.of("api")]
    opened = {str(each.readlink()) for pid in pids for each in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    return {each for each in opened if pathlib.Path(each).name.startswith(metrics_folder.PREFIX)}


def test_what_killed_workers_of_an_api_counted_lies_in_one_file(stack: Stack) -> None:
    """Its folder lies in memory, and its workers may be killed all night for taking too much of it."""
    [folder] = map(pathlib.Path, folders_of_the_api(stack))
    [api] = stack.of("api")
    workers = psutil.Process(api.pid).children

    def are_replaced(killed: list[psutil.Process]) -> bool:
        return len(workers()) == len(killed) and not {*workers()} & {*killed}

    for _ in range(3):
        killed = workers()
        for each in killed:
            each.kill()
        eventually(functools.partial(are_replaced, killed))
        eventually(stack.is_ready)

    def numbers() -> set[str]:
        return {file.stem.removeprefix("counter_") for file in folder.glob("counter_*.db")}

    eventually(lambda: numbers() <= {"ended", *(str(each.pid) for each in workers())})
    assert "ended" in numbers()


def test_what_a_killed_api_counted_in_is_removed_by_the_next(stack: Stack) -> None:
    """A machine that is up for a year has been killed at now and then."""

    def folders() -> set[str]:
        return folders_of_the_api(stack)

    [left] = folders()
    stack.kill("api")
    assert pathlib.Path(left).exists()
    stack.start("api")
    eventually(stack.is_ready)

    assert not pathlib.Path(left).exists()
    assert len(folders()) == 1


def test_a_frozen_worker_that_wakes_up_late_changes_nothing(stack: Stack) -> None:
    """Its lease ran out and another answered; its own answer is fenced off, what it cost is not forgotten."""
    stack.start("worker")
    eventually(
        lambda: (
            len(stack.sql("SELECT 1 FROM heartbeats WHERE kind = 'worker' AND seen_at > now() - interval '2 s'")) == 2
        )
    )
    job_id = stack.create("[[latency-ms=1200]] Zombie")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    [row] = stack.sql("SELECT split_part(leased_by, ':', 2)::int AS pid FROM jobs WHERE id = %s", job_id)
    frozen = psutil.Process(row["pid"])
    frozen.suspend()
    try:
        answered = stack.finished(job_id)
    finally:
        frozen.resume()

    eventually(
        lambda: stack.sql("SELECT 1 FROM attempts WHERE job_id = %s AND attempt = 1 AND prompt_tokens > 0", job_id)
    )
    job = stack.job(job_id)

    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "completed"]
    assert (job["attempt"], job["updatedAt"]) == (2, answered["updatedAt"])
    stack.terminate("worker")
    stack.start("worker")


def test_a_worker_that_stops_gives_its_jobs_back_at_once(stack: Stack) -> None:
    """Nothing waits for a lease, and nothing counts as lost or failed."""
    job_id = stack.create("[[latency-ms=4000]] Patience")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")

    stack.terminate("worker")
    given_back = stack.job(job_id)
    stack.start("worker")
    job = stack.finished(job_id)

    assert given_back["status"] == "retrying"
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["released", "completed"]
    assert job["failures"] == 0


def test_a_worker_that_stops_lets_short_calls_finish(stack: Stack) -> None:
    """STOP_GRACE_SECONDS is 1 here."""
    job_id = stack.create("[[latency-ms=600]] Quick")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")

    stack.terminate("worker")
    job = stack.job(job_id)
    stack.start("worker")

    assert (job["status"], job["attempt"]) == ("completed", 1)


def test_jobs_wait_while_no_worker_lives_and_leave_nothing_in_redis(stack: Stack) -> None:
    """The backlog is PostgreSQL's."""
    stack.terminate("worker")
    ids = [stack.create(f"Wait {number}") for number in range(5)]
    waiting = [stack.job(job_id)["status"] for job_id in ids]
    stack.start("worker")

    assert waiting == ["created"] * 5
    assert {stack.finished(job_id)["status"] for job_id in ids} == {"completed"}


def test_a_killed_dispatcher_only_delays(stack: Stack) -> None:
    """Jobs are stored without it."""
    stack.kill("dispatcher")
    job_id = stack.create("Later")
    assert stack.job(job_id)["status"] == "created"
    stack.start("dispatcher")

    assert stack.finished(job_id)["status"] == "completed"


def test_an_erased_redis_only_delays(stack: Stack) -> None:
    """What was announced and forgotten is announced again."""
    stack.kill("worker")
    ids = [stack.create(f"Forget {number}") for number in range(20)]
    stack.start("worker")
    for _ in range(20):
        stack.servers.erase_redis()

    assert {stack.finished(job_id)["status"] for job_id in ids} == {"completed"}


def lose_a_third_time(stack: Stack, *messages: str) -> list[str]:
    """Jobs that have lost two workers already lose another one; a new worker is there."""
    ids = [stack.create(message) for message in messages]
    eventually(lambda: {stack.job(job_id)["status"] for job_id in ids} == {"analyzing"})
    stack.sql("UPDATE jobs SET lost_count = 2 WHERE id::text = ANY(%s)", ids)
    stack.kill("worker")
    stack.start("worker")
    return ids


def test_a_job_that_kills_its_process_is_tried_alone_and_then_buried(stack: Stack, llm: FakeLLM) -> None:
    """From the third loss on it has a process of its own; when that dies while the worker lives, it is poison."""
    message = "[[latency-ms=8000]] Poison"
    [job_id] = lose_a_third_time(stack, message)
    asked = llm.stats()["per_message"].get(message, 0)  # the worker may have died before its call arrived
    worker = psutil.Process(stack.of("worker")[0].pid)

    [child] = eventually(lambda: alone_under(worker))
    eventually(lambda: llm.stats()["per_message"].get(message) == asked + 1)
    child.kill()
    job = stack.finished(job_id)

    assert (job["status"], job["error"]["code"]) == ("failed", "poison")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "failed"]
    assert stack.of("worker")


def test_a_job_tried_alone_can_succeed_and_fail_as_any_other(stack: Stack) -> None:
    """The child asks the same provider and tells its parent the same things."""
    ids = lose_a_third_time(
        stack,
        "[[latency-ms=2000]] Good",
        "[[latency-ms=2000]] [[finish=length]] Cut",
        "[[latency-ms=2000]] [[status=400]] Bad",
    )

    good, cut, bad = [stack.finished(job_id) for job_id in ids]

    assert (good["status"], good["truncated"], good["attempt"]) == ("completed", False, 2)
    assert (cut["status"], cut["truncated"]) == ("completed", True)
    assert (bad["status"], bad["error"]["code"]) == ("failed", "provider_rejected")
    assert good["usage"]["totalTokens"] > 0
    assert [attempt["outcome"] for attempt in good["attempts"]] == ["lost", "completed"]


def test_the_child_of_a_killed_worker_does_not_stay(stack: Stack) -> None:
    """Its end of the socket pair closes, and it exits; the job is tried once more."""
    [job_id] = lose_a_third_time(stack, "[[latency-ms=3000]] Orphan")
    worker = psutil.Process(stack.of("worker")[0].pid)
    [child] = eventually(lambda: alone_under(worker))

    worker.kill()  # alone, not its group
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    stack.start("worker")

    assert stack.finished(job_id)["status"] == "completed"

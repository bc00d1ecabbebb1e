"""Processes that live and do nothing end themselves, and the supervisor's next one does the work."""

from __future__ import annotations

import pytest
from celery import Celery

from tasks.watchdog import EXIT_CODE
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("restarts"), pytest.mark.outage]
SETTINGS = {"WATCHDOG_SECONDS": "3"}


def test_a_deaf_worker_ends_itself_and_the_next_one_does_the_job(stack: Stack) -> None:
    """It beats, has slots free, and consumes nothing; as after a reconnect that went half wrong."""
    [deaf] = stack.of("worker")
    redis = stack.servers.environment["REDIS_URL"]
    with Celery(broker=redis) as sender:
        answers = sender.control.cancel_consumer("interactive", reply=True, timeout=2)
    assert any("no longer consuming" in str(answer) for answer in answers or ())

    job_id = stack.create("Can you hear me?")
    eventually(lambda: deaf.poll() is not None, seconds=20)
    revived = stack.revive()

    assert (deaf.returncode, revived) == (EXIT_CODE, ["worker"])
    assert stack.finished(job_id)["status"] == "completed"
    assert stack.job(job_id)["attempt"] == 1

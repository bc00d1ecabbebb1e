"""Machines whose clocks differ by hours: nothing is reaped, expired or begun at the wrong time.

Part of the long form only: the library that gives a process another time exists for one kind of machine.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import pathlib

import pytest

from tests.factories import now
from tests.system import outages
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]
JOBS, LATENCY_MS = 60, 5000
"""A call outlives its lease, which has to be renewed."""
LATER_SECONDS = 6
SETTINGS = {"LLM_TOTAL_SECONDS": "20", "WORKER_SLOTS": "20", "LEASE_SECONDS": "3"}


def another_time(by: str) -> dict[str, str]:
    """The environment of a process that lives so much later or earlier; durations stay as they are."""
    found = importlib.util.find_spec("libfaketime")
    assert found is not None
    assert found.origin is not None
    [library] = pathlib.Path(found.origin).parent.rglob("libfaketime.so.1")
    return {"LD_PRELOAD": str(library), "FAKETIME": by, "DONT_FAKE_MONOTONIC": "1"}


def hours_apart(stack: Stack) -> set[int]:
    """How far from here the workers believe to be, by their logs' last lines."""
    lines = [json.loads(line) for line in (stack.folder / "worker.log").read_text().splitlines() if line[:1] == "{"]
    told = [dt.datetime.fromisoformat(line["timestamp"]) - now() for line in lines if line["event"] == "attempt_ended"]
    return {round(each / dt.timedelta(hours=1)) for each in told}


def test_clocks_that_differ_by_hours_change_nothing(stack: Stack) -> None:
    """The database's is right; of two workers and two dispatchers one each is two hours ahead, one behind."""
    for name in ("worker", "dispatcher"):
        stack.kill(name)
        for hours in ("+2h", "-2h"):
            stack.start(name, **another_time(hours))
    workers = "SELECT 1 FROM heartbeats WHERE kind = 'worker' AND seen_at > now() - interval '2 s'"
    eventually(lambda: len(stack.sql(workers)) == 2)
    later = (now() + dt.timedelta(seconds=LATER_SECONDS)).isoformat()

    ids = [stack.create(f"[[latency-ms={LATENCY_MS}]] Clock {number}") for number in range(JOBS)]
    status, body = stack.request("POST", "/api/jobs", {"message": "Later", "runAt": later, "deadlineSeconds": 30})
    assert status == 201
    outages.all_completed(stack, [*ids, body["jobId"]], seconds=120)

    attempts = stack.sql("SELECT count(*) AS n, count(DISTINCT worker) AS workers FROM attempts")[0]
    early = "SELECT count(*) AS n FROM attempts JOIN jobs ON id = job_id WHERE started_at < run_at"
    outages.report(
        "G38: clocks 4 h apart",
        jobs=JOBS + 1,
        attempts=attempts["n"],
        workers=attempts["workers"],
        early=stack.sql(early)[0]["n"],
    )
    assert hours_apart(stack) == {-2, 2}
    assert attempts == {"n": JOBS + 1, "workers": 2}
    assert stack.sql(early) == [{"n": 0}]

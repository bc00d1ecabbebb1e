"""The judge must see what the chaos is run for."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.history import History
from tests.chaos.verdict import Counts, judge

Rows = list[dict[str, Any]]


class Run:
    """A run that went well: two orders, of which one lost a worker that was killed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.history = History(folder / "history.jsonl")
        self.calls, self.at = 3, 0.0
        for name in ("a", "b"):
            self.history.add("invoke", "post", key=name, message=f"{name} hello", tries=1)
            self.history.add("ok", "post", key=name, job=f"job-{name}", status=201)
        self.history.add("info", "fault", name="kill worker", seconds=0, pid=7)
        self.at = self.history.events[-1].at
        self.jobs: Rows = [self.job("a", attempt=2), self.job("b")]
        self.attempts: Rows = [
            self.attempt("a", 1, "lost", pid=7, started=self.at - 1, finished=self.at + 16),
            self.attempt("a", 2, "completed", pid=8, started=self.at + 17, finished=self.at + 18),
            self.attempt("b", 1, "completed", pid=8, started=self.at, finished=self.at + 1),
        ]
        for job in self.jobs:
            self.history.add("ok", "read", job=job["id"], status="completed", result=job["result"])

    def job(self, name: str, **columns: object) -> dict[str, Any]:
        """As `verdict.JOBS` selects it."""
        plain = {"status": "completed", "attempt": 1, "failures": 0, "error_code": None, "seconds": 1.0}
        texts = {"id": f"job-{name}", "message": f"{name} hello", "result": f"Echo: {name} hello"}
        return {**plain, **texts, **columns}

    def attempt(self, name: str, number: int, outcome: str, **columns: object) -> dict[str, Any]:
        """As `verdict.ATTEMPTS` selects it."""
        return {"job": f"job-{name}", "attempt": number, "outcome": outcome, "error_code": None, **columns}

    def verdict(self) -> Counts:
        """The judge's."""
        self.history.close()
        return judge(self.history, self.jobs, self.attempts, calls=self.calls, fenced=0)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    """Each test spoils it in one way."""
    return Run(tmp_path)


def test_a_good_run_is_good_and_its_recovery_is_timed_from_the_fault(run: Run) -> None:
    """One attempt was lost and made up for; the next began 17 s after the kill."""
    counts = run.verdict()

    assert counts.faults_found(own_times=True) == []
    assert (counts.accepted, counts.attempts_lost, counts.unexplained) == (2, 1, 0)
    assert counts.recoveries == [pytest.approx(17)]
    assert counts.calls_allowed == pytest.approx(1.1 * 3)


def gone(run: Run) -> None:
    run.jobs.pop()


def unfinished(run: Run) -> None:
    run.jobs[1] |= {"status": "retrying", "result": None}


def stored_twice(run: Run) -> None:
    run.jobs.append({**run.jobs[1], "id": "job-c"})


def told_two_ids(run: Run) -> None:
    run.history.add("ok", "post", key="b", job="job-a", status=200)


def answered_twice(run: Run) -> None:
    run.attempts.append(run.attempt("b", 2, "completed", pid=8, started=run.at + 2, finished=run.at + 3))


def nobody_asked(run: Run) -> None:
    run.jobs.append(run.job("c"))


def anothers_answer(run: Run) -> None:
    run.jobs[1]["result"] = "Echo: a hello"


def failed(run: Run) -> None:
    run.jobs[1] |= {"status": "failed", "error_code": "poison", "result": None}


def changed_after_it_was_seen(run: Run) -> None:
    run.history.add("ok", "read", job="job-b", status="cancelled", result=None)


def refused(run: Run) -> None:
    run.history.add("fail", "post", key="c", tries=3)


@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (gone, "lost"),
        (unfinished, "lost"),
        (stored_twice, "duplicated"),
        (told_two_ids, "duplicated"),
        (answered_twice, "duplicated"),
        (nobody_asked, "unexpected"),
        (anothers_answer, "unexpected"),
        (failed, "unexpected"),
        (changed_after_it_was_seen, "unexpected"),
        (refused, "unexpected"),
    ],
)
def test_what_must_not_happen_is_counted(run: Run, spoil: Callable[[Run], None], count: str) -> None:
    """Each in its own count, and no run with one is good."""
    spoil(run)

    counts = run.verdict()

    assert getattr(counts, count)
    assert any(complaint.startswith(count) for complaint in counts.faults_found(own_times=False))


def test_too_many_calls_are_no_good_run(run: Run) -> None:
    """Three were needed; a tenth more is allowed."""
    run.calls = 4

    assert run.verdict().faults_found(own_times=False) == ["4 calls, 3 allowed"]


def test_a_recovery_that_takes_long_counts_only_with_the_times_of_production(run: Run) -> None:
    """With other leases it says nothing."""
    run.attempts[1]["started"] = run.at + 31

    counts = run.verdict()

    assert counts.faults_found(own_times=True) == ["recovery took 31.0 s"]
    assert counts.faults_found(own_times=False) == []


def test_a_recovery_for_which_the_database_was_missing_is_counted_apart(run: Run) -> None:
    """It takes as long as the outage and what follows, and says nothing of the lease."""
    run.attempts[1]["started"] = run.at + 31
    run.history.add("info", "fault", name="freeze postgres", seconds=3)

    counts = run.verdict()

    assert counts.recoveries == []
    assert counts.delayed == [pytest.approx(31)]
    assert counts.faults_found(own_times=True) == []


def test_a_lost_attempt_without_a_fault_is_told(run: Run) -> None:
    """Its worker was neither killed nor frozen, nor was the database away."""
    run.attempts[0]["pid"] = 9

    assert run.verdict().unexplained == 1


def test_a_run_in_which_nothing_was_recovered_proves_nothing(run: Run) -> None:
    """The faults hit no job."""
    run.calls, run.attempts = 2, run.attempts[1:]
    run.attempts[0]["attempt"] = 1

    assert run.verdict().faults_found(own_times=False) == ["nothing was recovered: the faults hit nothing"]

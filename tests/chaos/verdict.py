"""The verdict: what clients were told, what is stored and what the model was asked, compared.

The counts are Jepsen's. *Lost*: accepted, and not there or never finished.
*Duplicated*: one order stored, told or answered twice. *Unexpected*: stored
although nobody asked, or not what was to come of it. *Recovered*: an attempt was
lost with its worker, and the job completed all the same.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.history import Event, History
from tests.system.stack import FINISHED

Row = Mapping[str, Any]
Interval = tuple[float, float]
NOTICED_AFTER_SECONDS = 6.0
"""A connection to PostgreSQL that has died in silence: the limit of one statement, and a second."""
CALLS_ALLOWED = 1.1
ECHOED_CHARACTERS = 60
RECOVERED_WITHIN_SECONDS = 30.0
"""With the product's own times: a lease of 15 s, and whatever else is broken meanwhile."""

JOBS = """
    SELECT id::text AS id, message, status, result, attempt, failures, error_code,
           extract(epoch FROM finished_at - created_at)::float8 AS seconds FROM jobs
"""
ATTEMPTS = """
    SELECT job_id::text AS job, attempt, split_part(worker, ':', 2)::int AS pid, outcome, error_code,
           extract(epoch FROM started_at)::float8 AS started, extract(epoch FROM finished_at)::float8 AS finished
    FROM attempts ORDER BY job_id, attempt
"""


@dataclass(kw_only=True)
class Counts:
    """What came of one run."""

    accepted: int
    lost: list[str]
    duplicated: list[str]
    unexpected: list[str]
    recoveries: list[float]
    """Seconds from a fault to the next attempt of each job it hit, whatever else was broken meanwhile, but:"""
    delayed: list[float]
    """the database, or the model was given a rest. Then these take their time, too."""
    unexplained: int
    """Lost attempts that no fault accounts for."""
    unanswered: int
    """POSTs without an answer: each was sent again."""
    stored_unanswered: int
    """Replays that found the job of a POST whose answer had been lost."""
    calls: int
    calls_allowed: float
    attempts_lost: int
    errors_injected: int
    fenced: int
    """Endings that came too late and were refused."""
    died: list[str]
    """Processes that ended though nobody killed them."""
    longest_seconds: float
    """From accepted to finished."""
    faults: Counter[str] = field(default_factory=Counter)
    broken_invariants: list[str] = field(default_factory=list)

    def faults_found(self, *, own_times: bool) -> list[str]:
        """Why this run is not good; empty if it is."""
        slowest = max(self.recoveries, default=0.0)
        complaints = {
            f"lost {self.lost[:5]}": self.lost,
            f"duplicated {self.duplicated[:5]}": self.duplicated,
            f"unexpected {self.unexpected[:5]}": self.unexpected,
            f"invariants broken: {self.broken_invariants}": self.broken_invariants,
            f"{self.calls} calls, {self.calls_allowed:.0f} allowed": self.calls > self.calls_allowed,
            f"recovery took {slowest:.1f} s": own_times and slowest > RECOVERED_WITHIN_SECONDS,
            "nothing was recovered: the faults hit nothing": not (self.recoveries or self.delayed)
            and any("worker" in name for name in self.faults),
        }
        return [complaint for complaint, is_so in complaints.items() if is_so]

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, lost {len(self.lost)}, duplicated {len(self.duplicated)}, "
            f"unexpected {len(self.unexpected)}, recovered {_described(self.recoveries)}, "
            f"and while the database was broken too or the model rested {_described(self.delayed)}\n"
            f"faults {self.faults.total()} of {len(self.faults)} kinds; POSTs unanswered {self.unanswered}, "
            f"of them stored {self.stored_unanswered}; late endings refused {self.fenced}\n"
            f"calls {self.calls}, {self.calls / max(1, self.accepted):.2f} a job "
            f"(at most {self.calls_allowed:.0f}: {self.errors_injected} errors injected, "
            f"{self.attempts_lost} attempts lost, {self.unexplained} of them unexplained); "
            f"longest job {self.longest_seconds:.1f} s; processes that ended by themselves: {self.died or 'none'}"
        )


def _described(recoveries: Sequence[float]) -> str:
    if not recoveries:
        return "0"
    return f"{len(recoveries)} (p50 {statistics.median(recoveries):.1f} s, max {max(recoveries):.1f} s)"


def judge(
    history: History,
    jobs: Sequence[Row],
    attempts: Sequence[Row],
    *,
    calls: int,
    fenced: int,
    rests: Sequence[Interval] = (),
) -> Counts:
    """Compare.

    Args:
        jobs: rows of `JOBS`, after everything has had time to finish.
        attempts: rows of `ATTEMPTS`.
        calls: that the model counted.
        fenced: as the workers' logs say.
        rests: when the model's breaker was open or had just closed.
    """
    posted = history.of("post", "ok")
    lost_attempts = [row for row in attempts if row["outcome"] == "lost"]
    errors = _errors_injected(history)
    recoveries = _recoveries(history, attempts, [*rests, *_database_outages(history)])
    accepted = {event.facts["job"] for event in posted}
    return Counts(
        accepted=len(accepted),
        lost=_lost(accepted, jobs),
        duplicated=_duplicated(posted, jobs, attempts),
        unexpected=_unexpected(history, jobs),
        recoveries=[one.seconds for one in recoveries if one.fault and not one.is_delayed],
        delayed=[one.seconds for one in recoveries if one.fault and one.is_delayed],
        unexplained=sum(one.fault is None for one in recoveries),
        unanswered=len(history.of("post", "info")),
        stored_unanswered=sum(event.facts["status"] == 200 for event in posted),
        calls=calls,
        calls_allowed=CALLS_ALLOWED * (len(jobs) + errors + len(lost_attempts)),
        attempts_lost=len(lost_attempts),
        errors_injected=errors,
        fenced=fenced,
        died=[f"{event.facts['process']} ({event.facts['code']})" for event in history.of("died")],
        longest_seconds=max((row["seconds"] for row in jobs if row["seconds"] is not None), default=0.0),
        faults=Counter(event.facts["name"] for event in history.of("fault") if not event.facts.get("healed")),
    )


def _lost(accepted: set[str], jobs: Sequence[Row]) -> list[str]:
    finished = {row["id"] for row in jobs if row["status"] in FINISHED}
    return sorted(accepted - finished)


def _duplicated(posted: Sequence[Event], jobs: Sequence[Row], attempts: Sequence[Row]) -> list[str]:
    stored = Counter(row["message"] for row in jobs)
    told = Counter(key for key, _ in {(event.facts["key"], event.facts["job"]) for event in posted})
    answered = Counter(row["job"] for row in attempts if row["outcome"] == "completed")
    return [name for counts in (stored, told, answered) for name, times in counts.items() if times > 1]


def _unexpected(history: History, jobs: Sequence[Row]) -> list[str]:
    asked = {event.facts["message"] for event in history.of("post", "invoke")}
    found = [f"{row['id']}: nobody asked" for row in jobs if row["message"] not in asked]
    found += [
        f"{row['id']}: {row['status']} {row['error_code']}, attempt {row['attempt']}"
        for row in jobs
        if row["status"] != "completed" or row["result"] != f"Echo: {row['message'][:ECHOED_CHARACTERS]}"
    ]
    now = {row["id"]: (row["status"], row["result"]) for row in jobs}
    seen = [(event.facts["job"], (event.facts["status"], event.facts["result"])) for event in history.of("read", "ok")]
    found += [f"{job}: was {was[0]} before" for job, was in seen if now.get(job) != was]
    found += [f"{event.what} {event.facts}" for what in ("post", "read") for event in history.of(what, "fail")]
    return found


def _errors_injected(history: History) -> int:
    """Failures the messages ask for, and the calls that were broken with their connection."""
    failing = {event.facts["message"] for event in history.of("post", "invoke") if "[[fail=" in event.facts["message"]}
    return len(failing) + sum(int(event.facts.get("calls_broken", 0)) for event in history.of("fault"))


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """A lost attempt that was followed by another."""

    fault: Event | None
    """The one that hit its worker; failing that, the last one that kept leases from being renewed."""
    seconds: float
    """From there to the next attempt."""
    is_delayed: bool
    """Whether something stood in its way meanwhile."""


def _recoveries(history: History, attempts: Sequence[Row], hindrances: Sequence[Interval]) -> list[Recovery]:
    began = {(row["job"], row["attempt"]): row["started"] for row in attempts}
    faults = [event for event in history.of("fault") if not event.facts.get("healed")]
    found = []
    for row in attempts:
        again = began.get((row["job"], row["attempt"] + 1))
        if row["outcome"] != "lost" or again is None:
            continue
        before = [event for event in faults if event.at <= row["finished"]]
        own = [event for event in before if event.facts.get("pid") == row["pid"]]
        database = [event for event in before if "postgres" in event.facts["name"]]
        hits = own or database
        fault = hits[-1] if hits else None
        since = fault.at if fault else row["finished"]
        is_delayed = any(since < end and begin < again for begin, end in hindrances)
        found.append(Recovery(fault=fault, seconds=again - since, is_delayed=is_delayed))
    return found


def _database_outages(history: History) -> list[Interval]:
    """From the beginning of each fault of PostgreSQL until everybody can have noticed its end."""
    return [
        (event.at, event.at + event.facts["seconds"] + NOTICED_AFTER_SECONDS)
        for event in history.of("fault")
        if "postgres" in event.facts["name"] and not event.facts.get("healed")
    ]

"""The experiments: what must hold when something is broken on purpose, and the command that shows it.

    python -m tests.experiments            lists them
    python -m tests.experiments E9 R19     runs some, at length, and prints their figures

Each takes from seconds to some minutes on servers of its own. `docs/reliability.md` says what they showed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass

from tests.conftest import ROOT

PYTEST = "-m pytest -n 0 -s"
CHAOS = "-m tests.chaos --own-times"


@dataclass(frozen=True)
class Experiment:
    """One of them."""

    holds: str
    """What its figures must say."""
    runs: tuple[str, ...]
    """Arguments of Python, one run after the other."""


def _tests(where: str, only: str = "") -> str:
    return f"{PYTEST} tests/{where}" + (f" -k '{only}'" if only else "")


EXPERIMENTS = {
    "D1": Experiment(
        "api killed at each point of a POST, and 1,000 POSTs under a rain of kills: accepted is stored, once",
        (_tests("system/test_unanswered_posts.py", "killed or kills or answered"),),
    ),
    "D2": Experiment(
        "Redis erased or killed every 4 s under 2,000 jobs: none lost",
        (f"{CHAOS} --jobs 2000 --deals 15 --faults 'erase redis' 'kill redis'",),
    ),
    "D3": Experiment(
        "a worker with all its threads killed every 4 s: none lost, back at work within 30 s",
        (f"{CHAOS} --jobs 1000 --deals 15 --faults 'kill worker'",),
    ),
    "D4": Experiment(
        "what a worker has started, killed alone or left behind: no job lost, no process left",
        (_tests("system/test_lost_processes.py", "alone or child or killed"),),
    ),
    "D5": Experiment(
        "PostgreSQL killed five times under load: what was accepted is there; refusals are 503",
        (_tests("system/test_outages_postgres.py", "again_and_again"),),
    ),
    "D6": Experiment(
        "disk full under PostgreSQL, then under Redis (as root): 503, and 201; none lost",
        (_tests("system/test_outages_disk.py"),),
    ),
    "D7": Experiment(
        "PostgreSQL lost under load, its standby promoted: a synchronous one lacks nothing that was acknowledged",
        (_tests("system/test_standby.py"),),
    ),
    "D8": Experiment(
        "rows deleted by mistake, the database recovered to a moment before: all that was accepted, none of later",
        (_tests("system/test_recovery.py"),),
    ),
    "E8": Experiment(
        "each hint ten times, shuffled and late: one call a job, the others dropped",
        (_tests("models/test_races.py", "hint"), _tests("system/test_one_effect.py", "hints")),
    ),
    "E9": Experiment(
        "fifty attempts of a frozen worker come back late, and workers frozen fifty times: all refused, none twice",
        (
            _tests("system/test_one_effect.py", "fifty"),
            "-m tests.chaos --jobs 1000 --deals 25 --faults 'freeze worker past its lease'",
        ),
    ),
    "E10": Experiment(
        "a hundred POSTs at once with one key: one job; another body: 422; after the end: the same answer",
        (_tests("api/test_jobs.py", "key"),),
    ),
    "E11": Experiment(
        "connection reset after the commit, POST sent again: one row",
        (_tests("system/test_unanswered_posts.py", "reset"),),
    ),
    "E12": Experiment(
        "cancel against complete, 1,000 times: one end each", (_tests("models/test_races.py", "cancel"),)
    ),
    "E13": Experiment(
        "two announcers, two reapers and two redrives at once: each thing once",
        (_tests("models/test_races.py", "two_of_each"),),
    ),
    "E14": Experiment(
        "10,000 steps of the verbs against a model in Python: rows and invariants as it says",
        (_tests("models/test_against_a_model.py"),),
    ),
    "R15": Experiment(
        "41 ways of a model to answer: number of calls, code and end of each",
        (_tests("system/test_provider_outcomes.py"),),
    ),
    "R16": Experiment(
        "Retry-After in all its forms: never earlier, never later than the cap",
        (
            f"{PYTEST} -vv tests/tasks/llm/test_retry_after.py",
            f"{PYTEST} -vv tests/tasks/test_retry.py -k nobody_comes",
        ),
    ),
    "R17": Experiment(
        "1,000 back-offs: evenly spread (Kolmogorov-Smirnov), no tenth with twice its share",
        (_tests("tasks/test_retry.py", "thousand"),),
    ),
    "R18": Experiment(
        "a job whose process is killed whenever it runs (so ends one that eats memory): four runs, the others finish",
        (_tests("system/test_poison.py"),),
    ),
    "R19": Experiment(
        "500 dead letters, each redriven twice at once: 500 more runs",
        (_tests("system/test_one_effect.py", "redriven"),),
    ),
    "R20": Experiment(
        "a model that hangs, drips, never ends, is cut or fails at TLS: the attempt ends within its time and a second",
        (
            _tests("system/test_provider_outcomes.py", "hang or drip or endless or cut or slots"),
            f"{PYTEST} -vv tests/tasks/llm/test_openai_network.py -k 'tls or certificate'",
        ),
    ),
    "O21": Experiment(
        "five times what can be done: 429 and 503 with Retry-After, the rest finishes, GET as fast, memory flat",
        (_tests("system/test_overload.py"),),
    ),
    "O22": Experiment(
        "10,000 jobs of one caller beside 20 quiet ones: their p95 below twice", ("-m benchmarks.fairness",)
    ),
    "O23": Experiment(
        "the model away for 60 s, 2,000 queued: few calls, recovery at most 1.5 times the rate",
        (_tests("chaos/test_breaker.py"),),
    ),
    "O24": Experiment(
        "connections taken, and tables locked: answered within 2.5 s, recovered within 1 s",
        (_tests("system/test_outages_postgres.py", "two_connections or full or locked"),),
    ),
    "O25": Experiment("100,000 waiting: ticks and POST as fast, Redis holds no backlog", ("-m benchmarks.backlog",)),
    "G36": Experiment(
        "Redis dead, frozen, half-open, full, erased for 60 s: POST and GET served, work resumes within 15 s",
        (_tests("system/test_outages_redis.py"), _tests("system/test_cheap_waiting.py", "without")),
    ),
    "G37": Experiment(
        "PostgreSQL dead, frozen, half-open, slow: 503 in time, parked requests too; no finished answer lost",
        (_tests("system/test_outages_postgres.py"),),
    ),
    "G38": Experiment(
        "workers and dispatchers with clocks 4 h apart: nothing reaped, nothing early",
        (_tests("system/test_clocks_apart.py"), _tests("test_clocks.py")),
    ),
    "G44": Experiment(
        "RabbitMQ, where it carries the hints, dead, frozen and half-open under load: none lost, none answered twice",
        (_tests("system/test_rabbitmq.py"),),
    ),
    "P39": Experiment(
        "everything replaced ten times under load: no request of a client that tries again fails, none lost",
        (_tests("system/test_rolling_restart.py"),),
    ),
    "P40": Experiment(
        "old code (PARLEY_OLD=revision) beside new on the new tables, rolled out and taken back ten times: none lost",
        (_tests("system/test_old_and_new.py"), _tests("models/test_expand.py")),
    ),
    "P43": Experiment(
        "a host of two cut off under load and back again (as root): none lost, no request fails, pages move over",
        (_tests("system/test_three_hosts.py"),),
    ),
    "A33": Experiment(
        "what the document allows and what it forbids, 600 requests to each operation: no 5xx, no broken promise",
        (_tests("api/test_openapi.py", "keeps_to_its_document"),),
    ),
    "A31": Experiment(
        "every command of a socket by strangers, removed members, guests and poor keys: nothing done, nothing told",
        (_tests("gateway/test_others.py"),),
    ),
    "A32": Experiment(
        "a session revoked without a word of it: requests, a stream and open sockets end within 30 s",
        (_tests("system/test_revocation.py"), _tests("system/test_gateways.py", "revoked")),
    ),
    "C26": Experiment(
        "two gateways, 50 pages, 2,000 messages, Redis killed for 40 s: each page has the database's list 35 s later",
        (_tests("system/test_gateways.py", "exactly"),),
    ),
    "C27": Experiment(
        "a message sent three times, the connection reset before each answer, by HTTP and by socket: stored once",
        (_tests("gateway/test_one_order.py", "again"),),
    ),
    "C28": Experiment(
        "a gateway killed: pages come back and catch up, unread is as counted, who stays away is offline 90 s later",
        (_tests("system/test_gateways.py", "killed"),),
    ),
    "C29": Experiment(
        "stale state and events are fresh state, for every kind of event and for random histories",
        (_tests("gateway/test_every_event.py"), _tests("gateway/test_state.py", "read_now")),
    ),
    "C30": Experiment(
        "20 who write into one chat at once: numbers without a gap, and one order at all of them",
        (_tests("gateway/test_one_order.py", "twenty"),),
    ),
    "S41": Experiment(
        "a chat of 5,000 messages, summarised under kills of workers and dispatchers: 50 steps, each message once",
        (_tests("models/test_summary_steps.py", "five_thousand"), _tests("chaos/test_summaries.py")),
    ),
    "S42": Experiment(
        "a worker killed between the model's answer and its commit, 100 times: each mention has one message of the AI",
        (_tests("models/test_deliveries.py", "killed or recorder"), _tests("chaos/test_replies.py")),
    ),
}


def main(names: list[str]) -> int:
    """Run these; 0 if all held. Without any: list them."""
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        return _say(f"There is no experiment {', '.join(unknown)}. There are {', '.join(EXPERIMENTS)}.") or 2
    for name in [] if names else EXPERIMENTS:
        _say(f"{name:4} {EXPERIMENTS[name].holds}")
    failed = [name for name in names if _fails(name)]
    return int(bool(failed))


def _fails(name: str) -> bool:
    experiment = EXPERIMENTS[name]
    _say(f"{name}: {experiment.holds}")
    environment = {**os.environ, "PARLEY_CHAOS": "full"}
    commands = [[sys.executable, *shlex.split(run)] for run in experiment.runs]
    ends = [subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode for command in commands]
    _say(f"{name}: {'did not hold' if any(ends) else 'held'}\n")
    return any(ends)


def _say(text: str) -> int:
    print(text, flush=True)  # noqa: T201  this is a program
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

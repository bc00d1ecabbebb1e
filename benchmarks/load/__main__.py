"""``python -m benchmarks.load``: people on the whole product: how fast, how many, for how long, how strictly.

    users    a hundred people for a minute: each kind of request, with its p95
    stress   twice as many people at each step, until it is too slow, refuses, or answers no more a second
    soak     a hundred people for ten minutes: does memory grow, do keys in Redis?
    limits   people who send more than they may: exactly so many are refused

The people are Locust's. The fake model takes 300 ms; it, Locust and this process run on the same machine and are
charged to nobody. The exit code is 1 if something did not work: a request failed below the knee, or a limit let too
many or too few through.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import redis

from benchmarks import machine
from benchmarks.errors import Broken
from benchmarks.load import swarm
from benchmarks.load.growth import Sampler
from benchmarks.load.swarm import TOTAL, WHOLE, Line
from benchmarks.machine import Stopwatch
from benchmarks.people import KEY, people
from benchmarks.product import API, DISPATCHER, WORKER, Product
from models import base
from models.kinds import Purpose

USERS, SECONDS = 100, 60
STEPS = (50, 100, 200, 400, 800, 1600)
STEP_SECONDS = 40
SOAK_SECONDS, SETTLE_SECONDS = 600, 120
SLOW_MS = 200.0
"""p95 of the kind of request that takes longest: the limit of the objectives."""
NOT_ASKED = (TOTAL, "POST /api/chats", *WHOLE)
"""Lines that are no request of somebody who is there: sums, several requests together, and what is done on arriving."""
MORE = 1.1
"""A step that answers fewer times as many requests a second as the one before has found the knee."""
FOR_EVER = -1
"""Redis's time to live of a key without one."""
HASTY_USERS, HASTY_SECONDS, HASTY_JOBS, HASTY_MESSAGES = 20, 200, 50, 25
"""What each of them sends stands in the locustfile, too."""
MOST_JOBS, MOST_MESSAGES = 20, 10
SERVERS, EXTRA = (API, DISPATCHER, WORKER), ("worker-batch", "gateway")
FORGETFUL = {"REPLY_CACHE_SECONDS": "60"}
"""Otherwise keys would grow for an hour, and then not: too long for a soak."""
LIMITED = {
    "CREATE_LIMIT": f"{MOST_JOBS}/5 minutes",
    "SEND_LIMIT": f"{1 + MOST_MESSAGES}/5 minutes",  # making the chat counts, too
    "DB_ANSWER_SECONDS": "30",  # on a busy machine a 503 would be neither of the two that are counted
}


def main() -> int:
    """Returns the exit code."""
    options = _options()
    parts: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "users": _users,
        "stress": _stress,
        "soak": _soak,
        "limits": _limits,
    }
    try:
        for part in options.parts or list(parts):
            print(f"\n== {part}")
            parts[part](options)
    except Broken as why:
        print(f"DID NOT WORK: {why}")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", choices=["users", "stress", "soak", "limits", []], help="all, if none is named"
    )
    parser.add_argument("--users", type=int, default=USERS, help="how many people use it, in users and soak")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for how long, in users")
    parser.add_argument("--soak-seconds", type=int, default=SOAK_SECONDS, help="for how long, in soak")
    return parser.parse_args()


def _ready(product: Product, *, users: int) -> None:
    """All processes run, and so many people are known."""
    product.run_only(*SERVERS)
    for name in EXTRA:
        product.start_extra(name)
    base.open_database(product.settings(), name="benchmarks")
    found = [asdict(each) for each in people(product.settings(), users)]
    (product.folder / "people.json").write_text(json.dumps(found))
    print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")


def _product(**environment: str) -> Product:
    return Product(environment={"TOKEN_KEY": KEY, "MOST_WAITING_PER_OWNER": "20000", **environment})


def _run(product: Product, *, kind: str = "mixed", users: int, seconds: int) -> Sequence[Line]:
    return swarm.run(folder=product.folder, port=product.port, kind=kind, users=users, seconds=seconds)


def _users(options: argparse.Namespace) -> None:
    with _product() as product:
        _ready(product, users=options.users)
        stopwatch = Stopwatch(product.pids)
        lines = _run(product, users=options.users, seconds=options.seconds)
        spent = stopwatch.stop()
        _print(lines)
        cores = {name: seconds / spent.seconds for name, seconds in spent.cpu.items()}
        print(
            f"{options.users} people for {options.seconds} s; cores used: "
            + ", ".join(f"{name} {used:.2f}" for name, used in sorted(cores.items()))
            + f"; outside {spent.outside_cores:.2f}; loop {spent.loop_ms:.1f} ms"
        )
        _demand_success(product.folder, lines, users=options.users)
        _demand_all_done(product)


def _stress(_: argparse.Namespace) -> None:
    with _product() as product:
        _ready(product, users=max(STEPS))
        before, answered = 0, 0.0
        print("people  requests/s  failed  slowest kind's p95, ms")
        for users in STEPS:
            lines = [each for each in _run(product, users=users, seconds=STEP_SECONDS) if each.name not in NOT_ASKED]
            a_second, failed = sum(each.a_second for each in lines), sum(each.failures for each in lines)
            slowest = max(lines, key=lambda each: each.p95)
            print(f"{users:6}  {a_second:10.1f}  {failed:6}  {slowest.p95:6.0f} {slowest.name}", flush=True)
            if failed or slowest.p95 > SLOW_MS or a_second < answered * MORE:
                print(f"the knee lies between {before} and {users} people")
                for failure in swarm.failures(product.folder, kind="mixed", users=users):
                    print(f"  {failure}")
                break
            before, answered = users, a_second
        else:
            print(f"the knee lies above {before} people")
        _demand_all_done(product)


def _soak(options: argparse.Namespace) -> None:
    with _product(**FORGETFUL) as product, _redis(product) as client:
        _ready(product, users=options.users)
        ours = {name: pid for name, pid in product.pids.items() if name in SERVERS}
        extra = dict(zip(EXTRA, product.extra_pids, strict=True))
        shared = {name: product.pids[name] for name in ("postgres", "valkey")}
        keys = {"keys in Redis": lambda: float(client.dbsize())}
        with Sampler({**ours, **extra}, shared=shared, figures=keys) as sampler:
            lines = _run(product, users=options.users, seconds=options.soak_seconds)
        _print([line for line in lines if line.name == TOTAL])
        print(f"MB (of Redis: keys), without the first {SETTLE_SECONDS} s; first and last minute, and least squares,")
        print("of all of it and of its second half:")
        for name, found in sampler.slopes(after_seconds=SETTLE_SECONDS).items():
            print(
                f"  {name:16} {found.first:8.1f} {found.last:8.1f}   {found.a_minute:+7.3f} a minute"
                f" (± {found.error:.3f}, {found.samples} samples), lately {found.lately:+7.3f}"
            )
        print(f"keys in Redis at the end: {_keys(client)}")
        _demand_success(product.folder, lines, users=options.users)
        _demand_all_done(product)


def _keys(client: redis.Redis) -> str:
    """How many there are of each kind, and of those that never go."""
    found = collections.Counter[str]()
    for key in client.scan_iter(count=1000):
        kind = re.sub(r"[0-9a-f]{8}[0-9a-f-]{28}|[0-9a-f]{32,}", "…", key.decode()).split("…")[0]
        found[kind if client.ttl(key) != FOR_EVER else f"{kind} (for ever)"] += 1
    return ", ".join(f"{number} {kind}" for kind, number in found.most_common(20))


def _limits(_: argparse.Namespace) -> None:
    with _product(**LIMITED) as product:
        _ready(product, users=HASTY_USERS)
        lines = _run(product, kind="hasty", users=HASTY_USERS, seconds=HASTY_SECONDS)
        counted = {line.name: line.requests for line in lines if ": " in line.name}
        wanted = {
            "POST /api/jobs: 201": HASTY_USERS * MOST_JOBS,
            "POST /api/jobs: 429": HASTY_USERS * (HASTY_JOBS - MOST_JOBS),
            "POST /api/chats/{id}/messages: 201": HASTY_USERS * MOST_MESSAGES,
            "POST /api/chats/{id}/messages: 429": HASTY_USERS * (HASTY_MESSAGES - MOST_MESSAGES),
        }
        for name, number in wanted.items():
            print(f"  {name:36} {counted.get(name, 0):5} of {number}")
        if counted != wanted:
            raise Broken(f"the limits let through {counted}")
        ((jobs,),) = product.sql("SELECT count(*) FROM jobs")
        ((messages,),) = product.sql("SELECT count(*) FROM messages")
        if (jobs, messages) != (HASTY_USERS * MOST_JOBS, HASTY_USERS * MOST_MESSAGES):
            raise Broken(f"{jobs} jobs and {messages} messages are stored")
        print(f"  stored: {jobs} jobs, {messages} messages")


_NOT_COMPLETED = """
    SELECT id, purpose, status, attempts.attempt, outcome, attempts.error_code, error_message
    FROM jobs LEFT JOIN attempts ON job_id = id WHERE status <> 'completed' AND purpose <> 'summary' LIMIT 10
"""


def _redis(product: Product) -> redis.Redis:
    return redis.Redis.from_url(product.settings().redis_url, socket_timeout=5, socket_connect_timeout=5)


def _print(lines: Sequence[Line]) -> None:
    width = max(len(line.name) for line in lines)
    print(f"{'':{width}}  requests  failed  a second  p50 ms  p95 ms  p99 ms")
    for line in lines:
        print(
            f"{line.name:{width}}  {line.requests:8}  {line.failures:6}  {line.a_second:8.1f}  {line.p50:6.0f}"
            f"  {line.p95:6.0f}  {line.p99:6.0f}"
        )


def _single(lines: Sequence[Line]) -> Line:
    return next(line for line in lines if line.name == TOTAL)


def _demand_success(folder: pathlib.Path, lines: Sequence[Line], *, users: int) -> None:
    if _single(lines).failures:
        raise Broken("\n".join(["requests failed:", *swarm.failures(folder, kind="mixed", users=users)]))


def _demand_all_done(product: Product) -> None:
    """What was accepted is answered. (Summaries, which nobody asked for, fail: the fake model writes none.)"""
    product.wait_until_finished(seconds=60)
    rows = product.sql("SELECT purpose, status, count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1, 2")
    print("jobs: " + ", ".join(f"{number} {purpose} {status}" for purpose, status, number in rows))
    if any(status != "completed" for purpose, status, _ in rows if purpose != Purpose.SUMMARY):
        left = product.sql(_NOT_COMPLETED)
        raise Broken("a job was not completed: " + "; ".join(" ".join(map(str, row)) for row in left))


if __name__ == "__main__":
    sys.exit(main())

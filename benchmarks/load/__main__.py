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
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import redis

from benchmarks import machine
from benchmarks.errors import Broken
from benchmarks.load import swarm
from benchmarks.load.growth import Sampler
from benchmarks.load.swarm import TOTAL, Line
from benchmarks.machine import Stopwatch
from benchmarks.people import KEY, people
from benchmarks.product import API, DISPATCHER, WORKER, Product
from models import base

USERS, SECONDS = 100, 60
STEPS = (50, 100, 200, 400, 800, 1600)
STEP_SECONDS = 40
SOAK_SECONDS, SETTLE_SECONDS = 600, 120
SLOW_MS = 200.0
"""p95 of all requests, those that wait for nothing: the limit of the objectives."""
MORE = 1.1
"""A step that answers fewer times as many requests a second as the one before has found the knee."""
HASTY_USERS, HASTY_SECONDS, HASTY_JOBS, HASTY_MESSAGES = 20, 200, 50, 25
"""What each of them sends stands in the locustfile, too."""
MOST_JOBS, MOST_MESSAGES = 20, 10
SERVERS = (API, DISPATCHER, WORKER)
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
    product.start_extra("gateway")
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
            + f"; outside (Locust among them) {spent.outside_cores:.2f}; loop {spent.loop_ms:.1f} ms"
        )
        _demand_success(product.folder, lines, users=options.users)
        _demand_all_done(product)


def _stress(_: argparse.Namespace) -> None:
    with _product() as product:
        _ready(product, users=max(STEPS))
        before = 0.0
        print("people  requests/s  p50 ms  p95 ms  p99 ms  failed")
        for users in STEPS:
            total = _single(_run(product, users=users, seconds=STEP_SECONDS))
            print(
                f"{users:6}  {total.a_second:10.1f}  {total.p50:6.0f}  {total.p95:6.0f}  {total.p99:6.0f}"
                f"  {total.failures:6}",
                flush=True,
            )
            if total.failures or total.p95 > SLOW_MS or total.a_second < before * MORE:
                print(f"the knee lies between {STEPS[max(0, STEPS.index(users) - 1)]} and {users} people")
                for failure in swarm.failures(product.folder, kind="mixed", users=users):
                    print(f"  {failure}")
                break
            before = total.a_second
        else:
            print(f"the knee lies above {users} people")
        _demand_all_done(product)


def _soak(options: argparse.Namespace) -> None:
    with _product() as product, _redis(product) as client:
        _ready(product, users=options.users)
        ours = {name: pid for name, pid in product.pids.items() if name in SERVERS}
        gateway = product.extra_pids[0]
        shared = {name: product.pids[name] for name in ("postgres", "valkey")}
        keys = {"keys in Redis": lambda: float(client.dbsize())}
        with Sampler({**ours, "gateway": gateway}, shared=shared, figures=keys) as sampler:
            lines = _run(product, users=options.users, seconds=options.soak_seconds)
        _print([line for line in lines if line.name == TOTAL])
        print(f"MB (of Redis: keys), without the first {SETTLE_SECONDS} s; first and last minute, and least squares:")
        for name, found in sampler.slopes(after_seconds=SETTLE_SECONDS).items():
            print(
                f"  {name:16} {found.first:8.1f} {found.last:8.1f}   {found.a_minute:+7.3f} a minute"
                f" (± {found.error:.3f}, {found.samples} samples)"
            )
        _demand_success(product.folder, lines, users=options.users)
        _demand_all_done(product)


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
    """What was accepted is answered, and each asked question once."""
    product.wait_until_finished(seconds=60)
    rows = product.sql("SELECT status, count(*) FROM jobs GROUP BY status ORDER BY status")
    print("jobs: " + ", ".join(f"{number} {status}" for status, number in rows))
    if [status for status, _ in rows] != ["completed"]:
        raise Broken("a job was not completed")


if __name__ == "__main__":
    sys.exit(main())

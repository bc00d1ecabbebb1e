"""``python -m benchmarks.logins``: what signing in tells, and what it costs everybody else.

First wrong passwords for a user that exists and for one that does not, by turns:
their medians should not tell which is which. Then 100 logins at once beside
clients that read a job: memory, and the readers' p95 with and without them.

The exit code is 1 if the medians are more than 5 % apart, or an answer was not
the expected one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from benchmarks import machine
from benchmarks.client import Client, Load, Outcome
from benchmarks.errors import Broken
from benchmarks.product import API, Product

TRIES = 500
LOGINS = 100
ROUNDS = 3
APART = 0.05
READERS, READS, GAP_SECONDS = 4, 1500, (0.0, 0.004)
USERNAME, PASSWORD = "somebody", "correct horse battery staple"
PATIENCE_SECONDS = 60.0


def main() -> int:
    """Returns the exit code."""
    tries = _options().tries
    with Product(environment={"REGISTRATION": "open", "LOGIN_LIMIT": "none", "AUTH_LIMIT": "none"}) as product:
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        try:
            product.run_only(API)
            _expect(_post(_connection(product.port), "register", USERNAME, PASSWORD), 201)
            apart = _compare(product.port, tries)
            _crowd(product)
        except Broken as why:
            print(f"DID NOT WORK: {why}")
            return 1
    return 0 if apart < APART else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logins", description="Measure signing in.")
    parser.add_argument("--tries", type=int, default=TRIES, help="wrong passwords for each of the two")
    return parser.parse_args()


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)


def _post(connection: http.client.HTTPConnection, verb: str, username: str, password: str) -> int:
    body = json.dumps({"username": username, "password": password})
    connection.request("POST", f"/api/auth/{verb}", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    return response.status


def _expect(status: int, expected: int) -> None:
    if status != expected:
        raise Broken(f"answered {status} instead of {expected}")


def _compare(port: int, tries: int) -> float:
    """How far apart the medians are, as a part of the smaller."""
    connection = _connection(port)
    names = {"wrong password": USERNAME, "unknown user": "nobody-of-that-name"}
    times: dict[str, list[float]] = {kind: [] for kind in names}
    for number in range(tries + 1):
        for kind, username in names.items():
            begun = time.perf_counter()
            _expect(_post(connection, "login", username, f"wrong password {number}"), 401)
            if number:  # the first pays for what is made at first use
                times[kind].append((time.perf_counter() - begun) * 1000)
    medians = {kind: statistics.median(taken) for kind, taken in times.items()}
    for kind, taken in times.items():
        low, _, high = statistics.quantiles(taken, n=4)
        print(f"{kind}: median {medians[kind]:.2f} ms, half between {low:.2f} and {high:.2f} ms ({tries} tries)")
    apart = max(medians.values()) / min(medians.values()) - 1
    print(f"medians are {apart:.1%} apart")
    return apart


def _crowd(product: Product) -> None:
    with Client(Load(port=product.port, requests=1, message="Read me", connections=1)) as client:
        client.run()
    before = machine.memory_mb(product.pids[API])
    for number in range(ROUNDS):
        alone, _ = _read(product, logins=0)
        beside, answered = _read(product, logins=LOGINS)
        print(
            f"round {number + 1}: {LOGINS} logins at once: {_shown(answered.statuses)}, the last after "
            f"{answered.seconds:.1f} s; api {before:.0f} MB before, {answered.peak_mb:.0f} MB at most; "
            f"GET p95 {alone.p95_ms:.1f} ms alone, {beside.p95_ms:.1f} ms beside"
        )


class _Answered:
    """What became of the logins."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds = self.peak_mb = 0.0


def _read(product: Product, *, logins: int) -> tuple[Outcome, _Answered]:
    """Read a job for as long as the logins take and longer; they begin with it."""
    ids, answered, over = product.ids("created", most=1), _Answered(), threading.Event()
    load = Load(port=product.port, requests=READS, ids=ids, connections=READERS, warm_up=50, gap_seconds=GAP_SECONDS)

    def watch() -> None:
        while not over.wait(0.05):
            answered.peak_mb = max(answered.peak_mb, machine.memory_mb(product.pids[API]))

    def log_in(_: int) -> None:
        answered.statuses[_post(_connection(product.port), "login", USERNAME, PASSWORD)] += 1

    def crowd() -> None:
        begun = time.perf_counter()
        with ThreadPoolExecutor(max(1, logins)) as threads:
            list(threads.map(log_in, range(logins)))
        answered.seconds = time.perf_counter() - begun

    with Client(load) as client:
        others = [threading.Thread(target=each) for each in ((watch, crowd) if logins else ())]
        for thread in others:
            thread.start()
        outcome = client.run()
        over.set()
        for thread in others:
            thread.join()
    unexpected = set(answered.statuses) - {200, 503}
    if unexpected or set(outcome.statuses) != {"200"}:
        raise Broken(f"logins were answered {dict(answered.statuses)}, readers {outcome.statuses}")
    return outcome, answered


def _shown(statuses: Counter[int]) -> str:
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


if __name__ == "__main__":
    sys.exit(main())

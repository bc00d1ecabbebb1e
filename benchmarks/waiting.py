"""``python -m benchmarks.waiting``: what waiting costs, on the real api of two processes.

First 2,000 clients wait, each for a job of its own, by ``Prefer: wait``; one
commit then ends all those jobs at once. Then 100 clients send a job each and
wait for it, with a model that takes a second: requests are counted.

The exit code is 1 if a client was not answered, or answered with anything but
the end of its job.
"""

from __future__ import annotations

import argparse
import http.client
import json
import selectors
import socket
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from benchmarks import machine
from benchmarks.client import Client, Load
from benchmarks.errors import Broken
from benchmarks.machine import Stopwatch
from benchmarks.product import API, DISPATCHER, WORKER, Product
from models import base, jobs, owners
from models.base import Session
from models.live import changes

CLIENTS = 2_000
WAIT_SECONDS = 60
SETTLE_SECONDS = 3.0
ONE_SECOND_JOBS = 100


@dataclass(frozen=True, kw_only=True)
class Woken:
    """How soon clients were answered after the commit."""

    statuses: tuple[str, ...]
    milliseconds: tuple[float, ...]


def main() -> int:
    """Returns the exit code."""
    clients = _options().clients
    with Product() as product:
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        try:
            _park_and_wake(product, clients)
            _count_requests(product)
        except Broken as why:
            print(f"DID NOT WORK: {why}")
            return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description="Measure what waiting costs.")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many wait at once")
    return parser.parse_args()


def _park_and_wake(product: Product, clients: int) -> None:
    product.run_only(API)
    with Client(Load(port=product.port, requests=clients, message="Wait", connections=16)) as client:
        client.run()
    ids = product.ids("created", most=clients)
    _warm_up(product, ids[0])
    before = machine.memory_mb(product.pids[API])
    waiting = [_ask(product.port, job_id) for job_id in ids]
    time.sleep(SETTLE_SECONDS)
    stopwatch = Stopwatch(product.pids)
    time.sleep(SETTLE_SECONDS)
    idle = stopwatch.stop()
    during = machine.memory_mb(product.pids[API])
    open_connections = product.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley api'")[0][0]
    stopwatch = Stopwatch(product.pids)
    woken = _wake(product, ids, waiting)
    spent = stopwatch.stop()
    for each in waiting:
        each.close()
    _check(woken, clients)
    print(f"{clients} clients parked, {open_connections} database connections of all api processes are open")
    each_kb = (during - before) / clients * 1024
    print(f"api: {before:.0f} MB before, {during:.0f} MB while they wait: {each_kb:.0f} KB each")
    print(f"while they wait: {idle.total(API) / idle.seconds * 1000:.0f} ms of CPU a second (api)")
    print(
        f"woken by one commit: p50 {statistics.median(woken.milliseconds):.0f} ms, "
        f"last {max(woken.milliseconds):.0f} ms; {spent.total(API) / clients * 1000:.2f} ms of CPU each (api)"
    )


def _warm_up(product: Product, job_id: str) -> None:
    """Both processes have opened what they open once: pool, subscription, code."""
    waiting = [_ask(product.port, job_id, seconds=1) for _ in range(40)]
    for each in waiting:
        with each:
            each.recv(65536)


def _ask(port: int, job_id: str, *, seconds: int = WAIT_SECONDS) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(f"GET /api/jobs/{job_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait={seconds}\r\n\r\n".encode())
    return connection


def _wake(product: Product, ids: tuple[str, ...], waiting: list[socket.socket]) -> Woken:
    base.open_database(product.settings(), name="benchmarks")
    changes.publish_from_now_on(product.settings())
    statuses: list[str] = []
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for each in waiting:
            selector.register(each, selectors.EVENT_READ)
        with Session.begin() as session:
            jobs.cancel_all(session, ids, reader=owners.ANYONE)
        begun_at = time.perf_counter()
        while len(statuses) < len(waiting):
            ready = selector.select(WAIT_SECONDS)
            if not ready:
                raise Broken(f"{len(waiting) - len(statuses)} clients were not answered")
            for key, _ in ready:
                statuses.append(_status(cast("socket.socket", key.fileobj)))
                times.append((time.perf_counter() - begun_at) * 1000)
                selector.unregister(key.fileobj)
    return Woken(statuses=tuple(statuses), milliseconds=tuple(times))


def _status(connection: socket.socket) -> str:
    """Of the job, or of an answer that is none."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = response.read()
    return str(json.loads(body)["status"]) if response.status == 200 else str(response.status)


def _check(woken: Woken, clients: int) -> None:
    if woken.statuses != ("cancelled",) * clients:
        raise Broken(f"the answers were {set(woken.statuses)}")


def _count_requests(product: Product) -> None:
    product.run_only(API, DISPATCHER, WORKER)
    with ThreadPoolExecutor(ONE_SECOND_JOBS) as threads:
        counts = list(threads.map(lambda _: _requests_of_one(product.port), range(ONE_SECOND_JOBS)))
    requests, seconds = zip(*counts, strict=True)
    print(
        f"{ONE_SECOND_JOBS} jobs of 1 s: {sum(requests) / ONE_SECOND_JOBS:.2f} HTTP requests a job, "
        f"answered p50 {statistics.median(seconds):.2f} s, last {max(seconds):.2f} s after it was sent"
    )


def _requests_of_one(port: int) -> tuple[int, float]:
    connection, requests, begun_at = http.client.HTTPConnection("127.0.0.1", port, timeout=90), 1, time.perf_counter()
    body = json.dumps({"message": "[[latency-ms=1000]] Once"})
    connection.request("POST", "/api/jobs", body, {"Content-Type": "application/json"})
    job = json.loads(connection.getresponse().read())
    while job["status"] not in ("completed", "failed", "cancelled"):
        connection.request("GET", f"/api/jobs/{job['jobId']}", headers={"Prefer": f"wait={WAIT_SECONDS}"})
        job, requests = json.loads(connection.getresponse().read()), requests + 1
    connection.close()
    return requests, time.perf_counter() - begun_at


if __name__ == "__main__":
    sys.exit(main())

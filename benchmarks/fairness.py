"""``python -m benchmarks.fairness``: twenty quiet callers, alone and beside one who sent ten thousand jobs.

Fair means that the quiet ones hardly notice. Each caller has an address of its
own, which is what the product tells callers apart by.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.client import Client, Load
from benchmarks.errors import Broken
from benchmarks.product import API, DISPATCHER, WORKER, Product, eventually

SLOTS = 50
QUIET_CALLERS = 20
JOBS_EACH = 10
NOISY_JOBS = 10_000
MESSAGE = "[[latency-ms=200]] Is anybody there?"
PAUSE_SECONDS = (0.3, 0.9)
FINISH_SECONDS = 180.0

_QUIET = """
    SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY 1000 * EXTRACT(EPOCH FROM finished_at - created_at))
    FROM jobs WHERE owner LIKE 'address:127.0.1.%%'
"""
_LEFT = "SELECT count(*) FROM jobs WHERE owner = 'address:127.0.0.1' AND finished_at IS NULL"


def main() -> int:
    """Returns the exit code: 1 if the quiet callers' p95 doubled."""
    with Product(slots=SLOTS) as product:
        product.run_only(API, DISPATCHER, WORKER)
        product.forget()
        alone = _quiet_callers(product)
        product.forget()
        with Client(Load(port=product.port, requests=NOISY_JOBS, message=MESSAGE, connections=32)) as noisy:
            noisy.run()
        beside = _quiet_callers(product)
        ((left,),) = product.sql(_LEFT)
        if not left:
            raise Broken("the noisy caller's jobs were done before the quiet ones had begun")
        product.wait_until_finished(seconds=FINISH_SECONDS)
    print(f"{QUIET_CALLERS} quiet callers, {JOBS_EACH} jobs each, model of 200 ms, {SLOTS} slots: created to finished")
    print(f"  alone                       p50 {alone[0]:.0f} ms, p95 {alone[1]:.0f} ms")
    print(f"  beside {NOISY_JOBS:,} of one caller  p50 {beside[0]:.0f} ms, p95 {beside[1]:.0f} ms ({left:,} were left)")
    print(f"  p95: {beside[1] / alone[1]:.2f} times")
    return 1 if beside[1] >= 2 * alone[1] else 0


def _quiet_callers(product: Product) -> tuple[float, float]:
    """The p50 and p95 of their jobs in ms."""
    with ThreadPoolExecutor(QUIET_CALLERS) as threads:
        list(threads.map(lambda number: _quiet_caller(product.port, f"127.0.1.{number + 1}"), range(QUIET_CALLERS)))
    unfinished = "SELECT 1 FROM jobs WHERE owner LIKE 'address:127.0.1.%%' AND finished_at IS NULL"
    eventually(lambda: not product.sql(unfinished), seconds=FINISH_SECONDS, what="the quiet callers' jobs are finished")
    ((figures,),) = product.sql(_QUIET)
    return figures[0], figures[1]


def _quiet_caller(port: int, address: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(address, 0))
    for _ in range(JOBS_EACH):
        time.sleep(random.uniform(*PAUSE_SECONDS))
        connection.request("POST", "/api/jobs", json.dumps({"message": MESSAGE}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 201:
            raise Broken(f"a quiet caller was answered {response.status}")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())

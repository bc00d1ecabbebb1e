"""What traces cost: ``python -m benchmarks.traces``.

The product without and with a collector beside it, in turns, because the machine is never equally fast for long.
Processor time of the servers; the collector's is not in it. Everything is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import requests, work
from benchmarks.product import Product
from benchmarks.rows import ROWS
from benchmarks.sheet import Sheet
from tests.collector import Collector

ROUNDS, REQUESTS, JOBS = 3, 2000, 1500
KEYS = ("get.api", "post.api", "jobs-0.cpu", "jobs-0.worker.cpu", "jobs-0.dispatcher.cpu")
SHOWN = tuple(row for row in ROWS if row.key in KEYS)


def main() -> None:
    """Print both tables."""
    without, traced = Sheet(), Sheet()
    with Collector() as collector:
        for _ in range(ROUNDS):
            _measure(without, {})
            _measure(traced, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
        spans = len(collector.spans)
    for name, sheet in (("without traces", without), (f"with traces ({spans} spans came)", traced)):
        print("\n".join([name, *sheet.lines(SHOWN), ""]))


def _measure(sheet: Sheet, environment: Mapping[str, str]) -> None:
    with Product(environment=environment) as product:
        work.through(product, sheet, "jobs-0", jobs=JOBS, latency_ms=0)
        requests.get(product, sheet, requests=REQUESTS)
        requests.post(product, sheet, requests=REQUESTS)


if __name__ == "__main__":
    main()

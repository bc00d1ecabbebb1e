"""Requests: what a POST and a GET cost the servers, beside a bare view on the same gunicorn.

Dispatcher and worker are stopped meanwhile, so that a POST is charged for the
POST alone. The client keeps its connections; its CPU is nobody's.
"""

from __future__ import annotations

from benchmarks.client import Client, Load, Outcome
from benchmarks.errors import Broken
from benchmarks.machine import Spent, Stopwatch
from benchmarks.product import API, DISPATCHER, FLOOR, WORKER, Product
from benchmarks.sheet import Sheet

IDS = 200
"""Different jobs that are asked for in turn."""
MESSAGE = "How does your system handle scalability? " * 5
SERVERS = (API, "postgres", "valkey")


def floor(product: Product, sheet: Sheet, *, requests: int) -> None:
    """A bare view, read and written."""
    product.run_only(API, FLOOR)
    for name, message in (("floor-get", ""), ("floor-post", MESSAGE)):
        load = Load(port=product.floor_port, requests=requests, path="/floor", message=message, warm_up=requests // 10)
        outcome, spent = _measured(product, load, expected="200")
        sheet.note(f"{name}.api", spent.total(FLOOR) / requests * 1000, spent=spent)
        sheet.note(f"{name}.rate", requests / outcome.seconds, spent=spent)
    product.run_only(API)


def post(product: Product, sheet: Sheet, *, requests: int) -> None:
    """Create jobs."""
    load = Load(port=product.port, requests=requests, message=MESSAGE, warm_up=requests // 10)
    _note(product, sheet, "post", load, expected="201")


def key(product: Product, sheet: Sheet, *, requests: int) -> None:
    """Create jobs, each with a new Idempotency-Key."""
    load = Load(port=product.port, requests=requests, message=MESSAGE, warm_up=requests // 10, keys=True)
    _note(product, sheet, "key", load, expected="201")


def get(product: Product, sheet: Sheet, *, requests: int) -> None:
    """Ask for jobs that nobody has answered yet."""
    product.run_only(API)
    ids = _create(product, status="created")
    load = Load(port=product.port, requests=requests, ids=ids, warm_up=requests // 10)
    _note(product, sheet, "get", load, expected="200")


def finished(product: Product, sheet: Sheet, *, requests: int) -> None:
    """Ask for jobs that have been answered."""
    ids = product.ids("completed", most=IDS)
    if len(ids) < IDS:
        product.run_only(API, DISPATCHER, WORKER)
        ids = _create(product, status="completed")
    load = Load(port=product.port, requests=requests, ids=ids, warm_up=requests // 10)
    _note(product, sheet, "finished", load, expected="200")


def _create(product: Product, *, status: str) -> tuple[str, ...]:
    with Client(Load(port=product.port, requests=IDS, message=MESSAGE)) as client:
        client.run()
    if status == "completed":
        product.wait_until_finished(seconds=30)
    return product.ids(status, most=IDS)


def _note(product: Product, sheet: Sheet, name: str, load: Load, *, expected: str) -> None:
    product.run_only(API)
    outcome, spent = _measured(product, load, expected=expected)
    product.forget_waiting()
    sheet.note(f"{name}.server", spent.total(*SERVERS) / load.requests * 1000, spent=spent)
    sheet.note(f"{name}.api", spent.total(API) / load.requests * 1000, spent=spent)
    sheet.note(f"{name}.rate", load.requests / outcome.seconds, spent=spent)
    sheet.note(f"{name}.p95", outcome.p95_ms, spent=spent)


def _measured(product: Product, load: Load, *, expected: str) -> tuple[Outcome, Spent]:
    with Client(load) as client:
        stopwatch = Stopwatch(product.pids)
        outcome = client.run()
        spent = stopwatch.stop()
    if outcome.statuses != {expected: load.requests}:
        raise Broken(f"{load.requests} requests to {load.path} were answered {outcome.statuses}, not {expected}")
    return outcome, spent

"""Work: how soon a job is picked up, how many a second are answered, and what that takes."""

from __future__ import annotations

import time

from benchmarks import machine
from benchmarks.client import Client, Load, Outcome
from benchmarks.errors import Broken
from benchmarks.machine import Stopwatch
from benchmarks.product import API, DISPATCHER, SLOTS, WORKER, Product, eventually
from benchmarks.sheet import Sheet

CREATING_CONNECTIONS = 32
GAP_SECONDS = (0.05, 0.15)
"""Between two single jobs: at random, or they would march in step with the dispatcher's polls."""
SETTLE_SECONDS = 1.5
LONG_CALL_MS = 8000
FINISH_SECONDS = 60.0
PROCESSES = (API, DISPATCHER, WORKER, "postgres", "valkey")

_PICK_UP = """
    SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY 1000 * EXTRACT(EPOCH FROM attempts.started_at - jobs.created_at))
    FROM jobs JOIN attempts ON job_id = id AND attempts.attempt = 1
"""
_MAKESPAN = "SELECT CAST(EXTRACT(EPOCH FROM max(finished_at) - min(created_at)) AS float8) FROM jobs"


def idle(product: Product, sheet: Sheet, *, seconds: float) -> None:
    """What everything takes while nothing happens."""
    product.run_only(API, DISPATCHER, WORKER)
    time.sleep(SETTLE_SECONDS)
    stopwatch = Stopwatch(product.pids)
    time.sleep(seconds)
    spent = stopwatch.stop()
    for name in PROCESSES:
        sheet.note(f"idle.{name}.memory", machine.memory_mb(product.pids[name]), spent=spent)
    sheet.note("idle.cpu", spent.total() / spent.seconds * 1000, spent=spent)


def pick_up(product: Product, sheet: Sheet, *, jobs: int) -> None:
    """Single jobs with pauses between them: created until claimed, by the database's own clock."""
    _prepare(product)
    load = Load(port=product.port, requests=jobs, message="Hello", connections=1, gap_seconds=GAP_SECONDS)
    with Client(load) as client:
        stopwatch = Stopwatch(product.pids)
        client.run()
        spent = stopwatch.stop()
    product.wait_until_finished(seconds=FINISH_SECONDS)
    ((p50, p95),) = product.sql(_PICK_UP)[0]
    sheet.note("pickup.p50", p50, spent=spent)
    sheet.note("pickup.p95", p95, spent=spent)


def through(product: Product, sheet: Sheet, name: str, *, jobs: int, latency_ms: int) -> None:
    """Jobs created as fast as 32 connections can, until the last is finished."""
    _prepare(product)
    load = Load(port=product.port, requests=jobs, message=_slow(latency_ms), connections=CREATING_CONNECTIONS)
    with Client(load) as client:
        stopwatch = Stopwatch(product.pids)
        outcome = client.run()
        product.wait_until_finished(seconds=FINISH_SECONDS)
        spent = stopwatch.stop()
    _check_all_answered(product, outcome, jobs)
    sheet.note(f"{name}.rate", jobs / product.sql(_MAKESPAN)[0][0], spent=spent)
    sheet.note(f"{name}.create", jobs / outcome.seconds, spent=spent)
    sheet.note(f"{name}.peak", product.llm.stats()["peak"], spent=spent)
    sheet.note(f"{name}.cpu", spent.total() / jobs * 1000, spent=spent)
    for process in PROCESSES:
        sheet.note(f"{name}.{process}.cpu", spent.total(process) / jobs * 1000, spent=spent)


def calls(product: Product, sheet: Sheet) -> None:
    """All slots of one worker waiting for the model at once."""
    _prepare(product)
    load = Load(port=product.port, requests=SLOTS, message=_slow(LONG_CALL_MS), connections=CREATING_CONNECTIONS)
    with Client(load) as client:
        stopwatch = Stopwatch(product.pids)
        outcome = client.run()
        eventually(lambda: product.llm.stats()["active"] == SLOTS, seconds=15, what=f"{SLOTS} calls at once")
        memory = machine.memory_mb(product.pids[WORKER])
        product.wait_until_finished(seconds=FINISH_SECONDS)
        spent = stopwatch.stop()
    _check_all_answered(product, outcome, SLOTS)
    sheet.note("calls.memory", memory, spent=spent)


def _prepare(product: Product) -> None:
    """Everything runs and is warm, and the tables are empty."""
    product.run_only(API, DISPATCHER, WORKER)
    with Client(Load(port=product.port, requests=100, message="Warm up")) as client:
        client.run()
    product.wait_until_finished(seconds=FINISH_SECONDS)
    product.forget()


def _slow(latency_ms: int) -> str:
    return f"[[latency-ms={latency_ms}]] How does your system handle scalability?"


def _check_all_answered(product: Product, outcome: Outcome, jobs: int) -> None:
    if outcome.statuses != {"201": jobs}:
        raise Broken(f"{jobs} jobs were asked for, and the answers were {outcome.statuses}")
    statuses = dict(product.sql("SELECT status, count(*) FROM jobs GROUP BY status"))
    if statuses != {"completed": jobs}:
        raise Broken(f"{jobs} jobs were created, and became {statuses}")
    if (asked := product.llm.stats()["requests"]) != jobs:
        raise Broken(f"the model was asked {asked} times for {jobs} jobs")

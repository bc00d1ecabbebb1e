"""The rows of the table, in the order in which they are printed, with budgets and floors."""

from __future__ import annotations

from benchmarks.product import SLOTS
from benchmarks.sheet import Row
from benchmarks.work import PROCESSES

CPU_UNIT = "ms of CPU"


def _requests() -> list[Row]:
    rows = [
        Row(key=f"floor-{method}.{figure}", label=f"{method.upper()} of a bare view: {label}", unit=unit)
        for method in ("get", "post")
        for figure, label, unit in (("api", "gunicorn", CPU_UNIT), ("rate", "rate", "a second"))
    ]
    for key, label, budget, floor in (
        ("post", "POST", 1.2, "floor-post"),
        ("key", "POST, Idempotency-Key", None, "floor-post"),
        ("get", "GET, unfinished", 0.8, "floor-get"),
        ("finished", "GET, finished", 0.8, "floor-get"),
    ):
        rows += [
            Row(key=f"{key}.server", label=f"{label}: all servers", unit=CPU_UNIT, budget=budget, floor=f"{floor}.api"),
            Row(key=f"{key}.api", label=f"{label}: api alone", unit=CPU_UNIT, floor=f"{floor}.api"),
            Row(key=f"{key}.rate", label=f"{label}: rate", unit="a second", floor=f"{floor}.rate"),
            Row(key=f"{key}.p95", label=f"{label}: answered, p95", unit="ms"),
        ]
    return rows


def _through(key: str, label: str, *, budget: float | None, ideal: float | None) -> list[Row]:
    return [
        Row(key=f"{key}.rate", label=f"{label}: answered", unit="jobs/s", budget=budget, at_least=True, floor=ideal),
        Row(key=f"{key}.create", label=f"{label}: created meanwhile", unit="jobs/s"),
        *([Row(key=f"{key}.peak", label=f"{label}: calls at once", unit="calls", floor=SLOTS)] if ideal else []),
        Row(key=f"{key}.cpu", label=f"{label}: a job, all servers", unit=CPU_UNIT),
        *(Row(key=f"{key}.{name}.cpu", label=f"{label}: a job, {name}", unit=CPU_UNIT) for name in PROCESSES),
    ]


ROWS = (
    *_requests(),
    Row(key="pickup.p50", label="Pick-up of a single job, p50", unit="ms", budget=25.0),
    Row(key="pickup.p95", label="Pick-up of a single job, p95", unit="ms"),
    *_through("jobs-0", "Model of 0 ms", budget=None, ideal=None),
    *_through("jobs-1000", "Model of 1,000 ms", budget=250.0, ideal=SLOTS),
    Row(
        key="calls.memory",
        label=f"Worker with {SLOTS} calls at once",
        unit="MB",
        budget=150.0,
        floor="idle.worker.memory",
    ),
    *(Row(key=f"idle.{name}.memory", label=f"Idle: {name}", unit="MB") for name in PROCESSES),
    Row(key="idle.cpu", label="Idle: all servers", unit="ms of CPU/s"),
)

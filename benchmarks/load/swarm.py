"""Swarm: one run of Locust, as a process of its own, and what it wrote down."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.errors import Broken
from benchmarks.product import ROOT

PROGRAM = ROOT / ".venv-load/bin/locust"
TOTAL = "Aggregated"
WHOLE = ("job, from POST to the poll that saw it done", "AI, from the question to its answer in the chat")
"""Lines of several requests."""
STOP_SECONDS = 70
"""For what is under way when the time is over: a user waits so long for a job."""
MOST_STARTED = 10
"""Users in a second."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """All requests of one name."""

    name: str
    requests: int
    failures: int
    a_second: float
    p50: float
    """Milliseconds, as p95 and p99: to two digits, as Locust keeps them."""
    p95: float
    p99: float


def run(*, folder: pathlib.Path, port: int, kind: str, users: int, seconds: int) -> Sequence[Line]:
    """So many users for so long; a line for each name of a request, and `TOTAL`.

    Raises:
        Broken: Locust is not there, or has failed.
    """
    if not PROGRAM.exists():
        raise Broken("Locust is not installed; `make load` does that")
    prefix = folder / f"locust-{kind}-{users}"
    command = [
        *(str(PROGRAM), "--locustfile", "benchmarks/load/locustfile.py", "--headless", "--only-summary"),
        *("--host", f"http://127.0.0.1:{port}", "--users", str(users), "--spawn-rate", str(min(users, MOST_STARTED))),
        *("--run-time", f"{seconds}s", "--stop-timeout", str(STOP_SECONDS), "--csv", str(prefix)),
        *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
    ]
    environment = {**os.environ, "LOAD_PEOPLE": str(folder / "people.json"), "LOAD_KIND": kind}
    with (folder / "locust.log").open("ab") as log:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False).returncode
    with pathlib.Path(f"{prefix}_stats.csv").open(newline="") as stats:
        lines = [_line(row) for row in csv.DictReader(stats)]
    if code != 0 or not lines[-1].requests:
        raise Broken(f"Locust ended with {code}:\n{(folder / 'locust.log').read_text()[-2000:]}")
    return lines


def failures(folder: pathlib.Path, *, kind: str, users: int) -> Sequence[str]:
    """What went wrong in that run, each once, with how often."""
    with (folder / f"locust-{kind}-{users}_failures.csv").open(newline="") as found:
        return [
            f"{row['Occurrences']} times {row['Method']} {row['Name']}: {row['Error']}" for row in csv.DictReader(found)
        ]


def _line(row: dict[str, str]) -> Line:
    def number(name: str) -> float:
        return 0.0 if row[name] in ("", "N/A") else float(row[name])

    return Line(
        name=row["Name"],
        requests=int(row["Request Count"]),
        failures=int(row["Failure Count"]),
        a_second=number("Requests/s"),
        **{f"p{share}": number(f"{share}%") for share in (50, 95, 99)},
    )

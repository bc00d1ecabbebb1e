"""Command line: one or several runs of chaos, each with a seed of its own.

python -m tests.chaos --jobs 300
python -m tests.chaos --seeds 3 --jobs 1000 --calm-deals 2 --own-times
python -m tests.chaos --jobs 2000 --deals 15 --own-times --faults "erase redis" "kill redis"
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable

from models import settings
from scripts import check_invariants
from tests.chaos.clients import Clients, orders
from tests.chaos.history import History
from tests.chaos.nemesis import FAULTS, Nemesis
from tests.chaos.plant import Plant
from tests.chaos.verdict import ATTEMPTS, JOBS, Counts, judge
from tests.fake_llm import FakeLLM

TICK_SECONDS = 0.05
SETTLE_SECONDS = 120.0
"""After the last fault everything must have finished by then."""
SETTINGS = {"WORKER_SLOTS": "16", "LLM_TOTAL_SECONDS": "20", "MAX_ATTEMPTS": "20", "BREAKER_CALLS": "20"}
OWN_TIMES = {"LEASE_SECONDS": "15", "ANNOUNCE_SECONDS": "5", "RETRY_BASE_SECONDS": "2"}
SHORT_TIMES = {
    "LEASE_SECONDS": "3",
    "ANNOUNCE_SECONDS": "1",
    "RETRY_BASE_SECONDS": "0.2",
    # In proportion: a lease must outlive one statement that is never answered.
    "DB_STATEMENT_SECONDS": "1",
    "DB_CONNECT_SECONDS": "1",
}


def main() -> int:
    """Run; 0 if every run was good."""
    wanted = _arguments()
    # As Ctrl-C: whoever is frozen does not hear that it should end, and would stay, frozen, for good.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    first = int(os.environ.get("PARLEY_SEED") or secrets.randbelow(1_000_000))
    is_good = True
    for seed in range(first, first + wanted.seeds):
        is_good = _run(seed, wanted) and is_good
    return 0 if is_good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seeds", type=int, default=1, help="runs; the first seed is PARLEY_SEED, or drawn")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--deals", type=int, default=1, help="how often each kind of fault comes")
    parser.add_argument("--calm-deals", type=int, default=0, help="the same before, without the database's and model's")
    parser.add_argument("--own-times", action="store_true", help="leases and back-offs as in production")
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS, metavar="FAULT", help="only these")
    return parser.parse_args()


def _run(seed: int, wanted: argparse.Namespace) -> bool:
    """One run: everything it needs is made, and removed unless it was not good."""
    begun = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"parley-chaos-{seed}-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    history = History(folder / "history.jsonl")
    _say(f"seed {seed}: {wanted.jobs} jobs; history in {history.path}")
    times = OWN_TIMES if wanted.own_times else SHORT_TIMES
    with FakeLLM() as llm:
        plant = Plant(folder, llm, history, {**SETTINGS, **times})
        try:
            plant.begin()
            counts = _chaos(seed, wanted, plant, llm, history, lease_seconds=float(times["LEASE_SECONDS"]))
        finally:
            plant.close()
            history.close()
            for made in plant.disposable:
                shutil.rmtree(made, ignore_errors=True)
    complaints = counts.faults_found(own_times=wanted.own_times)
    _say(f"{counts}\n{'; '.join(complaints) or 'good'}, in {time.monotonic() - begun:.0f} s\n")
    if not complaints:
        shutil.rmtree(folder / "postgres", ignore_errors=True)
    return not complaints


def _chaos(
    seed: int, wanted: argparse.Namespace, plant: Plant, llm: FakeLLM, history: History, *, lease_seconds: float
) -> Counts:
    chance = random.Random(seed)
    nemesis = Nemesis(
        plant,
        llm,
        history,
        chance,
        lease_seconds=lease_seconds,
        deals=wanted.deals,
        calm_deals=wanted.calm_deals,
        faults=wanted.faults,
    )
    clients = Clients(plant, history, orders(chance, seed=seed, jobs=wanted.jobs, seconds=nemesis.seconds))
    clients.start()
    try:
        _until(lambda: not nemesis.act() and clients.have_posted(), plant, seconds=5 * nemesis.seconds + SETTLE_SECONDS)
        _until(lambda: clients.have_read() and not _open_attempts(plant), plant, seconds=SETTLE_SECONDS)
    finally:
        clients.stop()
    jobs, attempts = plant.sql(JOBS), plant.sql(ATTEMPTS)
    (plant.folder / "rows.json").write_text(json.dumps({"jobs": jobs, "attempts": attempts}))
    counts = judge(
        history,
        jobs,
        attempts,
        calls=llm.stats()["requests"],
        fenced=plant.log_lines("worker", "attempt_fenced"),
        rests=plant.breaker_rests(),
    )
    checked = check_invariants.ask(settings.from_environment(plant.servers.environment))
    counts.broken_invariants = [check_invariants.line(each) for each in checked if not each.holds]
    return counts


def _open_attempts(plant: Plant) -> bool:
    return bool(plant.sql("SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT 1"))


def _until(is_over: Callable[[], bool], plant: Plant, *, seconds: float) -> None:
    """Look after the plant until something is over, or for so long; the judge sees which."""
    until = time.monotonic() + seconds
    while not is_over() and time.monotonic() < until:
        plant.supervise()
        time.sleep(TICK_SECONDS)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  this is a program


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks``: run the rounds, print the table.

The exit code is 1 if something did not work, and 0 however slow it was.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

from benchmarks import machine, requests, work
from benchmarks.errors import Broken
from benchmarks.product import Product
from benchmarks.rows import ROWS
from benchmarks.sheet import Sheet

ROUNDS = 3
Measurement = Callable[[Product, Sheet], None]


def measurements(*, quick: bool) -> Mapping[str, Measurement]:
    """By name, in the order in which a round runs them: the worker is stopped once, in the middle."""
    many, jobs_0, jobs_1000 = (800, 500, 1500) if quick else (3000, 2000, 1500)
    return {
        "idle": lambda product, sheet: work.idle(product, sheet, seconds=2 if quick else 4),
        "pickup": lambda product, sheet: work.pick_up(product, sheet, jobs=40),
        "jobs-0": lambda product, sheet: work.through(product, sheet, "jobs-0", jobs=jobs_0, latency_ms=0),
        "jobs-1000": lambda product, sheet: work.through(product, sheet, "jobs-1000", jobs=jobs_1000, latency_ms=1000),
        "calls": work.calls,
        "finished": lambda product, sheet: requests.finished(product, sheet, requests=many),
        "floor": lambda product, sheet: requests.floor(product, sheet, requests=many),
        "get": lambda product, sheet: requests.get(product, sheet, requests=many),
        "post": lambda product, sheet: requests.post(product, sheet, requests=many),
        "key": lambda product, sheet: requests.key(product, sheet, requests=many),
    }


def main() -> int:
    """Returns the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    begun_at, rounds, sheet = time.monotonic(), 1 if options.quick else ROUNDS, Sheet()
    chosen = {name: each for name, each in measurements(quick=options.quick).items() if options.only in (None, name)}
    with Product() as product:
        _introduce(product, rounds=rounds)
        broken = [why for number in range(rounds) for why in _round(product, sheet, chosen, number=number)]
    print("\n".join(["", *sheet.lines(ROWS), ""]))
    print(f"over budget: {', '.join(sheet.over_budget(ROWS)) or 'nothing'}")
    print(f"took {time.monotonic() - begun_at:.0f} s")
    for why in broken:
        print(f"DID NOT WORK: {why}")
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the whole product on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", choices=measurements(quick=True), metavar="NAME", help="one of: %(choices)s")
    return parser.parse_args()


def _introduce(product: Product, *, rounds: int) -> None:
    load, _, _ = os.getloadavg()
    print(f"{machine.described()}, {product.versions()}")
    print(f"a durable write takes {machine.sync_milliseconds(product.folder):.2f} ms here; load average {load:.1f}")
    print(
        f"{rounds} round(s): medians; at most so many cores were busy with others; a fixed loop took so many ms of CPU"
    )


def _round(product: Product, sheet: Sheet, chosen: Mapping[str, Measurement], *, number: int) -> list[str]:
    """One round on new processes and empty tables; what did not work."""
    product.forget()
    broken = []
    for name, measurement in chosen.items():
        print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
        try:
            measurement(product, sheet)
        except Broken as why:
            broken.append(f"{name}: {why}")
    product.run_only()
    return broken


if __name__ == "__main__":
    sys.exit(main())

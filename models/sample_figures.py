"""Sample figures: what a sample means, in numbers for people. None is *unknown*, and never stands for 0.

Quantiles are taken from a histogram's buckets as Prometheus takes them: within a bucket all durations count as equally
likely, and of those above the largest bound only that is known.

Source: Prometheus, "histogram_quantile", https://prometheus.io/docs/prometheus/latest/querying/functions/.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.metrics import QUICK
from models.reports import DISK
from models.samples import Body

Figures = Mapping[str, Any]
Buckets = Sequence[tuple[float, float]]
"""``(upper bound in seconds, how many took so long or less)``, the smallest bound first."""


def derived(body: Body) -> Figures:
    """Rates, shares, durations in seconds, bytes; of what was asked of the database, and of what processes told."""
    ended, gauges, told = body["ended"], body["gauges"], body["told"]
    answered = ended["completed"] + ended["failed"]
    answers, deliveries = (buckets(body["counts"], name, QUICK) for name in ("answers", "deliveries"))
    return {
        "waiting": gauges["waiting"],
        "running": gauges["running"],
        "oldest": gauges["oldest"],
        "dead_letters": gauges["dead_letters"],
        "breakers_open": gauges["breakers_open"],
        "cost": gauges.get("cost"),
        "finished_rate": answered / body["seconds"],
        "failed_share": ended["failed"] / answered if answered else None,
        **_of_http(body),
        **{f"latency_{name}": quantile(answers, share) for name, share in _SHARES.items()},
        "sockets": told.get("sockets"),
        "delivery_p95": quantile(deliveries, _SHARES["p95"]),
        "resyncs": body["counts"].get("resyncs", 0) if "gateway" in body["heard"] else None,
        "chat_cache_hits": _share(body["counts"], "chat_cache"),
        "reply_cache_hits": _share(body["counts"], "reply_cache"),
        "cores": body["counts"].get("cpu", 0) / body["seconds"] if body["heard"] else None,
        "resident": told.get("resident"),
        "files": told.get("files"),
        "disk_used_share": told.get(DISK),
    }


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _of_http(body: Body) -> Figures:
    """Of all who answer requests; a gateway does so for commands on sockets."""
    if not {"api", "gateway"} & body["heard"].keys():
        return {"request_rate": None, "error_share": None}
    by_status = {name: number for name, number in body["counts"].items() if name.startswith("requests.")}
    every = sum(by_status.values())
    return {
        "request_rate": every / body["seconds"],
        "error_share": by_status.get("requests.5xx", 0) / every if every else None,
    }


def _share(counts: Mapping[str, float], name: str) -> float | None:
    """Hits among the looks; unknown if nobody looked."""
    hits, misses = (counts.get(f"{name}.{result}", 0) for result in ("hit", "miss"))
    return hits / (hits + misses) if hits + misses else None


def calls(body: Body) -> Mapping[str, tuple[int, int]]:
    """Calls to each model: how many, and how many of them failed."""
    found: dict[str, tuple[int, int]] = {}
    for name, number in body["counts"].items():
        result, _, model = name.partition(".")
        if result in ("calls_answered", "calls_failed"):
            every, failed = found.get(model, (0, 0))
            found[model] = round(every + number), round(failed + number * (result == "calls_failed"))
    return found


def buckets(counts: Mapping[str, float], name: str, bounds: Sequence[float]) -> Buckets:
    """A histogram of these counts; empty: nothing was observed. A bucket that has not grown was not reported.

    Nor was one that a process of another version does not have: it holds what those below it hold.

    >>> buckets({"answers.0.1": 3, "answers.+Inf": 4, "resyncs": 1}, "answers", [0.05, 0.1])
    [(0.05, 0), (0.1, 3), (inf, 4)]
    >>> buckets({"answers.0.05": 3, "answers.0.1": 1, "answers.+Inf": 4}, "answers", [0.05, 0.1])
    [(0.05, 3), (0.1, 3), (inf, 4)]
    >>> buckets({"resyncs": 1}, "answers", [0.05, 0.1])
    []
    """
    every = counts.get(f"{name}.+Inf", 0)
    numbers = itertools.accumulate((counts.get(f"{name}.{bound}", 0) for bound in bounds), max)
    return [*zip(bounds, numbers, strict=True), (math.inf, every)] if every else []


def quantile(found: Buckets, share: float) -> float | None:
    """The duration that so large a share did not exceed, as far as buckets tell.

    >>> quantile([(0.1, 50), (0.2, 100), (math.inf, 100)], 0.75)
    0.15
    >>> quantile([(0.1, 0), (math.inf, 4)], 0.5)
    0.1
    >>> quantile([], 0.5) is None
    True
    """
    if not found or not found[-1][1]:
        return None
    rank, below, number_below = share * found[-1][1], 0.0, 0.0
    for bound, number in found:
        if number >= rank and number > number_below:
            if math.isinf(bound):
                return below
            return round(below + (bound - below) * (rank - number_below) / (number - number_below), 6)
        below, number_below = bound, number
    return below

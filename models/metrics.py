"""Metrics: what this process counts, and how it is written down for Prometheus.

A family stands in the room that counts it: what any process may count here, requests
in `api.metrics`, attempts in `tasks.metrics`. Names and units are Prometheus's:
``_total`` only grows, ``_seconds`` and ``_bytes`` are what they say.

A label has few values, and none that a caller can choose: each new one is a series that
is kept for good, here and in Prometheus. `Words` is the door for whatever comes from
outside.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from models import process_figures
from models.process_figures import ProcessFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY = CollectorRegistry()
"""Of this process. (The library's own would bring figures of Python's garbage along.)"""
OTHER = "other"
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each: when it began; `rate` finds out

QUICK = (0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds, for what somebody waits for. 0.2 is the limit of the objectives; a delivery is meant to take 0.005."""
SLOW = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds, for a model, and for who waits in a queue."""


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """A family of this process's that only grows; its name ends in ``_total``."""
    return Counter(name, meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    """A family of this process's that sorts by size."""
    return Histogram(name, meaning, labels, buckets=buckets, registry=REGISTRY)


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A family of how things stand in this process; of an api, the sum of its workers that live."""
    return Gauge(name, meaning, labels, registry=REGISTRY, multiprocess_mode="livesum")


class Words:
    """The values of one label.

    Args:
        names: the only ones there are; if there are none, the first ``most`` that come.

    >>> models = Words(["gpt-4o-mini"])
    >>> models.fold("gpt-4o-mini"), models.fold("' OR 1=1"), models.fold(None)
    ('gpt-4o-mini', 'other', 'none')
    """

    def __init__(self, names: Iterable[str] = (), *, most: int = 0) -> None:
        self._names, self._most = set(names), most

    def fold(self, word: str | None) -> str:
        """The word, if it is one of them."""
        if word is None:
            return "none"
        if word not in self._names:
            if len(self._names) >= self._most:
                return OTHER
            self._names.add(word)
        return word


def may_read(authorization: str, token: bytes) -> bool:
    """Whether a header shows this token; none opens nothing."""
    scheme, _, shown = authorization.partition(" ")
    # Compared also when there is none, so that the time taken does not tell.
    return hmac.compare_digest(shown.strip().encode(), token) and bool(token) and scheme.lower() == "bearer"


def page(*more: Collector, pids: Callable[[], Iterable[int]] = process_figures.this_process) -> CollectorRegistry:
    """All there is to be shown by this process.

    Args:
        pids: the processes of this target, for what they take from the machine.
    """
    shown = CollectorRegistry()
    if values.ValueClass is values.MutexValue:
        shown.register(_Counted())
    else:  # each process of a group counts in files of its own
        MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
    for collector in (ProcessFigures(pids), *more):
        shown.register(collector)
    return shown


class _Counted(Collector):
    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


CHAT_CACHE = counter("parley_chat_cache_lookups_total", "Looks into the chat cache.", "kind", "result")
JOBS_MOVED = counter("parley_jobs_moved_total", "Jobs that came into a status, by committed transactions.", "status")

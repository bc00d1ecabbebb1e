"""The installation: what the database says of it, as families for a scrape.

It is asked at most once in `KEPT_SECONDS`, however many scrape. Where it does not answer, ``parley_database_up`` is
0 and its other families are absent: an old figure would look like a good one.
"""

from __future__ import annotations

import pathlib
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from models import figures
from models.activity import QUANTILES
from models.base import Autocommit
from models.breakers import BreakerState, Seen
from models.figures import Figures
from models.metrics import Words

KEPT_SECONDS = 5.0
PROCESSES = Words(("api", "gateway", "dispatcher", "worker"))


class Installation(Collector):
    """One for each process: it remembers.

    Args:
        data_folder: on the disk that is to be watched.
    """

    def __init__(self, data_folder: pathlib.Path) -> None:
        self._data_folder = data_folder
        self._models = Words(most=50)  # as many as settings name; whoever writes to the database cannot add more
        self._lock = threading.Lock()
        self._kept: Figures | SQLAlchemyError | None = None
        self._kept_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Never fails, and waits for the database as long as any answer does."""
        yield from self._disk()
        try:
            found = self.figures()
        except SQLAlchemyError:
            found = None
        yield GaugeMetricFamily("parley_database_up", "1 if the database has answered this scrape.", int(bool(found)))
        if found is not None:
            yield from _of_jobs(found)
            yield from self._of_breakers(found.breakers)
            yield from _of_processes(found)
            yield from _of_people(found.activity)
            yield GaugeMetricFamily("parley_database_bytes", "Size of the database.", found.database_bytes)

    def figures(self) -> Figures:
        """What the database has said in the last `KEPT_SECONDS`.

        Raises:
            SQLAlchemyError: it did not answer.
        """
        with self._lock:
            if self._kept is None or time.monotonic() >= self._kept_until:
                try:
                    with Autocommit() as session:
                        self._kept = figures.read(session)
                except SQLAlchemyError as error:
                    self._kept = error
                self._kept_until = time.monotonic() + KEPT_SECONDS
            if isinstance(self._kept, SQLAlchemyError):
                raise self._kept
            return self._kept

    def _disk(self) -> Iterator[Metric]:
        """Of the nearest folder that is there: containers have none for data."""
        there = next(each for each in (self._data_folder, *self._data_folder.parents) if each.exists())
        usage = shutil.disk_usage(there)
        yield GaugeMetricFamily("parley_disk_free_bytes", "Free on the disk of PARLEY_DATA.", usage.free)
        yield GaugeMetricFamily("parley_disk_size_bytes", "Size of that disk.", usage.total)

    def _of_breakers(self, breakers: Iterable[Seen]) -> Iterator[Metric]:
        yield _family(
            "parley_breaker_state",
            "1 for the state in which a model's breaker is, 0 for the others.",
            ("model", "state"),
            {
                (self._models.fold(seen.model), state.value): int(state is seen.state)
                for seen in breakers
                for state in BreakerState
            },
        )


def _of_jobs(found: Figures) -> Iterator[Metric]:
    yield _family("parley_jobs", "Jobs that have not ended.", ("status", "type", "queue_class"), found.unfinished)
    yield _family(
        "parley_oldest_waiting_seconds",
        "Since when the first due job could have been begun.",
        ("queue_class",),
        {(queue_class,): seconds for queue_class, seconds in found.oldest.items()},
    )
    yield GaugeMetricFamily("parley_dead_letters", "Dead letters; 1001: more than 1000.", found.dead_letters)
    yield GaugeMetricFamily(
        "parley_oldest_dead_letter_seconds",
        "Age of the oldest dead letter; 0: there is none.",
        found.oldest_dead_letter or 0,
    )


def _of_processes(found: Figures) -> Iterator[Metric]:
    yield _family(
        "parley_heartbeat_age_seconds",
        "Since the youngest sign of life of a dispatcher, a worker, a reaper's tick.",
        ("kind",),
        {(kind,): age for kind, age in found.heartbeats.items()},
    )
    yield _family(
        "parley_processes",
        "Processes that have given a sign of life in the last 10 s.",
        ("kind",),
        {(kind,): number for kind, number in found.at_work.items()},
    )
    yield GaugeMetricFamily("parley_worker_slots", "Calls that the live workers can make at once.", found.slots)
    connections: dict[tuple[str, ...], float] = {}
    for (process, state), number in found.connections.items():
        key = PROCESSES.fold(process), state
        connections[key] = connections.get(key, 0) + number
    yield _family("parley_database_connections", "Connections of our processes.", ("process", "state"), connections)


def _of_people(activity: Mapping[str, Any] | None) -> Iterator[Metric]:
    """Absent where nobody knows."""
    if activity is None:
        return
    yield GaugeMetricFamily("parley_active_users", "Accounts that were used today (UTC).", activity["users"])
    yield GaugeMetricFamily("parley_active_owners", "Who handed in jobs today, guests too.", activity["owners"])
    yield _family(
        "parley_owner_jobs",
        "Jobs that one of them handed in today: so many of them, or fewer, by share of the owners.",
        ("quantile",),
        {(str(share),): jobs for share, jobs in zip(QUANTILES, activity["jobs_per_owner"] or (), strict=False)},
    )


def _family(name: str, meaning: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family

"""Process figures: what the processes of one target take from the machine, read from ``/proc``.

An API is a master and its workers: their sum is shown, for a scrape meets any one of them. Processor time includes
that of children which have ended, so it only grows.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_UTIME, _STIME, _CUTIME, _CSTIME, _RESIDENT = 11, 12, 13, 14, 21
"""Fields of ``stat``, counted from the one behind the program's name (proc(5))."""


def this_process() -> list[int]:
    """For a process that is a target by itself."""
    return [os.getpid()]


def master_and_workers() -> list[int]:
    """For a worker of gunicorn: its siblings and their master."""
    master = os.getppid()
    return [master, *_children(master)]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [os.getpid()]


class ProcessFigures(Collector):
    """Answers a scrape; empty where there is no ``/proc``.

    Args:
        pids: whose figures are added up.
    """

    def __init__(self, pids: Callable[[], Iterable[int]] = this_process) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """One that has ended meanwhile is left out."""
        found = [figures for pid in self._pids() if (figures := _figures(pid))]
        seconds, resident, files = map(sum, zip(*found, strict=True)) if found else (0.0, 0.0, 0.0)
        yield CounterMetricFamily("process_cpu_seconds", "Processor time taken.", value=seconds)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory held, shared pages counted each.", resident)
        yield GaugeMetricFamily("process_open_fds", "Open files and sockets.", files)


def _figures(pid: int) -> tuple[float, float, float] | None:
    proc = pathlib.Path(f"/proc/{pid}")
    try:
        # The name of the program stands in brackets and may hold anything.
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        files = sum(1 for _ in (proc / "fd").iterdir())
    except OSError:
        return None
    ticks = sum(int(fields[each]) for each in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"), files

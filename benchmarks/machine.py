"""The machine: what it is, and how much of it our processes and those of others used.

CPU time comes from ``/proc`` and is taken for whole process trees, ended
children included. What is left of the machine's busy time is somebody else's:
it slows our figures down, so it is printed beside them as *outside cores*.

A virtual machine's cores do not always run at one speed, and no counter inside
says so: a fixed loop that is timed before and after each measurement does.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

MEBIBYTE = 2**20
SYNCS = 100
LOOPS = 4
LOOP_STEPS = 50_000


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of all below it, those that have ended included."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in _tree(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and of all below it: what is shared counts once."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MEBIBYTE


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was used between two moments."""

    seconds: float
    cpu: Mapping[str, float]
    """CPU seconds by process."""
    outside_cores: float
    """Busy with what is not ours, on average."""
    loop_ms: float
    """What `loop_milliseconds` said, before and after."""

    def total(self, *names: str) -> float:
        """CPU seconds of these processes together; of all if none is named."""
        return sum(self.cpu[name] for name in names or self.cpu)


class Stopwatch:
    """Runs from its creation.

    Args:
        pids: of the processes to tell apart, by name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids, self._loop_ms = pids, loop_milliseconds()
        self._begun_at, self._busy, self._ours = time.monotonic(), _busy_seconds(), cpu_seconds(os.getpid())
        self._cpu = self._read()

    def stop(self) -> Spent:
        """What was used since."""
        cpu = {name: now - self._cpu[name] for name, now in self._read().items()}
        ours, busy = cpu_seconds(os.getpid()) - self._ours, _busy_seconds() - self._busy
        seconds = time.monotonic() - self._begun_at
        outside_cores = max(0.0, busy - ours) / seconds
        loop_ms = (self._loop_ms + loop_milliseconds()) / 2
        return Spent(seconds=seconds, cpu=cpu, outside_cores=outside_cores, loop_ms=loop_ms)

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}


def loop_milliseconds() -> float:
    """CPU time that a fixed loop of Python takes now."""
    begun = time.process_time()
    for _ in range(LOOPS):
        names = {}
        for number in range(LOOP_STEPS):
            names[number % 1000] = str(number)
    return (time.process_time() - begun) / LOOPS * 1000


def _busy_seconds() -> float:
    """Of all cores. Time that a hypervisor gave to others counts as busy: we could not use it either."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def described() -> str:
    """Cores, CPU, kernel and Python: a figure without them says nothing."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({_cpu_model()}), {platform.system()} {platform.release()}, {python}"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def sync_milliseconds(folder: pathlib.Path) -> float:
    """Median time in which this disk makes 8 KiB durable: the least a commit can take."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(bytes(8192))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000

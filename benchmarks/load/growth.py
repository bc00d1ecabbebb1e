"""Growth: whether processes take more and more memory, and Redis more and more keys, while the load stays the same."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from benchmarks.machine import MEBIBYTE, memory_mb

EVERY_SECONDS = 5.0
ENDS = 12
"""Samples at either end that are compared: a minute."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How one figure moved."""

    first: float
    """Mean of the first minute that counts."""
    last: float
    a_minute: float
    """By least squares."""
    error: float
    """Of that: twice the standard error. Neighbouring samples are alike, so the true one is larger."""
    lately: float
    """As `a_minute`, of the second half alone: what fills up slows down, and what leaks does not."""
    samples: int


def slope(samples: Sequence[tuple[float, float]]) -> Slope:
    """Of ``(seconds, figure)`` pairs, at least four.

    >>> found = slope([(0, 10.0), (60, 11.0), (120, 12.0), (180, 13.0)])
    >>> round(found.a_minute, 6), round(found.error, 6)
    (1.0, 0.0)
    >>> level = slope([(0, 10.0), (60, 12.0), (120, 10.0), (180, 12.0), (240, 10.0)])
    >>> round(level.a_minute, 6), level.error > 0.5
    (0.0, True)
    >>> full = slope([(0, 10.0), (60, 12.0), (120, 14.0), (180, 14.0), (240, 14.0)])
    >>> round(full.a_minute, 6), round(full.lately, 6)
    (1.0, 0.0)
    """
    seconds, figures = zip(*samples, strict=True)
    rise, start = statistics.linear_regression(seconds, figures)
    residues = sum((figure - start - rise * at) ** 2 for at, figure in samples)
    spread = sum((at - statistics.fmean(seconds)) ** 2 for at in seconds)
    error = (residues / (len(samples) - 2) / spread) ** 0.5
    return Slope(
        first=statistics.fmean(figures[:ENDS]),
        last=statistics.fmean(figures[-ENDS:]),
        a_minute=rise * 60,
        error=2 * error * 60,
        lately=statistics.linear_regression(*zip(*samples[len(samples) // 2 :], strict=True)).slope * 60,
        samples=len(samples),
    )


class Sampler:
    """Samples from `__enter__` to `__exit__`.

    Args:
        pids: by name; of each its own resident memory and that of each child it has, told apart by number, is taken.
        shared: likewise, but of all below it together the proportional set: their pages are mostly one another's.
        figures: whatever else.
    """

    def __init__(
        self, pids: Mapping[str, int], *, shared: Mapping[str, int], figures: Mapping[str, Callable[[], float]]
    ) -> None:
        self._pids, self._shared, self._figures = pids, shared, figures
        self._taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._begun_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            now = time.monotonic() - self._begun_at
            with contextlib.suppress(psutil.NoSuchProcess):
                for name, pid in self._pids.items():
                    for label, process in _family(name, pid):
                        self._taken[label].append((now, process.memory_info().rss / MEBIBYTE))
                for name, pid in self._shared.items():
                    self._taken[name].append((now, memory_mb(pid)))
            for name, figure in self._figures.items():
                self._taken[name].append((now, figure()))

    def slopes(self, *, after_seconds: float) -> Mapping[str, Slope]:
        """Of each figure, without what was sampled before: processes fill what they keep."""
        kept = {name: [each for each in taken if each[0] >= after_seconds] for name, taken in self._taken.items()}
        return {name: slope(taken) for name, taken in kept.items() if len(taken) > 2 * ENDS}


def _family(name: str, pid: int) -> Sequence[tuple[str, psutil.Process]]:
    root = psutil.Process(pid)
    children = sorted(root.children(recursive=True), key=lambda each: each.pid)
    return [(name, root), *((f"{name}, child {number}", each) for number, each in enumerate(children, start=1))]

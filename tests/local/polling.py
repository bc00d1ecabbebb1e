"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil


def until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Return as soon as the condition holds; fail if that takes longer than ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process still does anything: one that only waits to be collected does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def are_gone(pids: Iterable[int]) -> bool:
    """Whether none of them is left."""
    return not any(is_alive(pid) for pid in pids)

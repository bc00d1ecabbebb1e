"""Hashing: passwords off the event loop, few at once, with a bounded queue.

A hash takes 40 ms of a core and 19 MiB. On the event loop it would hold up everybody
else; a thread for each of a hundred logins would hold 2 GB. So `THREADS` real threads
(not greenlets, also where gevent has replaced those) take them in turn, with less of a
claim to the cores than the event loop has, and who finds `MOST_WAITING` before them is
sent away.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from functools import cached_property
from typing import Any, TypeVar

from gevent import monkey, threadpool
from werkzeug.exceptions import ServiceUnavailable

from models import passwords
from models.passwords import Passwords

THREADS = 2
MOST_WAITING = 64
RETRY_SECONDS = 3
NICENESS = 10
Answer = TypeVar("Answer")


class Hashing:
    """One for each process. Not to be used inside a transaction."""

    def __init__(self, with_: Passwords | None = None) -> None:
        self._passwords = with_ or Passwords()
        self._places = threading.BoundedSemaphore(THREADS + MOST_WAITING)

    def hashed(self, password: str) -> str:
        """See `Passwords.hashed`."""
        return self._in_turn(self._passwords.hashed, password)

    def fits(self, password: str, kept: str | None) -> bool:
        """See `Passwords.fits`."""
        return self._in_turn(self._passwords.fits, password, kept)

    def better(self, password: str, kept: str) -> str | None:
        """What should replace ``kept``, if it was made with other parameters than ours."""
        return self.hashed(password) if self._passwords.is_outdated(kept) else None

    def weakness(self, password: str, *, known: Sequence[str]) -> str | None:
        """See `passwords.weakness`."""
        return self._in_turn(lambda: passwords.weakness(password, known=known))

    def _in_turn(self, work: Callable[..., Answer], *given: object) -> Answer:
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            answer: Answer = self._pool.submit(_modestly, work, *given).result()
        finally:
            self._places.release()
        return answer

    @cached_property
    def _pool(self) -> Any:
        # Made at first use: a pool made before a fork would have no threads after it.
        if monkey.is_module_patched("threading"):
            return threadpool.ThreadPoolExecutor(THREADS)
        return futures.ThreadPoolExecutor(THREADS, thread_name_prefix="hashing")


def _modestly(work: Callable[..., Answer], *given: object) -> Answer:
    # On Linux a priority is a thread's. Where it is a process's, or may not be set, it is left alone.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    return work(*given)


def _busy() -> ServiceUnavailable:
    refusal = ServiceUnavailable("Too many sign in at this moment.", retry_after=RETRY_SECONDS)
    refusal.data = {"code": "busy"}  # type: ignore[attr-defined]
    return refusal

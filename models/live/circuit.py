"""The circuit: one bounded try at Redis, then none for a while; and a word that tells entries of before from ours.

What a cache has not been told it must not show. So each entry carries the
*generation* it was made in, a random word in Redis, and who could not tell of a
change renews the word as soon as Redis answers: all entries of before are then as
none, and their time runs out by itself. A process does so at its start as well,
for whoever ran before it may have died between a commit and its word of it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError

from models import logs
from models.live import client
from models.settings import Settings

SECONDS = 0.25
"""Longest wait for Redis."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8.0
"""Before Redis is tried again, in the background."""
CONNECTIONS = 16
"""Of a process. A question takes a fraction of a millisecond."""
GENERATION = "chat:generation"
GENERATION_SECONDS = 7 * 86400
"""Longer than any entry lives: should it expire, there is nothing it could tell apart."""

log = logs.logger()


class Circuit:
    """One for each process; connects at first use, that is, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client.connect(settings, seconds=SECONDS)
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self.is_open = False
        """Nobody asks Redis then; a thread finds out when it is back."""
        self._is_behind = True
        """Whether Redis may hold what we should have told it is out of date."""

    def ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        """What Redis answers; None if it does not, or has not of late. Never fails."""
        with self._places:  # each question takes a connection for its time
            if self.is_open:
                return None
            try:
                if self._is_behind:
                    self._renew()
                return question(self._redis)
            except (RedisError, OSError) as error:
                self._open(error)
                return None

    def tell(self, change: Callable[[redis.Redis], Any]) -> None:
        """Have Redis take a change. If it does not, all that it holds is dropped once it is back."""
        if self.ask(lambda connected: (change(connected), True)) is None:
            self.fall_behind()

    def fall_behind(self) -> None:
        """A change is known to have been lost."""
        self._is_behind = True
        self.ask(lambda _: None)

    def _open(self, error: Exception) -> None:
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
        log.warning("chats_not_cached", error=type(error).__name__)
        threading.Thread(target=self._come_back, name="circuit", daemon=True).start()

    def _come_back(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self.is_open:
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            try:
                self._redis.ping()
                if self._is_behind:
                    self._renew()
            except (RedisError, OSError):
                continue
            self.is_open = False
        log.info("chats_cached")

    def _renew(self) -> None:
        self._is_behind = False  # first: a change that is lost meanwhile makes it true again
        try:
            self._redis.set(GENERATION, secrets.token_hex(8), ex=GENERATION_SECONDS)
        except (RedisError, OSError):
            self._is_behind = True
            raise

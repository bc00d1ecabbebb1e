"""Windows: how often something was done in the last seconds, counted for all processes together.

A window moves: it holds the moments of the last N seconds, as Redis's clock has
them, in one list for each key. One script drops what has left the window, looks
whether there is room and takes it, so the count is exact however many processes
ask at once. Who comes while a question is under way gathers; the next question
asks for all of them. So a process needs one connection, and a crowd few trips.

Redis dead or frozen costs one short wait. From then on this process counts for
itself, and nobody waits, until a probe in the background has been answered.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from redis.exceptions import RedisError

from models import logs
from models.live import client
from models.settings import Settings

SECONDS = 0.25
"""Longest wait for Redis."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8.0
"""Before Redis is tried again."""
ASKED_AT_ONCE = 200
"""Some thousandths of a second of Redis's time."""
MOST_KEYS = 10_000
"""That this process remembers while it counts for itself."""

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for place, key in ipairs(KEYS) do
    local most, window = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
    local oldest = tonumber(redis.call('LINDEX', key, -1) or nil)
    while oldest and oldest <= now - window do
        redis.call('RPOP', key)
        oldest = tonumber(redis.call('LINDEX', key, -1) or nil)
    end
    local left = most - redis.call('LLEN', key)
    answers[3 * place - 2] = left > 0 and 1 or 0
    if left > 0 then
        redis.call('LPUSH', key, string.format('%.0f', now))
        redis.call('PEXPIRE', key, math.ceil(window / 1000))
        left = left - 1
    end
    answers[3 * place - 1] = math.max(0, left)
    answers[3 * place] = (oldest or now) + window - now
end
return answers
"""

log = logs.logger()


@dataclass(frozen=True)
class Taken:
    """Whether there was room."""

    is_allowed: bool
    left: int
    """How many more fit now."""
    reset_seconds: float
    """Until the oldest leaves the window, so that there is room for one more."""


class _Wish:
    """Of one caller, who may have to wait for his turn."""

    def __init__(self, key: str, most: int, seconds: float) -> None:
        self.key, self.most, self.seconds = key, most, seconds
        self.answer: Taken | None = None
        self.asks = False
        """Whether it is his turn to ask, for all."""
        self.turn = threading.Lock()
        self.turn.acquire()


class Windows:
    """One for each process; connects at first use, that is, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client.connect(settings, seconds=SECONDS)
        self._prefix = client.name(settings, "window", "")
        self._take = self._redis.register_script(_TAKE)
        self._lock = threading.Lock()
        self._gathered: list[_Wish] = []
        self._somebody_asks = False
        self._own = _Own()
        self.is_shared = True
        """Whether Redis counts; if not, this process does for itself."""
        self.switches = 0
        """How often it stopped doing so."""

    def take(self, key: str, *, most: int, seconds: float) -> Taken:
        """Take a place in this key's window of so many seconds, if it holds fewer than ``most``. Never fails."""
        wish = _Wish(self._prefix + key, most, seconds)
        if self.is_shared:
            with self._lock:
                self._gathered.append(wish)
                wish.asks, self._somebody_asks = not self._somebody_asks, True
            if not wish.asks:
                wish.turn.acquire()  # comes with an answer, or with the duty to ask
            if wish.asks:
                self._ask()
        return wish.answer or self._own.take(wish)

    def _ask(self) -> None:
        """Ask for all who have gathered, then let the first of those who have come since ask."""
        time.sleep(0)  # whoever is about to come gathers, too: a fifth of the cost at sixteen callers
        with self._lock:
            wishes, self._gathered = self._gathered, []  # the first is whoever asks
        try:
            for first in range(0, len(wishes), ASKED_AT_ONCE):
                if self.is_shared:
                    self._ask_for(wishes[first : first + ASKED_AT_ONCE])
        except (RedisError, OSError) as error:
            self._go_alone(error)
        finally:
            with self._lock:
                self._somebody_asks = bool(self._gathered)
                following = self._gathered[:1]
            for wish in following:
                wish.asks = True
            for wish in wishes[1:] + following:
                wish.turn.release()

    def _ask_for(self, wishes: list[_Wish]) -> None:
        limits = [number for wish in wishes for number in (wish.most, int(wish.seconds * 1_000_000))]
        answers = self._take(keys=[wish.key for wish in wishes], args=limits)
        for place, wish in enumerate(wishes):
            is_allowed, left, microseconds = answers[3 * place : 3 * place + 3]
            wish.answer = Taken(bool(is_allowed), left, microseconds / 1_000_000)

    def _go_alone(self, error: Exception) -> None:
        self.is_shared = False
        self.switches += 1
        log.warning("limits_not_shared", error=type(error).__name__, switches=self.switches)
        threading.Thread(target=self._come_back, name="windows", daemon=True).start()

    def _come_back(self) -> None:
        """Wait until Redis counts again. What this process has counted meanwhile is forgotten."""
        pause, probe = FIRST_PAUSE_SECONDS, _Wish(f"{self._prefix}probe", 1, 1)
        while probe.answer is None:
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            try:
                self._ask_for([probe])
            except (RedisError, OSError):
                continue
        self._own = _Own()
        self.is_shared = True
        log.info("limits_shared", switches=self.switches)


class _Own:
    """The windows of one process."""

    def __init__(self) -> None:
        self._moments: dict[str, deque[float]] = {}

    def take(self, wish: _Wish) -> Taken:
        if len(self._moments) >= MOST_KEYS and wish.key not in self._moments:
            self._moments.clear()  # a flood of callers costs accuracy, not memory
        moments, now = self._moments.setdefault(wish.key, deque()), time.monotonic()
        while moments and moments[0] <= now - wish.seconds:
            moments.popleft()
        is_allowed = len(moments) < wish.most
        if is_allowed:
            moments.append(now)
        reset_seconds = (moments[0] if moments else now) + wish.seconds - now
        return Taken(is_allowed, wish.most - len(moments), reset_seconds)

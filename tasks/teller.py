"""The teller: shows what models say while they say it, to those who watch.

Ten times a second, while calls are under way, it asks Redis which jobs are
watched, and writes the text of those that have said more. Calls that nobody
watches cost nothing: the provider keeps their parts anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from models import logs
from models.live.partial import TEXT_BYTES, PartialText
from tasks.llm.base import Call
from tasks.llm.speakers import told
from tasks.runner import Hint, Runner

TICK_SECONDS = 0.1
PAUSE_SECONDS = 1.0
LOG_SECONDS = 30.0

log = logs.logger()


class Teller:
    """One thread beside the `Runner`; it ends with the process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._partial = PartialText(runner.settings)
        # No more than the reply may have: what was shown must be the beginning of what is stored.
        self._max_bytes = min(TEXT_BYTES, runner.settings.llm_max_response_bytes)
        self._parts_told: dict[Hint, int] = {}
        self._logged_at = -LOG_SECONDS

    def start(self) -> None:
        """Begin to tell."""
        threading.Thread(target=self._run, name="teller", daemon=True).start()

    def tell(self) -> None:
        """Write what was said since the last time on calls that are watched.

        Raises:
            RedisError, OSError
        """
        calls = {(one.claimed.id, one.claimed.attempt): one.call for one in self._runner.running if one.call.said}
        if not calls:
            self._parts_told.clear()
            return
        watched = self._partial.watched()
        said = {key: call.said for key, call in calls.items() if key[0] in watched}
        counts = {key: len(parts) for key, parts in said.items()}
        news = [key for key, count in counts.items() if count != self._parts_told.get(key)]
        if news:
            self._partial.put({key: self._told(calls[key], said[key][: counts[key]]) for key in news})
        self._parts_told = counts

    def _told(self, call: Call, parts: Sequence[str]) -> bytes:
        return told(parts, call.not_before, max_bytes=self._max_bytes)

    def _run(self) -> None:
        while True:
            try:
                self.tell()
            except (RedisError, OSError) as error:
                self._complain(error)
                self._parts_told.clear()
                time.sleep(PAUSE_SECONDS)
            except Exception:
                # Whatever it is: jobs are answered without this thread, but nobody would see them grow.
                log.exception("tick_failed")
            time.sleep(TICK_SECONDS)

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._logged_at > LOG_SECONDS:
            self._logged_at = time.monotonic()
            log.warning("partial_text_waits", error=type(error).__name__)

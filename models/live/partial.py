"""Partial text: what a model has said so far, for those who watch.

Writing it for every call would cost a worker more than the call. So whoever
watches a job says so (a sorted set of job ids, each with the time until which
that holds, by Redis's clock, for those of an api and of a worker may differ),
and a worker writes only what is watched. It writes the whole text
each time, not what was added: an erased Redis is whole again with the next
word, and a reader never finds a piece without its beginning. Readers take only
the bytes they have not had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from redis.exceptions import RedisError

from models.live import client
from models.live.changes import CHANNEL, Change
from models.settings import Settings

WATCHED_SECONDS = 15
"""How long a word of interest holds; whoever still watches repeats it well before."""
KEPT_SECONDS = 120
TEXT_BYTES = 64 * 1024
"""Of a text; what goes beyond is seen when the job has finished."""
READERS = 8
PAUSE_SECONDS = 1.0
"""After a failure nobody tries again at once: each try could wait for a second."""

_WATCH = f"""
    local until_then = redis.call('TIME')[1] + {WATCHED_SECONDS}
    for _, job_id in ipairs(ARGV) do redis.call('ZADD', KEYS[1], until_then, job_id) end
    redis.call('EXPIRE', KEYS[1], {4 * WATCHED_SECONDS})
"""
_WATCHED = """
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. redis.call('TIME')[1])
    return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


class PartialText:
    """The text of running attempts, in Redis. One for each process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = client.connect(settings)
        self._watched = client.name(settings, "watched")
        self._channel = client.name(settings, CHANNEL)
        # Each reader takes a connection for the time of its command.
        self._readers = threading.BoundedSemaphore(READERS)
        self._quiet_until = 0.0

    def watch(self, job_ids: Iterable[str]) -> None:
        """Somebody wants to see what the models say about these jobs, for the next `WATCHED_SECONDS`."""
        if watched := set(job_ids):
            self._quietly(lambda: self._redis.eval(_WATCH, 1, self._watched, *watched))

    def watched(self) -> set[str]:
        """Jobs that somebody watches now.

        Raises:
            RedisError, OSError
        """
        watched: Any = self._redis.eval(_WATCHED, 1, self._watched)
        return {job_id.decode() for job_id in watched}

    def put(self, texts: Mapping[tuple[str, int], bytes]) -> None:
        """What was said so far, whole, by job id and attempt; tells those who watch.

        Raises:
            RedisError, OSError
        """
        pipeline = self._redis.pipeline(transaction=False)
        for (job_id, attempt), text in texts.items():
            pipeline.set(self._key(job_id, attempt), text, ex=KEPT_SECONDS)
        pipeline.publish(self._channel, Change(texts=[job_id for job_id, _ in texts]).encoded())
        pipeline.execute()

    def since(self, job_id: str, *, attempt: int, offset: int) -> bytes:
        """What was said from that byte on; nothing, if Redis does not know or does not answer."""
        with self._readers:
            return self._quietly(lambda: self._redis.getrange(self._key(job_id, attempt), offset, -1)) or b""

    def _quietly(self, ask: Callable[[], Any]) -> Any:
        if time.monotonic() < self._quiet_until:
            return None
        try:
            return ask()
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + PAUSE_SECONDS
            return None

    def _key(self, job_id: str, attempt: int) -> str:
        return client.name(self._settings, "text", job_id, str(attempt))

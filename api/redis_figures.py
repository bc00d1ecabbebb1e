"""Redis figures: whether it answers, and how much of its memory is taken.

Asked at most once in `KEPT_SECONDS`, as the database is. Where Redis does not answer, ``parley_redis_up`` is 0 and the
others are absent; where it is a service whose owner hides them, they are absent, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError, ResponseError

from api.installation import KEPT_SECONDS
from models.live import client
from models.settings import Settings


class RedisFigures(Collector):
    """One for each process: it remembers."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client.connect(settings)
        self._lock = threading.Lock()
        self._kept: Mapping[str, Any] | None = None
        self._kept_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Never fails, and waits for Redis as long as anybody does."""
        found = self._figures()
        yield GaugeMetricFamily("parley_redis_up", "1 if Redis has answered this scrape.", int(found is not None))
        for name, field, meaning in _FAMILIES:
            if found and field in found:
                yield GaugeMetricFamily(name, meaning, found[field])

    def _figures(self) -> Mapping[str, Any] | None:
        with self._lock:
            if time.monotonic() >= self._kept_until:
                self._kept = self._asked()
                self._kept_until = time.monotonic() + KEPT_SECONDS
            return self._kept

    def _asked(self) -> Mapping[str, Any] | None:
        try:
            return cast("Mapping[str, Any]", self._redis.info("memory"))
        except ResponseError:
            return {}
        except RedisError:
            return None


_FAMILIES = (
    ("parley_redis_memory_bytes", "used_memory", "Memory that Redis has taken for what it holds."),
    ("parley_redis_memory_limit_bytes", "maxmemory", "So much it may take; 0: no limit but the machine's."),
)

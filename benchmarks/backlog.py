"""``python -m benchmarks.backlog``: a hundred thousand waiting jobs, and what they cost those who come.

The product works on them meanwhile. A tick of the announcer is timed here, in a
transaction that is rolled back; Redis is asked how many hints it holds.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import Self

import redis

from benchmarks.client import Client, Load
from benchmarks.product import API, DISPATCHER, WORKER, Product
from models import announcements, base
from models.announcements import Room
from models.base import Session
from models.jobs import QueueClass

WAITING, SLOTS = 100_000, 50
TICKS, TICK_JOBS = 100, (8, 512)
POSTS = 2_000
AGAIN_AFTER = 5.0
SAMPLE_SECONDS = 0.02
MESSAGE = "[[latency-ms=1000]] Wait"
SLOWER = 1.5
"""A POST may be so much slower, which two busy cores vary by themselves."""
MOST_HINTS = max(announcements.SMALLEST_WINDOW, SLOTS)

_FILL = f"""
    INSERT INTO jobs (id, owner, type, queue_class, message, status, priority, max_attempts, deadline_seconds,
                      created_at, updated_at, next_attempt_at, rank_at, deadline_at)
    SELECT gen_random_uuid(), 'address:127.0.2.' || (number %% %s), 'chat', 'interactive', '{MESSAGE}', 'created', 5, 5,
           86400, now(), now(), now(), now() + number * interval '1 microsecond', now() + interval '1 day'
    FROM generate_series(1, {WAITING}) AS number
"""


@dataclass
class Hints:
    """``with``: how many messages Redis held at most."""

    client: redis.Redis
    most: int = 0

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            bundles = self.client.llen(QueueClass.INTERACTIVE)
            self.most = max(self.most, bundles)


def main() -> int:
    """Returns the exit code: 1 if POST became slower, or Redis holds more than a window."""
    with Product(slots=SLOTS) as product:
        product.run_only(API, DISPATCHER, WORKER)
        base.open_database(product.settings(), name="benchmark")
        client = redis.Redis.from_url(product.settings().redis_url)
        alone = _post_p95_ms(product)
        slower, most_hints = 0.0, 0
        for owners in (1, 20, 2_000):
            product.forget()
            product.sql(_FILL, owners)
            product.sql("VACUUM ANALYZE jobs")
            with Hints(client) as hints:
                beside = _post_p95_ms(product)
                ticks = {jobs: _tick_ms(jobs) for jobs in TICK_JOBS}
            slower, most_hints = max(slower, beside / alone), max(most_hints, hints.most)
            told = ", ".join(f"p50 {p50:.1f} ms, p95 {p95:.1f} ms for {jobs}" for jobs, (p50, p95) in ticks.items())
            print(f"{WAITING:,} waiting, of {owners:,} owners")
            print(f"  tick of the announcer  {told}")
            print(f"  POST                   p95 {beside:.1f} ms, {alone:.1f} ms before")
            print(f"  messages in Redis      {hints.most} at most")
        product.forget()
    return 1 if slower > SLOWER or most_hints > MOST_HINTS else 0


def _post_p95_ms(product: Product) -> float:
    with Client(Load(port=product.port, requests=POSTS, message=MESSAGE, connections=4, warm_up=100)) as posting:
        return posting.run().p95_ms


def _tick_ms(jobs: int) -> tuple[float, float]:
    """p50 and p95."""
    taken = []
    for _ in range(TICKS):
        with Session() as session:
            begun = time.perf_counter()
            announcements.room(session, QueueClass.INTERACTIVE, again_after=AGAIN_AFTER)
            room = Room(slots=2 * jobs, free=jobs)
            announcements.stamp(session, QueueClass.INTERACTIVE, room=room, again_after=AGAIN_AFTER)
            taken.append(1000 * (time.perf_counter() - begun))
            session.rollback()
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())

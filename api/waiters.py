"""The waiters: requests that are parked until their job moves, and the one thread that wakes them.

A parked request holds a greenlet and a place in a dictionary; no database
connection. For all of them together one thread listens to one Redis
subscription. While that is down, it asks PostgreSQL once a second, in one query
for all that is parked; while it is up, now and then, since a message may be
lost. Whoever parks does it in this order: register, read the row, park. What
happens between the second and the third step then is not missed.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from redis.client import PubSub
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from sqlalchemy.exc import SQLAlchemyError

from models import logs, versions
from models.base import bare
from models.live import client
from models.live.changes import CHANNEL, Change
from models.live.partial import PartialText
from models.settings import Settings
from models.states import FINISHED

MOST_PARKED = 3_000
"""In one process; gunicorn.conf.py lets 4,000 connect, and somebody must still be able to POST."""
TICK_SECONDS = 0.25
"""How soon a stop of this process is noticed."""
LOOK_SECONDS = 1.0
"""Between two queries while Redis is away."""
AWAY_SECONDS = 3.0
"""Before it is tried again: if it is frozen, each try takes a second."""
CHECK_SECONDS = 5.0
"""Between two queries while it is there; also after how much silence it has to prove that."""
IDLE_SECONDS = 30.0
"""Without a waiter, until the subscription is given up."""
LOOKED_AT_ONCE = 1_000

log = logs.logger()


class Waiter:
    """One parked request."""

    __slots__ = ("_woken", "for_text", "for_the_end", "job_id", "moved", "seen")

    def __init__(self, job_id: str, *, for_the_end: bool, for_text: bool) -> None:
        self.job_id, self.for_the_end, self.for_text = job_id, for_the_end, for_text
        self.moved = True
        """Whether the job has, since this was last set to False."""
        self.seen = ""
        """The version its request has seen."""
        self._woken = threading.Event()

    def wake(self, *, moved: bool) -> None:
        """Let it look again."""
        self.moved = self.moved or moved
        self._woken.set()

    def concerns(self, status: str) -> bool:
        """Whether it waits for its job to move to this status."""
        return status in FINISHED or not self.for_the_end

    def has_missed(self, status: str, version: str) -> bool:
        """Whether it has seen another version, and would want to see this one."""
        return self.seen not in ("", version) and self.concerns(status)

    def wait(self, seconds: float) -> bool:
        """Whether it was woken within so many seconds, or had been before."""
        woken = self._woken.wait(max(0.0, seconds))
        self._woken.clear()
        return woken


class Waiters:
    """One for each process; its thread starts with the first waiter, that is, after any fork.

    Args:
        stopping: whether this process has been told to stop; all are woken then, and nobody parks any more.
    """

    def __init__(self, settings: Settings, *, stopping: Callable[[], bool], most: int = MOST_PARKED) -> None:
        self.stopping, self.partial = stopping, PartialText(settings)
        self._redis = client.connect(settings)
        self._channel = client.name(settings, CHANNEL)
        self._most = most
        self._lock = threading.Lock()
        self._parked: defaultdict[str, set[Waiter]] = defaultdict(set)
        self._count = 0
        self._listening = False
        self._looked_at = self._idle_since = 0.0

    @property
    def count(self) -> int:
        """How many are parked."""
        return self._count

    @contextlib.contextmanager
    def parked(self, job_id: str, *, for_the_end: bool = False, for_text: bool = False) -> Iterator[Waiter | None]:
        """A place among the waiters; None if all are taken, or this process stops.

        Args:
            for_the_end: wake it only when its job has finished.
            for_text: wake it also when the model has said more.
        """
        waiter = self._enter(Waiter(job_id, for_the_end=for_the_end, for_text=for_text))
        try:
            yield waiter
        finally:
            if waiter is not None:
                self._leave(waiter)

    def _enter(self, waiter: Waiter) -> Waiter | None:
        with self._lock:
            if self._count >= self._most or self.stopping():
                return None
            self._count += 1
            self._parked[waiter.job_id].add(waiter)
            if not self._listening:
                self._listening = True
                threading.Thread(target=self._listen, name="waiters", daemon=True).start()
        return waiter

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            self._count -= 1
            self._parked[waiter.job_id].discard(waiter)
            if not self._parked[waiter.job_id]:
                del self._parked[waiter.job_id]

    # The thread

    def _listen(self) -> None:
        """Until nobody has been parked for a while."""
        self._idle_since = time.monotonic()
        while not self._has_ended():
            try:
                with contextlib.closing(self._redis.pubsub()) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(self._channel)
                    self._hear(subscription)
            except (RedisError, OSError) as error:
                log.warning("subscription_lost", error=type(error).__name__, parked=self._count)
                self._get_by()
            except Exception:
                # Whatever it is: without this thread nobody who is parked would be woken.
                log.exception("tick_failed")
                self._get_by()

    def _has_ended(self) -> bool:
        """Whether this thread is not needed any more; the next waiter starts another."""
        with self._lock:
            self._listening = self._count > 0 or not self._is_idle()
            return not self._listening

    def _is_idle(self) -> bool:
        now = time.monotonic()
        self._idle_since = now if self._count else self._idle_since
        return now - self._idle_since > IDLE_SECONDS

    def _hear(self, subscription: PubSub) -> None:
        """Wake whom the messages name, until nobody is parked any more.

        Raises:
            RedisError, OSError: the subscription is lost, or proves nothing.
        """
        heard_at = asked_at = time.monotonic()
        while not self._is_idle():
            message = subscription.get_message(timeout=TICK_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                self._take(message)
            if now - heard_at > 2 * CHECK_SECONDS:
                raise RedisTimeout("The subscription is silent.")
            if now - max(heard_at, asked_at) > CHECK_SECONDS:
                subscription.ping()
                asked_at = now
            self._tick(every=CHECK_SECONDS, with_redis=True)

    def _get_by(self) -> None:
        """Some seconds without Redis."""
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until and not self._is_idle():
            self._tick(every=LOOK_SECONDS, with_redis=False)
            time.sleep(TICK_SECONDS)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._looked_at = 0.0  # What happened before nobody has told us.
        elif message["type"] == "message":
            change = Change.decoded(message["data"])
            for job_id, status in change.jobs.items():
                self._wake(job_id, functools.partial(Waiter.concerns, status=status))
            for job_id in change.texts:
                self._wake(job_id, lambda waiter: waiter.for_text, moved=False)

    def _wake(self, job_id: str, concerns: Callable[[Waiter], bool], *, moved: bool = True) -> None:
        with self._lock:
            concerned = [waiter for waiter in self._parked.get(job_id, ()) if concerns(waiter)]
        for waiter in concerned:
            waiter.wake(moved=moved)

    def _tick(self, *, every: float, with_redis: bool) -> None:
        if self.stopping():
            self._wake_all()
        elif self._count and time.monotonic() - self._looked_at >= every:
            self._looked_at = time.monotonic()
            if with_redis:
                self.partial.watch(self._ids(lambda waiter: waiter.for_text))
            self._look(self._ids(lambda _: True))

    def _wake_all(self) -> None:
        for job_id in self._ids(lambda _: True):
            self._wake(job_id, lambda _: True, moved=False)

    def _ids(self, concerns: Callable[[Waiter], bool]) -> list[str]:
        with self._lock:
            return [job_id for job_id, waiters in self._parked.items() if any(map(concerns, waiters))]

    def _look(self, job_ids: list[str]) -> None:
        """Ask PostgreSQL for all at once."""
        try:
            for first in range(0, len(job_ids), LOOKED_AT_ONCE):
                with bare() as session:
                    found = versions.versions(session, job_ids[first : first + LOOKED_AT_ONCE])
                for job_id, (status, version) in found.items():
                    self._wake(job_id, functools.partial(Waiter.has_missed, status=status, version=version))
        except SQLAlchemyError as error:
            log.warning("looking_waits", parked=len(job_ids), error=type(error).__name__)

"""Changes: tells whoever waits that a job has moved, after the commit that moved it.

A message names jobs and their new status; what has become of them is read from
PostgreSQL. It may be lost: whoever waits also looks by itself now and then.

`models.states.move` notes on the session which jobs it moved. When that session
has committed, they are handed to a thread, which publishes all that have
gathered as one message. So no verb and no door can forget to tell, and nobody
waits for Redis.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from redis.exceptions import RedisError
from sqlalchemy import event
from sqlalchemy.orm import Session as OrmSession

from models import logs, metrics
from models.base import Session
from models.live import client
from models.settings import Settings
from models.states import changed_in

CHANNEL = "changes"
GATHER_SECONDS = 0.01
"""After a message: under load the next one then carries many jobs, not one."""
JOBS_IN_ONE = 1_000
MOST_GATHERED = 20_000
"""While Redis does not take them; more are dropped."""
PAUSE_SECONDS = 1.0
LOG_SECONDS = 30.0

log = logs.logger()


@dataclass(frozen=True)
class Change:
    """What one message says."""

    jobs: Mapping[str, str] = field(default_factory=dict)
    """The new status of each job that moved."""
    texts: Iterable[str] = ()
    """Jobs whose model has said more."""

    def encoded(self) -> str:
        """As it is published."""
        return json.dumps({"jobs": self.jobs, "texts": list(self.texts)})

    @classmethod
    def decoded(cls, message: bytes) -> Change:
        """What was published; nothing, if it is no message of ours."""
        try:
            said = json.loads(message)
            return cls(jobs=dict(said["jobs"]), texts=list(map(str, said["texts"])))
        except (ValueError, TypeError, KeyError):
            return cls()


class Publisher:
    """One for each process; its thread starts with the first change, that is, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self._redis = client.connect(settings)
        self._channel = client.name(settings, CHANNEL)
        self._lock = threading.Lock()
        self._jobs: dict[str, str] = {}
        self._set = threading.Event()
        self._started = False
        self._logged_at = -LOG_SECONDS

    def tell(self, jobs: Mapping[str, str]) -> None:
        """Have these published soon: the new status by job id. Never waits, never fails."""
        with self._lock:
            if len(self._jobs) < MOST_GATHERED:
                self._jobs.update(jobs)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="changes", daemon=True).start()
        self._set.set()

    def _run(self) -> None:
        while True:
            self._set.wait()
            self._set.clear()
            with self._lock:
                jobs, self._jobs = list(self._jobs.items()), {}
            try:
                for first in range(0, len(jobs), JOBS_IN_ONE):
                    message = Change(jobs=dict(jobs[first : first + JOBS_IN_ONE])).encoded()
                    self._redis.publish(self._channel, message)
            except (RedisError, OSError) as error:
                self._complain(error)
                time.sleep(PAUSE_SECONDS)
            time.sleep(GATHER_SECONDS)

    def _complain(self, error: Exception) -> None:
        """Once in a while: what is lost here is found by those who wait."""
        if time.monotonic() - self._logged_at > LOG_SECONDS:
            self._logged_at = time.monotonic()
            log.warning("changes_lost", error=type(error).__name__)


class _Process:
    """The publisher that this process's `Session` tells."""

    publisher: Publisher | None = None
    settings: Settings | None = None


def publish_from_now_on(settings: Settings) -> None:
    """Have every commit of this process's `Session` told to whoever waits."""
    if _Process.settings != settings:
        _Process.publisher, _Process.settings = Publisher(settings), settings


@event.listens_for(Session, "after_commit")
def _committed(session: OrmSession) -> None:
    jobs = changed_in(session)
    for status, number in Counter(jobs.values()).items():
        metrics.JOBS_MOVED.labels(status).inc(number)
    if jobs and _Process.publisher is not None:
        _Process.publisher.tell(jobs)

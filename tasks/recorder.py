"""The recorder: writes how attempts ended, as many at once as have gathered.

While one transaction is written, others finish; they are the next batch. No
timer waits for a batch to fill: alone, an ending is written at once; under load
batches form by themselves and a job costs a third of the database's work.

A finished answer was paid for. If the database cannot take it, it is kept and
tried again until it can; the job's lease decides whether it still counts.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable

from models import attempts, logs
from models.attempts import Ending
from models.base import Session, is_outage
from tasks import metrics
from tasks.watchdog import Watchdog

LARGEST_BATCH = 500
LARGEST_CHARACTERS = 4_000_000
"""Of replies in one batch: what PostgreSQL takes well within its statement limit."""
NAME = "recorder"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0

log = logs.logger()


class Recorder:
    """One thread and its queue.

    Args:
        watchdog: told that this thread is at work.
        on_written: told of each ending, and whether it counted.
        on_done: told the ``(job id, attempt)`` of each batch once there is nothing more to do for them.
    """

    def __init__(
        self,
        *,
        on_done: Callable[[Iterable[tuple[str, int]]], None],
        on_written: Callable[[Ending, bool], None] = lambda *_: None,
        watchdog: Watchdog,
    ) -> None:
        self._queue: queue.SimpleQueue[Ending] = queue.SimpleQueue()
        self._on_done, self._on_written, self._watchdog = on_done, on_written, watchdog
        threading.Thread(target=self._run, name=NAME, daemon=True).start()

    def put(self, ending: Ending) -> None:
        """Have it written soon. The queue holds no more than the worker has slots."""
        self._queue.put(ending)

    def _run(self) -> None:
        while True:
            self._watchdog.heard(NAME, again_within=math.inf)
            batch = [self._queue.get()]
            room = LARGEST_CHARACTERS - len(batch[0].text or "")
            while len(batch) < LARGEST_BATCH and room > 0 and not self._queue.empty():
                batch.append(self._queue.get())
                room -= len(batch[-1].text or "")
            self._write(batch)
            self._on_done((ending.job_id, ending.attempt) for ending in batch)

    def _write(self, batch: list[Ending]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._watchdog.heard(NAME)
            try:
                return self._write_once(batch)
            except Exception as error:  # noqa: BLE001  whatever it is, this thread is the only one that writes
                if not is_outage(error):
                    return self._write_apart(batch, error)
                log.warning("recording_waits", jobs=len(batch), error=type(error).__name__, pause_seconds=pause)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    def _write_once(self, batch: list[Ending]) -> None:
        with Session.begin() as session:
            taken = attempts.record(session, batch)
        for ending in batch:
            is_taken = (ending.job_id, ending.attempt) in taken
            metrics.recorded(ending, taken=is_taken)
            self._on_written(ending, is_taken)
            event = "attempt_ended" if is_taken else "attempt_fenced"
            log.info(
                event,
                job_id=ending.job_id,
                attempt=ending.attempt,
                outcome=ending.outcome.value,
                error_code=ending.error_code,
            )

    def _write_apart(self, batch: list[Ending], error: Exception) -> None:
        """One row that cannot be written must not take the others with it; its own job is left to its lease."""
        if len(batch) == 1:
            log.error("recording_failed", job_id=batch[0].job_id, attempt=batch[0].attempt, exc_info=error)
            return
        for ending in batch:
            self._write([ending])

"""The watch: keeps a worker's claims alive and breaks the calls that no longer count.

Once a second it asks PostgreSQL which running attempts are still this worker's
own; now and then the same statement renews their leases. A job that was
cancelled, or reaped and taken by another, is not among the answers, and its
call's socket is shut: neither a check between chunks nor closing the client
reaches a call that waits for headers or is fed a byte every few seconds.

Deadlines are kept by a thread of their own, because they must hold while the
database does not answer.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession

from models import heartbeats, leases, logs, silences
from models.base import Session
from tasks.llm.base import DEADLINE, LOST
from tasks.runner import Hint, Runner

DEADLINE_TICK_SECONDS = 0.2
TICK_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""Without a first word: people who wait are then told that it is being worked on."""
STUCK_SECONDS = 30.0
"""A call should have been broken at its job's deadline; after so long it does not react."""
RENEWALS_PER_LEASE = 3.75
"""15 s leases are renewed every 4 s: three renewals may fail before a lease is lost."""

log = logs.logger()


class Watch:
    """Three threads beside the `Runner`; they end with the process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._noted: set[Hint] = set()
        self._lease_seconds = runner.settings.lease_seconds
        self._renewed_at = 0.0

    def start(self) -> None:
        """Begin to watch; from now on this worker counts as live."""
        for name, tick, seconds in (
            ("deadlines", self.shut_expired, DEADLINE_TICK_SECONDS),
            ("watch", self.ask_database, TICK_SECONDS),
            ("silence", self.note_silence, TICK_SECONDS),
        ):
            heard = functools.partial(self._runner.watchdog.heard, name)
            threading.Thread(target=_every, args=[seconds, tick, heard], name=name, daemon=True).start()

    def shut_expired(self) -> None:
        """Break calls that have run out of time."""
        for running in self._runner.running:
            if running.call.expired():
                running.call.abort(DEADLINE)

    def ask_database(self) -> None:
        """Beat, renew what is due, and break calls whose job is no longer ours."""
        now = time.monotonic()
        renew = now - self._renewed_at >= self._lease_seconds / RENEWALS_PER_LEASE
        # One that is stuck long past its deadline is not renewed: the reaper takes it, and its deadline ends it.
        running = [one for one in self._runner.running if now < one.past_deadline_at + STUCK_SECONDS]
        try:
            with Session.begin() as session:
                self._beat(session)
                ours = leases.own(
                    session,
                    [(one.claimed.id, one.claimed.attempt) for one in running],
                    worker=self._runner.name,
                    renew_for=self._lease_seconds if renew else None,
                )
        except SQLAlchemyError as error:
            log.warning("watch_waits", error=type(error).__name__)
            return
        self._renewed_at = now if renew else self._renewed_at
        for one in running:
            if (one.claimed.id, one.claimed.attempt) not in ours:
                one.call.abort(LOST)

    def note_silence(self) -> None:
        """Say on each job whose model has kept silent for long that it is still at work, until it speaks."""
        running = {(one.claimed.id, one.claimed.attempt): one.call for one in self._runner.running}
        silent_since = time.monotonic() - SILENT_SECONDS
        silent = {key for key, call in running.items() if not call.said and call.begun_at < silent_since}
        noted = self._noted & running.keys()
        notes = {key: silences.STILL_WORKING if key in silent else None for key in silent ^ noted}
        if notes:
            try:
                with Session.begin() as session:
                    silences.note(session, notes, worker=self._runner.name)
            except SQLAlchemyError as error:
                log.warning("watch_waits", error=type(error).__name__)
                return
        self._noted = silent

    def _beat(self, session: OrmSession) -> None:
        heartbeats.beat(
            session,
            kind=heartbeats.WORKER,
            instance=self._runner.name,
            queue_class=self._runner.queue_class,
            slots=0 if self._runner.stopping else self._runner.settings.worker_slots,
        )


def _every(seconds: float, tick: Callable[[], None], heard: Callable[[], None]) -> None:
    while True:
        heard()
        try:
            tick()
        except Exception:
            # A watch that dies of one bad tick would cost every job in hand its lease.
            log.exception("tick_failed")
        time.sleep(seconds)

"""The dispatcher: tells Celery which jobs are due, and looks after those that got lost.

``python -m tasks.dispatcher``; any number of copies. One of them announces at a
time for each queue class, whichever takes the advisory lock; all may reap. It
is the only process that publishes to Celery, so a dead or frozen broker is
waited for here and nowhere else.

Eight loops, so that a publish which waits for Redis, or a long clearing out, does
not keep leases from being reaped: *announce* (woken by NOTIFY, else every 100 ms),
*keep* (every second: amnesty, reap, deadlines, heartbeat), *count* (every second:
what waits, who stands where, and how budgets stand), *notify* (every second: who is to
be told of messages), *alert* (every second, where somebody is to be told of budgets),
*sample* (every 15 s: how things stand, for charts), *prune* and *sweep* (every minute:
what nobody needs any more, and which chats' summaries have fallen behind).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from models import (
    announcements,
    api_keys,
    audit,
    base,
    budget_alerts,
    erasures,
    heartbeats,
    idempotency,
    invitations,
    leases,
    logs,
    metrics_port,
    notifications,
    quotas,
    reports,
    retention,
    samples,
    sessions,
    settings,
    snapshots,
    spending,
    traces,
    waiting,
)
from models.base import Session, is_outage
from models.jobs import QueueClass
from models.live import changes, chat_changes
from models.live.presence import Presences
from models.settings import Settings
from tasks import metrics, replies, traced
from tasks.budget_alerts import AlertPoster
from tasks.cashier import Cashier
from tasks.gates import Gates
from tasks.notifier import Notifier
from tasks.sampler import Sampler
from tasks.senders import sender_of
from tasks.sweeper import Sweeper
from tasks.wakeup import WakeUp
from tasks.watchdog import Watchdog

POLL_SECONDS = 0.1
GATHER_SECONDS = 0.01
"""After a tick that published: under load the next one then finds a bundle, not a single job."""
OPTIONS: Final[Mapping[str, Any]] = {"expiration": 600}
"""Seconds after which RabbitMQ forgets a hint nobody has taken: the longest `ANNOUNCE_SECONDS`, so it was repeated."""
KEEP_SECONDS = 1.0
EXPIRED_ROUNDS = 20
"""Bundles of a tick: a whole batch may run out of time at one moment."""
PRUNE_SECONDS = SWEEP_SECONDS = 60.0
COUNT_SECONDS = 1.0
COUNT_SHARE = 20
PRUNED_AT_ONCE = 1000
"""In one transaction, so that its locks are short and no statement comes near its time limit."""
LARGEST_BUNDLE = 32
LONGEST_PAUSE_SECONDS = 2.0

log = logs.logger()


def announce(queue_class: str, *, gates: Gates, again_after: float, cashier: Cashier | None = None) -> int:
    """Announce the due jobs of one class that fit the window and get through; how many were published."""
    with Session.begin() as session:
        if not announcements.take_turn(session, queue_class):
            return 0
        room = announcements.room(session, queue_class, again_after=again_after)
        if cashier is None:
            hints = gates.stamp(session, queue_class, room=room, again_after=again_after)
        else:
            hints = cashier.stamp(session, queue_class, gates=gates, room=room, again_after=again_after)
    gates.report()
    return _publish(hints, queue_class)


def _publish(hints: list[tuple[str, int]], queue_class: str) -> int:
    """Send the hints in bundles. After the first that fails the rest are not tried: each could wait for seconds."""
    for sent in range(0, len(hints), LARGEST_BUNDLE):
        bundle = hints[sent : sent + LARGEST_BUNDLE]
        try:
            replies.answer.apply_async(kwargs={"v": replies.VERSION, "jobs": bundle}, queue=queue_class, **OPTIONS)
        except (OperationalError, AMQPError, RedisError, OSError) as error:
            log.warning("publish_failed", jobs=len(hints) - sent, error=type(error).__name__)
            with Session.begin() as session:
                announcements.take_back(session, hints[sent:])
            traced.announced(hints[:sent], queue_class)
            return sent
        metrics.ANNOUNCED.labels(queue_class).inc(len(bundle))
    traced.announced(hints, queue_class)
    return len(hints)


def keep(*, lease_seconds: float) -> None:
    """Put lost jobs back, fail those past their deadline. An amnesty comes first, if one is due, and ends the tick."""
    with Session.begin() as session:
        if leases.grant_amnesty(session, lease_seconds=lease_seconds):
            log.info("amnesty_granted", seconds=lease_seconds)
            return
    with Session.begin() as session:
        lost = leases.reap(session)
    expired: list[str] = []
    for _ in range(EXPIRED_ROUNDS):
        with Session.begin() as session:
            expired += (some := leases.expire(session))
        if len(some) < leases.REAPED_AT_ONCE:
            break
    metrics.REAPED.inc(len(lost))
    metrics.EXPIRED.inc(len(expired))
    for event, job_ids in (("lease_reaped", lost), ("deadline_exceeded", expired)):
        for job_id in job_ids:
            log.warning(event, job_id=job_id)


def prune(*, retention_days: float, audit_days: float, session_days: float, most: int = PRUNED_AT_ONCE) -> bool:
    """Delete what nobody needs any more, a bounded number of each kind; whether there may be more."""
    with Session.begin() as session:
        keys = idempotency.prune(session, most=most)
        heartbeats.prune(session)
        samples.prune(session)
        days = max(quotas.prune(session, most=most), spending.prune(session, most=most))
    with Session.begin() as session:
        removed = retention.sweep(session, days=retention_days, most=most)
    with Session.begin() as session:
        tombstones = retention.sweep_tombstones(session, most=most)
    with Session.begin() as session:
        notes = audit.sweep(session, days=audit_days, most=most)
    with Session.begin() as session:
        ended = [table.prune(session, most=most) for table in (api_keys, invitations)]
        ended += [table.prune(session, most=most) for table in (notifications, budget_alerts)]
        ended.append(sessions.prune(session, most=most, days=session_days))
    with Session.begin() as session:
        some_left = erasures.sweep(session, most=erasures.PIECE)
    if removed:
        log.info("jobs_removed", jobs=removed)
    return some_left or most in (keys, removed, tombstones, notes, days, *ended)


class Dispatcher:
    """The loops of this process, until `stop`."""

    def __init__(self, ours: Settings) -> None:
        self._settings = ours
        self._notifier = Notifier(sender_of(ours), Presences(ours))
        self._stopping = threading.Event()
        self._wakeup = WakeUp(ours)
        self._watchdog = Watchdog(seconds=ours.watchdog_seconds)
        self._gates = Gates(
            ours.llm_chain, guarded=ours.llm_remote if ours.breaker_calls else (), least_calls=ours.breaker_calls
        )
        self._cashier, self._poster = Cashier.of(ours), AlertPoster.of(ours)
        self._gates_kept = False
        self._sweeper = Sweeper()
        self._sampler = Sampler(every=ours.sample_seconds)
        self._name = heartbeats.name_of_this_process()

    def stop(self) -> None:
        """Let the loops finish their tick and end."""
        self._stopping.set()

    def run(self) -> None:
        """All loops; returns when they have ended."""
        others = [
            threading.Thread(target=self._loop, args=[tick], name=tick.__name__, daemon=True)
            for tick in (self._keep, self._count, self._notify, self._sample, self._prune, self._sweep, self._alert)
        ]
        for thread in others:
            thread.start()
        self._watchdog.start()
        log.info("dispatcher_ready", dispatcher=self._name)
        self._loop(self._announce)
        for thread in others:
            thread.join(KEEP_SECONDS + self._settings.db_statement_seconds)

    def _announce(self) -> None:
        if not self._gates_kept:
            with Session.begin() as session:
                self._gates.keep(session)
            self._gates_kept = True
        with Session.begin() as session:
            announcements.promote(session)
        published = [
            announce(each, gates=self._gates, again_after=self._settings.announce_seconds, cashier=self._cashier)
            for each in QueueClass
        ]
        if any(published):
            self._stopping.wait(GATHER_SECONDS)
        else:
            self._wakeup.wait(POLL_SECONDS)

    def _count(self) -> None:
        """A long queue is counted less often, so that counting stays below a twentieth of a core."""
        begun_at = time.monotonic()
        with Session.begin() as session:
            if announcements.take_turn(session, snapshots.BACKLOG):
                snapshots.take_backlog(
                    session, budget=None if self._cashier is None else self._cashier.standing(session)
                )
                for each in QueueClass:
                    room = announcements.room(session, each, again_after=self._settings.announce_seconds)
                    snapshots.take(session, each, share=room.share, paused_from=self._gates.paused_from(room.breakers))
        if self._cashier is not None:
            self._cashier.report()
        self._rest(self._count, max(COUNT_SECONDS, COUNT_SHARE * (time.monotonic() - begun_at)))

    def _keep(self) -> None:
        with Session.begin() as session:
            heartbeats.beat(session, kind=heartbeats.DISPATCHER, instance=self._name)
        keep(lease_seconds=self._settings.lease_seconds)
        self._rest(self._keep, KEEP_SECONDS)

    def _notify(self) -> None:
        self._watchdog.heard(self._notify.__name__, again_within=notifications.LEASE_SECONDS)
        self._rest(self._notify, self._notifier.tick())

    def _alert(self) -> None:
        """Where nobody is told of budgets, a thread that rests."""
        self._watchdog.heard(self._alert.__name__, again_within=budget_alerts.LEASE_SECONDS)
        self._rest(self._alert, PRUNE_SECONDS if self._poster is None else self._poster.tick())

    def _sample(self) -> None:
        self._rest(self._sample, self._sampler.tick())

    def _prune(self) -> None:
        """While much is left it goes on, but rests for as long as it has worked."""
        begun_at = time.monotonic()
        ours = self._settings
        may_be_more = prune(
            retention_days=ours.job_retention_days, audit_days=ours.audit_retention_days, session_days=ours.session_days
        )
        self._rest(self._prune, time.monotonic() - begun_at if may_be_more else PRUNE_SECONDS)

    def _sweep(self) -> None:
        """As above."""
        begun_at = time.monotonic()
        has_more = self._sweeper.sweep()
        self._rest(self._sweep, time.monotonic() - begun_at if has_more else SWEEP_SECONDS)

    def _rest(self, tick: Callable[[], None], seconds: float) -> None:
        """The end of this tick, so that the next comes so many seconds later."""
        self._watchdog.heard(tick.__name__, again_within=seconds)
        self._stopping.wait(seconds)

    def _loop(self, tick: Callable[[], None]) -> None:
        pause = POLL_SECONDS
        self._watchdog.heard(tick.__name__)
        while not self._stopping.is_set():
            try:
                tick()
                self._watchdog.heard(tick.__name__)
                pause = POLL_SECONDS
            except Exception as error:
                # Whatever it was: a loop that ends would leave its half of the work undone, unnoticed.
                if is_outage(error):
                    self._watchdog.heard(tick.__name__)
                    log.warning("tick_waits", loop=tick.__name__, error=type(error).__name__, pause_seconds=pause)
                else:
                    log.exception("tick_failed", loop=tick.__name__)
                self._stopping.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    ours = settings.current_or_exit()
    logs.configure(process="dispatcher", level=ours.log_level)
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=ours.db_statement_seconds)
    base.open_database(ours, name="dispatcher")
    changes.publish_from_now_on(ours)
    chat_changes.cache_from_now_on(ours)
    traces.begin(ours, process="dispatcher")
    metrics_port.serve(ours)
    reports.Reporter(ours, kind="dispatcher").start()
    dispatcher = Dispatcher(ours)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: dispatcher.stop())
    dispatcher.run()
    traces.end()


if __name__ == "__main__":
    main()

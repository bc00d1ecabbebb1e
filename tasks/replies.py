"""Replies: the Celery task, and the life of the worker process it runs in.

The task is a hint and nothing more: it names jobs that waited when it was sent.
Losing it, repeating it or delivering it late changes nothing but a second.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from celery import signals

from models import base, heartbeats, logs, metrics_port, reports, settings, traces, waiting
from models.jobs import QueueClass
from models.live import changes, chat_changes
from models.live.reply_cache import ReplyCache
from tasks.celery_app import celery_app
from tasks.hearing import Hearing
from tasks.llm import provider_from
from tasks.runner import Runner
from tasks.teller import Teller
from tasks.watch import Watch

ANSWER = "parley.answer"
VERSION = 1
"""Of the hint's shape. A worker drops hints it does not understand; the dispatcher announces their jobs again."""

log = logs.logger()


class _Process:
    """What this worker process holds between Celery's signals."""

    runner: Runner | None = None
    stopped = threading.Event()


@celery_app.task(name=ANSWER)
def answer(v: int, jobs: list[tuple[str, int]]) -> None:
    """Answer these jobs, each if it still waits at the attempt named.

    Safe to run twice: only one delivery can claim an attempt, and a claim that
    has been overtaken changes nothing.
    """
    if v == VERSION and _Process.runner is not None:
        _Process.runner.take([(str(job_id), int(attempt)) for job_id, attempt in jobs])


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    logs.configure(process="worker", level=settings.current().log_level)
    # Two lines for each bundle and one for each call say nothing that `attempt_ended` does not.
    for chatty in ("celery.app.trace", "celery.worker.strategy", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@signals.worker_init.connect
def _open(**_: Any) -> None:
    """Before Celery reports ready: the database, and the provider's client, whose import alone takes half a second."""
    ours = settings.current()
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=ours.db_statement_seconds)
    base.open_database(ours, name="worker")
    changes.publish_from_now_on(ours)
    cache = chat_changes.cache_from_now_on(ours)
    traces.begin(ours, process="worker")
    metrics_port.serve(ours)
    _Process.runner = Runner(
        ours,
        provider_from(ours),
        name=heartbeats.name_of_this_process(),
        queue_class=_queue_class(),
        kept=ReplyCache(ours, cache.circuit),
    )


def _queue_class() -> QueueClass:
    """What ``-Q`` said: a worker that took both classes would let batches crowd out those who wait."""
    queues = sorted(celery_app.amqp.queues.consume_from)
    if len(queues) != 1 or queues[0] not in {each.value for each in QueueClass}:
        sys.exit(f"Start each worker with one of: {', '.join(f'-Q {each}' for each in QueueClass)}.")
    return QueueClass(queues[0])


@signals.worker_ready.connect
def _begin(**_: Any) -> None:
    assert _Process.runner is not None
    Watch(_Process.runner).start()
    reports.Reporter(settings.current(), kind="worker").start()
    Hearing(_Process.runner).start()
    _Process.runner.watchdog.start()
    Teller(_Process.runner).start()
    ours = settings.current()
    for model in ours.llm_chain:
        if model not in ours.prices.models:
            log.warning("price_unknown", model=model)
    log.info(
        "worker_ready",
        worker=_Process.runner.name,
        model=_Process.runner.provider.model,
        slots=settings.current().worker_slots,
    )


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    """Runs inside the signal handler, where nothing may wait: a thread does the waiting."""
    threading.Thread(target=_drain, name="drain", daemon=True).start()


def _drain() -> None:
    if _Process.runner is not None:
        written = _Process.runner.stop(grace_seconds=settings.current().stop_grace_seconds)
        log.info("worker_stopped", all_written=written)
    traces.end()
    _Process.stopped.set()


@signals.worker_shutdown.connect
def _wait_until_stopped(**_: Any) -> None:
    _Process.stopped.wait(settings.current().stop_grace_seconds + 5)

"""Metrics of dispatchers and workers: each family beside what counts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from models import metrics
from models.attempts import Claimed, Ending
from models.metrics import SLOW, Words
from tasks.llm.base import ProviderError, Reply, Usage

ANNOUNCED = metrics.counter("parley_jobs_announced_total", "Hints published to Celery.", "queue_class")
REAPED = metrics.counter("parley_leases_reaped_total", "Jobs taken back from workers that had vanished.")
EXPIRED = metrics.counter("parley_jobs_expired_total", "Waiting jobs that were failed by their deadline.")
WAITED = metrics.histogram(
    "parley_job_wait_seconds",
    "From when a job could be begun (made, runAt, end of its back-off) to its claim.",
    "queue_class",
    buckets=SLOW,
)
HELD = metrics.histogram(
    "parley_attempt_duration_seconds",
    "From the claim of a job to when the end of the attempt is written.",
    buckets=SLOW,
)
ATTEMPTS = metrics.counter("parley_attempts_total", "Attempts that ended.", "outcome", "code")
FENCED = metrics.counter("parley_fenced_writes_total", "Endings that came too late and changed nothing.")
CALLS = metrics.counter("parley_provider_calls_total", "Calls to a model that ended.", "model", "code")
CALL_SECONDS = metrics.histogram(
    "parley_provider_call_duration_seconds", "How long calls to a model took.", "model", buckets=SLOW
)
TOKENS = metrics.counter("parley_provider_tokens_total", "Tokens a model has charged.", "model", "kind")
COST = metrics.counter("parley_provider_cost_total", "What calls have cost, in the currency of PRICES_FILE.")
BUDGET_ALERTS = metrics.counter("parley_budget_alerts_total", "Budgets that came to a level, once a day each.", "level")
BUDGET_POSTS = metrics.counter("parley_budget_alert_posts_total", "Posts of budget alerts.", "result")
KEPT_ANSWERS = metrics.counter("parley_reply_cache_lookups_total", "Looks for an answer given before.", "result")

CODES = Words(most=60)
"""Of errors: they stand in our code, and are not written out here a second time."""


def waited(claims: Iterable[Claimed], queue_class: str) -> None:
    """These were claimed."""
    for claimed in claims:
        WAITED.labels(queue_class).observe(claimed.waited_seconds)


def recorded(ending: Ending, *, taken: bool) -> None:
    """An ending was written, or came too late."""
    if ending.cost is not None:  # also of what came too late: it was paid for
        COST.inc(float(ending.cost))
    if taken:
        ATTEMPTS.labels(ending.outcome.value, CODES.fold(ending.error_code)).inc()
    else:
        FENCED.inc()


class Calls:
    """What calls to the models of a chain take.

    Args:
        models: all there are; no other name becomes a label.
    """

    def __init__(self, models: Iterable[str]) -> None:
        self._models = Words(models)

    def measured(self, model: str, ask: Callable[[], Reply]) -> Reply:
        """Make the call.

        Raises:
            ProviderError: as ``ask`` does.
        """
        name, begun_at = self._models.fold(model), time.perf_counter()
        code, usage = None, None
        try:
            reply = ask()
            usage = reply.usage
            return reply
        except ProviderError as error:
            code, usage = error.code, error.usage
            raise
        finally:
            CALLS.labels(name, CODES.fold(code)).inc()
            CALL_SECONDS.labels(name).observe(time.perf_counter() - begun_at)
            _charge(name, usage)


def _charge(model: str, usage: Usage | None) -> None:
    if usage is not None:
        TOKENS.labels(model, "prompt").inc(usage.prompt_tokens)
        TOKENS.labels(model, "completion").inc(usage.completion_tokens)

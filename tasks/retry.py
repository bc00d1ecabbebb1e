"""Retry: what becomes of a job whose call to the model failed. Pure: no clock, no database.

Full jitter: the wait is drawn from the whole range up to the ceiling, so that
jobs that failed together do not come back together.
Source: Marc Brooker, "Exponential Backoff and Jitter" (2015).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from models.attempts import Outcome
from tasks.llm.base import Kind, ProviderError

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A provider that says "next year" is asked again within the hour; the job's deadline may come first."""
THROTTLED_SECONDS = 1.0
"""Least wait after a throttling provider that does not say how long."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Ceilings of the wait: ``base_seconds`` after the first failure, doubled by each more, up to ``max_seconds``."""

    base_seconds: float
    max_seconds: float

    def ceiling(self, failures: int) -> float:
        """
        >>> [Backoff(base_seconds=2, max_seconds=300).ceiling(n) for n in (1, 2, 3, 8, 9, 5000)]
        [2.0, 4.0, 8.0, 256.0, 300, 300]
        """
        doublings = min(failures - 1, 64)  # 2.0 ** 1024 overflows
        return min(self.max_seconds, self.base_seconds * 2.0**doublings)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do with the job, and in how many seconds."""

    outcome: Outcome
    delay_seconds: float = 0.0
    next_model: bool = False
    """Hand it down to the next model, with all its attempts before it."""


def decide(  # noqa: PLR0913
    error: ProviderError,
    *,
    failures: int,
    max_attempts: int,
    backoff: Backoff,
    spared: bool = False,
    has_next: bool = False,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Decision:
    """Fail the job, try it again later, or snooze it.

    A provider that says when to come back (``Retry-After``) is obeyed, plus
    jitter, because all its clients were told the same second. Throttling is not
    the job's fault: it counts no failure, and only the deadline ends it.

    Args:
        failures: counting the one just seen, from 1.
        spared: the attempt was made to find something out about the model; what it found is not the job's fault.
        has_next: there is another model to ask once this one has used up the attempts.

    >>> worst = lambda low, high: high
    >>> again = Backoff(base_seconds=2, max_seconds=300)
    >>> cut = ProviderError("cut", kind=Kind.TRANSIENT, code="provider_cut")
    >>> [decide(cut, failures=n, max_attempts=4, backoff=again, uniform=worst).delay_seconds for n in (1, 2, 3)]
    [2.0, 4.0, 8.0]
    >>> decide(cut, failures=4, max_attempts=4, backoff=again).outcome.value
    'failed'
    """
    asked_to_wait = min(error.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
    jitter = uniform(0.0, backoff.ceiling(failures))
    if error.kind is Kind.THROTTLED:
        return Decision(outcome=Outcome.SNOOZED, delay_seconds=max(asked_to_wait, THROTTLED_SECONDS) + jitter)
    if spared and error.kind is Kind.TRANSIENT:
        return Decision(outcome=Outcome.SNOOZED, delay_seconds=asked_to_wait + jitter)
    if error.kind is Kind.TRANSIENT and failures >= max_attempts and has_next:
        return Decision(outcome=Outcome.RETRIED, next_model=True)
    if error.kind is Kind.PERMANENT or failures >= max_attempts:
        return Decision(outcome=Outcome.FAILED)
    return Decision(outcome=Outcome.RETRIED, delay_seconds=asked_to_wait + jitter)

"""Endings: what is written of an attempt, from what its call to the model brought."""

from __future__ import annotations

import dataclasses

from models.attempts import Claimed, Ending, Outcome
from models.prices import Price
from tasks import retry
from tasks.llm.base import Kind, ProviderError
from tasks.llm.failures import OUT_OF_QUOTA, REFUSED_KEY, REJECTED, THROTTLED, UNAVAILABLE, UNREACHABLE
from tasks.llm.tokens import estimate
from tasks.summaries import Answer

UNCHARGED = frozenset(
    verdict.code for verdict in (UNREACHABLE, UNAVAILABLE, THROTTLED, OUT_OF_QUOTA, REFUSED_KEY, REJECTED)
)
"""The server never heard of it, or would not do it."""
ESTIMATED = ", estimated"
"""Behind the version of the price."""


def completed(claimed: Claimed, answer: Answer, *, degraded: bool) -> Ending:
    """There is an answer.

    Args:
        degraded: another than the first choice gave it.
    """
    reply = answer.reply
    return Ending(
        job_id=claimed.id,
        attempt=claimed.attempt,
        outcome=Outcome.COMPLETED,
        text=reply.text,
        truncated=reply.truncated,
        degraded=degraded,
        cached=reply.cached,
        prompt_tokens=reply.usage.prompt_tokens if reply.usage else None,
        completion_tokens=reply.usage.completion_tokens if reply.usage else None,
        cached_tokens=reply.usage.cached_tokens if reply.usage else 0,
        basis=answer.basis,
    )


def failed(claimed: Claimed, error: ProviderError, decision: retry.Decision, *, fallback: int | None = None) -> Ending:
    """There is none; ``decision`` says what becomes of the job.

    Args:
        fallback: the model of the chain to which it is handed down.
    """
    return Ending(
        job_id=claimed.id,
        attempt=claimed.attempt,
        outcome=decision.outcome,
        error_code=error.code,
        error_message=str(error),
        delay_seconds=decision.delay_seconds,
        fallback=fallback,
        prompt_tokens=error.usage.prompt_tokens if error.usage else None,
        completion_tokens=error.usage.completion_tokens if error.usage else None,
        cached_tokens=error.usage.cached_tokens if error.usage else 0,
    )


def released(claimed: Claimed, error: ProviderError | None = None, *, said: str = "") -> Ending:
    """The job is given back, through no fault of its own.

    Args:
        said: by the model so far. If the job is not to go on, that may be kept: `models.stops`.
    """
    reason = error or ProviderError("Given back.", kind=Kind.TRANSIENT, code="released")
    ending = failed(claimed, reason, retry.Decision(outcome=Outcome.RELEASED))
    return dataclasses.replace(ending, text=said or None)


def priced(ending: Ending, price: Price | None, *, asked: str = "", said: str = "") -> Ending:
    """With what its calls cost; estimated, if a server that may have charged for them did not say how much.

    Otherwise a budget would never be used up where usage is not told, and whoever cancels each job in the middle of its
    answer would be asked for nothing.

    Args:
        price: of the model that was asked; None: nobody has said.
        asked: all that was sent to the model; empty: nothing.
        said: by the model, as far as it came.
    """
    if price is None:
        return ending
    prompt, completion, version = ending.prompt_tokens, ending.completion_tokens, price.version
    if prompt is None or completion is None:
        if asked and not price.is_free and ending.error_code not in UNCHARGED:
            prompt, completion, version = estimate(asked), estimate(said), f"{price.version}{ESTIMATED}"
        elif not price.is_free:
            return ending
    cost = price.cost(prompt_tokens=prompt or 0, completion_tokens=completion or 0, cached_tokens=ending.cached_tokens)
    return dataclasses.replace(ending, cost=cost, price_version=version)

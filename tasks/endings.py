"""Endings: what is written of an attempt, from what its call to the model brought."""

from __future__ import annotations

import dataclasses

from models.attempts import Claimed, Ending, Outcome
from models.prices import Price
from tasks import retry
from tasks.llm.base import Kind, ProviderError
from tasks.summaries import Answer


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


def priced(ending: Ending, price: Price | None) -> Ending:
    """With what its calls cost, if that is known.

    Args:
        price: of the model that was asked; None: nobody has said.
    """
    if price is None:
        return ending
    is_counted = ending.prompt_tokens is not None and ending.completion_tokens is not None
    if not (is_counted or price.is_free):
        return ending
    cost = price.cost(
        prompt_tokens=ending.prompt_tokens or 0,
        completion_tokens=ending.completion_tokens or 0,
        cached_tokens=ending.cached_tokens,
    )
    return dataclasses.replace(ending, cost=cost, price_version=price.version)

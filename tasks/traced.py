"""Traced: the spans of dispatchers and workers, each a part of the trace that its job carries.

A job that nobody's request made (a summary) carries none: each of its attempts is a trace of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models import announcements, traces
from models.attempts import Claimed, Ending, Outcome
from models.base import Session
from models.traces import NOTHING, Span
from tasks.llm.base import ProviderError, Reply, Usage

LONGEST_NAME = 200
"""Of a model, as its server calls it: that is a stranger's word."""
WELL = (Outcome.COMPLETED, Outcome.RELEASED, Outcome.SNOOZED)
"""Endings that are nobody's failure."""


def announced(hints: Sequence[tuple[str, int]], queue_class: str) -> None:
    """The workers have been told of these jobs just now."""
    if not hints or not traces.is_on():
        return
    with Session.begin() as session:
        traced = announcements.traced(session, [job_id for job_id, _ in hints])
    for job_id, traceparent in traced:
        facts = {"parley.job.id": job_id, "parley.queue_class": queue_class}
        traces.start("announce", kind="PRODUCER", parent=traceparent, facts=facts).end()


def attempt(claimed: Claimed, *, queue_class: str) -> Span:
    """From a job's claim to when the end of the attempt is written."""
    if not traces.is_on():
        return NOTHING
    return traces.start(
        "attempt",
        kind="CONSUMER",
        parent=claimed.traceparent,
        facts={
            "parley.job.id": claimed.id,
            "parley.job.type": claimed.type,
            "parley.job.purpose": claimed.purpose,
            "parley.queue_class": queue_class,
            "parley.attempt": claimed.attempt,
            "parley.failures": claimed.failures,
            "parley.lost": claimed.lost_count,
            "parley.waited_seconds": claimed.waited_seconds,
        },
    )


def asked(span: Span, *, model: str, provider: str, ask: Callable[[], Reply]) -> Reply:
    """Make a call to a model, which is a part of an attempt.

    Raises:
        ProviderError: as ``ask`` does.
    """
    facts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    call = span.child(f"chat {model}", kind="CLIENT", facts=facts)
    try:
        reply = ask()
        _charge(call, reply.usage)
        call.note({"gen_ai.response.model": reply.model[:LONGEST_NAME]})
        return reply
    except ProviderError as error:
        _charge(call, error.usage)
        call.failed(error.code)
        raise
    finally:
        call.end()


def _charge(call: Span, usage: Usage | None) -> None:
    if usage is not None:
        call.note(
            {"gen_ai.usage.input_tokens": usage.prompt_tokens, "gen_ai.usage.output_tokens": usage.completion_tokens}
        )


def written(span: Span, ending: Ending, *, taken: bool) -> None:
    """How the attempt ended has been written; or it came too late, and changed nothing."""
    span.note({"parley.outcome": ending.outcome.value, "parley.fenced": not taken, "parley.cached": ending.cached})
    if ending.outcome not in WELL:
        span.failed(ending.error_code or ending.outcome.value)

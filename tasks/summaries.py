"""Summaries: a chat's summary moved on by one step, as a job of its own or on the way to a reply.

No transaction is open while the model thinks. Whatever goes wrong, the summary that is there stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models import logs, summary_steps
from models.attempts import Claimed
from models.base import Session
from models.folding import MOST_VERBATIM, STEPS_BEFORE_REPLY
from models.summary_steps import Answered, Step
from tasks import summary_prompts
from tasks.llm.base import LOST, STOPPING, Prompt, ProviderError, Reply, Usage

Ask = Callable[[Prompt], Reply]
"""Puts a prompt to the model that this attempt is for; raises `ProviderError`."""
NOTHING_LEFT = "There was nothing left to fold."

log = logs.logger()


@dataclass(frozen=True)
class Answer:
    """A job's answer, and for whoever settles it what it was made from."""

    reply: Reply
    basis: Any = None


def answer(claimed: Claimed, ask: Ask) -> Answer:
    """Make the next step of the chat that this job is for. It is stored with the job's end, or not at all.

    What the job itself shows is only that: the summary is for members, and its job for whoever it belongs to.

    Raises:
        ProviderError: the model failed, or its answer is no summary.
    """
    step = None
    with contextlib.suppress(LookupError), Session.begin() as session:  # the chat may be gone, and its jobs with it
        step = summary_steps.read(session, str(claimed.chat_id))
    if step is None:
        return Answer(Reply(text=NOTHING_LEFT, model="", usage=None))
    answered, reply = _answered(step, ask)
    folded = f"Folded messages {step.covered[0]} to {step.covered[-1]} into the summary of the chat."
    return Answer(Reply(text=folded, model=reply.model, usage=reply.usage), answered)


def catch_up(chat_id: str, ask: Ask, *, tolerated: int = MOST_VERBATIM) -> Usage | None:
    """Fold what the next prompt could not show, before it is made: three steps at most. What they cost, as `added`.

    Whoever made the prompt without it would leave messages out. If a step fails, that is what
    happens: a reply without the oldest of them is better than none.

    Args:
        tolerated: how many messages it can show.

    Raises:
        ProviderError: the call was broken off, and nobody waits for a reply any more.
    """
    spent: Usage | None = None
    for _ in range(STEPS_BEFORE_REPLY):
        with Session.begin() as session:
            step = summary_steps.read_before_reply(session, chat_id, tolerated=tolerated)
        if step is None:
            break
        try:
            answered, reply = _answered(step, ask)
        except ProviderError as error:
            if error.code in (LOST, STOPPING):
                raise
            log.info("summary_failed", chat_id=chat_id, code=error.code)
            with Session.begin() as session:
                summary_steps.failed(session, [chat_id])
            return added(spent, error.usage)
        spent = added(spent, reply.usage)
        with Session.begin() as session:
            summary_steps.store(session, answered, tokens=reply.usage.total_tokens if reply.usage else None)
    return spent


def _answered(step: Step, ask: Ask) -> tuple[Answered, Reply]:
    if not step.lines:  # all of them were deleted: there is nothing to be said about them
        return Answered(step=step, summary=step.before, model=None), Reply(text="", model="", usage=None)
    asked = summary_prompts.asked(step)
    reply = ask(asked.prompt)
    return Answered(step=step, summary=asked.understood(reply), model=reply.model), reply


def added(spent: Usage | None, more: Usage | None) -> Usage | None:
    """Tokens of both, as far as a server has said; None: of neither. (Were that 0, nobody would estimate them.)"""
    if spent is None or more is None:
        return spent or more
    return Usage(
        spent.prompt_tokens + more.prompt_tokens,
        spent.completion_tokens + more.completion_tokens,
        spent.cached_tokens + more.cached_tokens,
    )

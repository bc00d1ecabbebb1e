"""Chat turns: what a job that answers in a chat asks the model, and how its answer is taken.

What the AI is told is read here, in the job's own thread, when nothing but the model is to be waited for any more.
If the chat's summary has fallen behind, it is moved on first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from models import contexts, folding, logs
from models.ai_errors import Unanswerable
from models.attempts import Claimed
from models.base import bare
from models.contexts import Context
from models.jobs import Purpose
from models.mentions import Span
from tasks import summaries
from tasks.llm import chat_prompts
from tasks.llm.base import Kind, Prompt, ProviderError
from tasks.llm.prompts import messages_for
from tasks.llm.tokens import Estimator, estimate
from tasks.summaries import Answer, Ask

log = logs.logger()

ESTIMATOR = Estimator()
"""Of this process: what one call teaches, all others know."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What holds for a prompt."""

    model: str
    tokens: int


def answer(claimed: Claimed, ask: Ask, limits: Limits) -> Answer:
    """Answer what was asked of the AI in a chat.

    Raises:
        ProviderError: the model failed; or there is nothing to be answered any more.
    """
    context, spent = _read(claimed), None
    if tolerated := _tolerated(claimed, context, limits):
        spent = summaries.catch_up(context.chat_id, ask, tolerated=tolerated)
        context = _read(claimed)
    make = chat_prompts.recap if claimed.purpose == Purpose.RECAP else chat_prompts.reply
    prompt = make(context, tokens=_tokens(limits.model), budget=limits.tokens)
    prompt = dataclasses.replace(prompt, reuses_answer=context.reuses_answers)
    estimated = _note(claimed, context, prompt)
    try:
        reply = ask(prompt)
    except ProviderError as error:
        error.usage = summaries.added(spent, error.usage)
        raise
    if reply.usage is not None:
        ESTIMATOR.learn(limits.model, estimated=estimated, reported=reply.usage.prompt_tokens)
    return Answer(dataclasses.replace(reply, usage=summaries.added(spent, reply.usage)))


def _tolerated(claimed: Claimed, context: Context, limits: Limits) -> int | None:
    """How many messages outside of the summary the prompt can show; None: all that there are."""
    if context.sees_all and claimed.purpose != Purpose.RECAP:
        tokens = chat_prompts.weight(context, tokens=_tokens(limits.model))
        if folding.is_full(tokens=tokens, budget=limits.tokens, unseen=context.unseen):
            return folding.VERBATIM
    return folding.MOST_VERBATIM if context.may_catch_up else None


def title(claimed: Claimed, ask: Ask, _: Limits) -> Answer:
    """Find a title for a chat.

    Raises:
        ProviderError: the model failed.
    """
    return Answer(ask(chat_prompts.title(claimed.message)))


def _read(claimed: Claimed) -> Context:
    try:
        with bare() as session:
            if claimed.purpose == Purpose.RECAP:
                return contexts.of_recap(session, claimed.id, Span.read(claimed.message))
            return contexts.of_reply(session, claimed.id)
    except Unanswerable as reason:
        raise ProviderError(reason.detail, kind=Kind.PERMANENT, code=reason.code) from None


def _tokens(model: str) -> Callable[[str], int]:
    return lambda text: ESTIMATOR.tokens(text, model=model)


def _note(claimed: Claimed, context: Context, prompt: Prompt) -> int:
    """Log what the model is told, by numbers alone; its tokens, as far as one knows beforehand."""
    turns = messages_for(prompt)
    log.info(
        "chat_prompt_made",
        job_id=claimed.id,
        attempt=claimed.attempt,
        chat_id=context.chat_id,
        user_id=context.request.user_id,
        first_seq=context.said[0].seq,
        up_to_seq=claimed.up_to_seq,
        summarized_seq=context.summarized_seq,
        prompt_hash=hashlib.sha256(json.dumps(turns).encode()).hexdigest()[:16],
    )
    return estimate("\n".join(one["content"] for one in turns))

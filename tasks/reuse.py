"""Reuse: an answer that the very same prompt has got before, in the place of another call to the model.

The same is: to the letter all that would be sent, to the same model, of the same owner and in the same chat. What a
prompt is made of is in it, so nothing has to be dropped when a chat goes on: it then makes another prompt. The one
thing that differs between two prompts that are the same is the mark around a transcript, which is drawn by lot.

An answer that somebody wants anew is never taken from here, but takes its place here. A probe of a breaker has
to reach the model. And what was cut off is not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from models import logs
from models.attempts import Claimed
from models.jobs import Purpose
from models.live.reply_cache import Kept, ReplyCache
from tasks import metrics
from tasks.llm.base import Prompt, Reply, Usage
from tasks.llm.prompts import messages_for

log = logs.logger()


def answered(claimed: Claimed, prompt: Prompt, kept: ReplyCache | None, ask: Callable[[], Reply]) -> Reply:
    """What this prompt got before, if that will do; else what ``ask`` brings, which is kept.

    Raises:
        ProviderError: as ``ask`` does.
    """
    if kept is None or not kept.is_for(claimed.owner) or not prompt.reuses_answer or claimed.is_probe:
        return ask()
    prompt_hash = hash_of(claimed, prompt)
    found = None if claimed.purpose == Purpose.REGENERATION else kept.found(prompt_hash)
    metrics.KEPT_ANSWERS.labels("miss" if found is None else "hit").inc()
    if found is not None:
        log.info("answer_reused", job_id=claimed.id, attempt=claimed.attempt)
        return Reply(text=found.text, model=found.model, usage=Usage(0, 0), cached=True)
    reply = ask()
    if not reply.truncated:
        kept.keep(prompt_hash, Kept(reply.text, reply.model))
    return reply


def hash_of(claimed: Claimed, prompt: Prompt) -> str:
    """What all prompts have in common that are the same, and no others."""
    turns = [[one["role"], one["content"]] for one in messages_for(prompt)]
    if prompt.mark:
        turns = [[role, content.replace(prompt.mark, "mark")] for role, content in turns]
    same = [claimed.owner, claimed.chat_id, prompt.model, turns]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()

"""Purposes: how a job is answered, by what its answer is for. (`models.purposes` has what becomes of the answer.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models.attempts import Claimed
from models.jobs import Purpose
from tasks import chat_turns, summaries
from tasks.chat_turns import Limits
from tasks.llm.base import Prompt
from tasks.summaries import Answer, Ask

_ANSWERS: Mapping[str, Callable[[Claimed, Ask, Limits], Answer]] = {
    Purpose.REPLY: chat_turns.answer,
    Purpose.RECAP: chat_turns.answer,
    Purpose.REGENERATION: chat_turns.answer,
    Purpose.TITLE: chat_turns.title,
    Purpose.SUMMARY: lambda claimed, ask, _: summaries.answer(claimed, ask),
}


def answer(claimed: Claimed, ask: Ask, limits: Limits) -> Answer:
    """What this job is answered: its message put to the model, unless it is for something else.

    Raises:
        ProviderError: for whatever goes wrong.
    """
    special = _ANSWERS.get(claimed.purpose)
    if special:
        return special(claimed, ask, limits)
    return Answer(ask(Prompt(type=claimed.type, message=claimed.message, reuses_answer=claimed.reuses_answer)))

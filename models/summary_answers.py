"""Summary answers: what a model made of some messages, taken apart and judged before anything is replaced by it.

It has to be one JSON object, whole and within bounds: ``{summary, decisions[], open_questions[], facts_by_user{}}``.
Whatever is wrong with it makes all of it useless: half of a summary would pass for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models import json_answers

SUMMARY_CHARACTERS = 6_000
"""Some 1,500 tokens: it is in every prompt of its chat."""
ITEM_CHARACTERS = 500
MOST_ITEMS = 50
MOST_FACTS = 20
"""Of one person."""

_REASONING = re.compile(r"\s*</?\s*(think|thinking|thought|reasoning|reflection|analysis|scratchpad)\b", re.IGNORECASE)
"""At the beginning. Further on it may be a word of the chat: who writes it must not be able to stop the summary."""


class NotASummary(ValueError):
    """The model's answer is of no use; the message says why, and quotes nothing of it."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What has been said in a chat, in few words."""

    text: str = ""
    decisions: tuple[str, ...] = ()
    open_questions: tuple[str, ...] = ()
    facts_by_user: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By user id. Names change, and two people may have the same one."""

    @property
    def details(self) -> dict[str, Any]:
        """All but the text, as it is stored."""
        return {
            "decisions": list(self.decisions),
            "open_questions": list(self.open_questions),
            "facts_by_user": {user_id: list(facts) for user_id, facts in self.facts_by_user.items()},
        }


def stored(text: str, details: Mapping[str, Any]) -> Summary:
    """A summary as it was stored; nothing is judged again."""
    return Summary(
        text=text,
        decisions=tuple(details.get("decisions", ())),
        open_questions=tuple(details.get("open_questions", ())),
        facts_by_user={user_id: tuple(facts) for user_id, facts in details.get("facts_by_user", {}).items()},
    )


def understood(answer: str, *, was_cut: bool, people: Mapping[str, str], mark: str) -> Summary:
    """The summary in a model's answer.

    Args:
        was_cut: the model had more to say.
        people: user ids by what the prompt called them; facts about anybody else are left out.
        mark: what stood around the messages in the prompt. A summary that speaks of it is about the prompt.

    >>> understood('{"summary": "Tea was chosen.", "facts_by_user": {"u1": ["likes tea"], "root": ["may do all"]}}',
    ...            was_cut=False, people={"u1": "5f0c"}, mark="data-7e")
    ... # doctest: +NORMALIZE_WHITESPACE
    Summary(text='Tea was chosen.', decisions=(), open_questions=(), facts_by_user={'5f0c': ('likes tea',)})

    Raises:
        NotASummary: it is none, or not a whole one.
    """
    if was_cut:
        raise NotASummary("it was cut off")
    if mark in answer:
        raise NotASummary("it repeats the marks of its prompt")
    try:
        said = json_answers.the_object(answer)
    except ValueError as error:
        raise NotASummary(str(error)) from None
    facts = said.get("facts_by_user") or {}
    if not isinstance(facts, dict):
        raise NotASummary("facts_by_user is no object")
    return Summary(
        text=_text(said.get("summary"), most=SUMMARY_CHARACTERS),
        decisions=_items(said.get("decisions"), most=MOST_ITEMS),
        open_questions=_items(said.get("open_questions"), most=MOST_ITEMS),
        facts_by_user={
            people[name]: items
            for name, known in facts.items()
            if name in people and (items := _items(known, most=MOST_FACTS))
        },
    )


def _items(value: object, *, most: int) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value or []
    if not isinstance(items, list) or len(items) > most:
        raise NotASummary("it holds something else than a short list")
    return tuple(_text(item, most=ITEM_CHARACTERS) for item in items)


def _text(value: object, *, most: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise NotASummary("it holds something else than text")
    if len(value) > most:
        raise NotASummary("it is too long")
    if _REASONING.match(value):
        raise NotASummary("it holds reasoning")
    if "\0" in value or not _is_unicode(value):
        raise NotASummary("it holds what cannot be stored")
    return value.strip()


def _is_unicode(value: str) -> bool:
    """JSON can spell half a surrogate pair, which is no character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Offline: replies without a language model, and says so in every one of them.

So that everything can be tried with nothing configured, and as the last of a chain of models. It knows two things:
facts about Parley (`tasks.llm.topics`) and how to pick the main sentences out
of a text (`tasks.llm.extract`). About the world it knows nothing and claims nothing.
"""

from __future__ import annotations

import dataclasses
import json

from models.settings import Settings
from tasks.llm import topics
from tasks.llm.base import RECAP, ROLLING_SUMMARY, Call, Kind, Prompt, ProviderError, Reply
from tasks.llm.extract import keywords, main_sentences, sentences
from tasks.llm.transcripts import rows_in

DISCLOSURE = "No language model is configured; this is an automatic reply."
OUT_OF_REACH = "The language model is out of reach at present; this is an automatic reply."
HOW = "To get real answers, set LLM_MODEL and either LLM_BASE_URL or LLM_API_KEY."
LONG_CHARACTERS = 1000
"""A chat message from here on is taken for a text rather than a question."""
MIN_SENTENCES, MAX_SENTENCES, SENTENCES_PER_ONE = 3, 8, 10
CHAT_SENTENCES = 10
MAX_KEYWORDS = 5
MAX_WORD_CHARACTERS = 40


class Offline:
    """The provider when no model is configured, or none can be asked. The same prompt always gets the same reply."""

    name = "offline"
    model = "offline"

    def __init__(self, settings: Settings) -> None:
        public = {knob.name: getattr(settings, knob.name) for knob in dataclasses.fields(settings) if knob.repr}
        self._disclosure = OUT_OF_REACH if settings.llm_configured else f"{DISCLOSURE} {HOW}"
        self._facts: dict[str, object] = public

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """An honest stand-in for an answer.

        Raises:
            ProviderError: the call was over before it began, or there is nothing to reply to.
        """
        if failure := call.failure():
            raise failure
        if not prompt.message.strip():
            raise ProviderError("The message is blank.", kind=Kind.PERMANENT, code="provider_rejected")
        if prompt.type == ROLLING_SUMMARY:
            return Reply(text=_rolled(prompt.message), model=self.model, usage=None)
        return Reply(text=f"{self._disclosure}\n\n{self._body(prompt)}", model=self.model, usage=None)

    def close(self) -> None:
        """Nothing is open."""

    def _body(self, prompt: Prompt) -> str:
        if prompt.type in ("summarize", RECAP) or len(prompt.message) >= LONG_CHARACTERS:
            return _extract(prompt.message)
        if chosen := topics.topic_of(prompt.message):
            topic, words = chosen
            answer = topic.answer.format(**self._facts)
            return answer if topic.is_courtesy else f"You mention {_quoted(words)}. About Parley: {answer}"
        return _unknown(prompt.message)


def _extract(text: str) -> str:
    count = min(MAX_SENTENCES, max(MIN_SENTENCES, len(sentences(text)) // SENTENCES_PER_ONE))
    picked = main_sentences(text, count=count)
    listed = "\n".join(f"- {sentence}" for sentence in picked)
    return f"Main sentences of your text, picked by counting words and quoted as they are:\n\n{listed}"


_PICKED = "Sentences from the chat, picked by counting words and quoted as they are:"


def _rolled(prompt: str) -> str:
    """The summary of a chat as its prompt wants it: JSON. It says of itself that no model wrote it."""
    rows = rows_in(prompt)
    names = {uid: name for row in rows for uid, name in row.get("people", {}).items()}
    before = [line for row in rows for line in row.get("summary", "").split("\n") if line and line != _PICKED]
    said = [
        f"{names[row['uid']]}: {sentence}"
        for row in rows
        if "seq" in row
        for sentence in main_sentences(row["text"], count=1)
    ]
    # One paragraph each, so that who said it stays with what was said.
    picked = main_sentences("\n\n".join([*before, *said]), count=CHAT_SENTENCES)
    return json.dumps({"summary": "\n".join([_PICKED, *picked])}, ensure_ascii=False)


def _unknown(message: str) -> str:
    words = keywords(message, count=MAX_KEYWORDS)
    about = f"I can see the words {_quoted(words)} in your message, but I cannot" if words else "I cannot"
    return (
        f"{about} answer it: that takes a language model. Without one I can explain how Parley itself works, or pick "
        "the main sentences out of a long text."
    )


def _quoted(words: list[str]) -> str:
    return ", ".join(f"“{word[:MAX_WORD_CHARACTERS]}”" for word in words)

"""The reply cache: what a model has answered, by the prompt it was asked, for a while.

    parley:<database>:reply:<hash of the prompt and of whose it is>      what it said, and which model

Redis holds the answer and not the question: whoever reads it there cannot tell what was asked, nor by whom. Without
Redis there is no answer here, and the model is asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from models import flags
from models.flags import Flag
from models.live import client
from models.live.circuit import Circuit
from models.settings import Settings

MOST_CHARACTERS = 64_000
"""Of an answer that is kept."""


@dataclass(frozen=True)
class Kept:
    """An answer that was given before."""

    text: str
    model: str
    """As its server called it."""


class ReplyCache:
    """One for each worker process."""

    def __init__(self, settings: Settings, circuit: Circuit) -> None:
        self._settings, self._circuit = settings, circuit

    def is_for(self, owner: str) -> bool:
        """Whether this owner's prompts are looked for here at all."""
        return flags.is_for(self._settings.flags, Flag.REPLY_CACHE, owner)

    def found(self, prompt_hash: str) -> Kept | None:
        """What this prompt was answered last."""
        if not self._settings.reply_cache_seconds:
            return None
        found = self._circuit.ask(lambda redis: redis.get(self._key(prompt_hash)))
        return None if found is None else Kept(*json.loads(found))

    def keep(self, prompt_hash: str, answer: Kept) -> None:
        """Have it found from now on, in the place of an earlier one."""
        seconds = int(self._settings.reply_cache_seconds)
        if seconds and len(answer.text) <= MOST_CHARACTERS:
            value = json.dumps([answer.text, answer.model], ensure_ascii=False)
            self._circuit.ask(lambda redis: redis.set(self._key(prompt_hash), value, ex=seconds))

    def _key(self, prompt_hash: str) -> str:
        return client.name(self._settings, "reply", prompt_hash)

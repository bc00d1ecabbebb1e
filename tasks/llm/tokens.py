"""Tokens: how many of them a text is, estimated without a vocabulary and corrected by what servers report.

The vocabularies that count exactly have to be downloaded and belong to one maker's
models. An estimate will do: a budget needs no more, and what is paid for is what
the server reports. The estimate leans to the high side; each model's reports then
draw it towards the truth (an exponential moving average of reported by estimated).
"""

from __future__ import annotations

import math
import re
import threading

BYTES_PER_TOKEN = 4
TOKENS_PER_WORD = 1.3
MARGIN = 1.1
WEIGHT = 0.2
"""Of the newest report in the average."""
LOWEST, HIGHEST = 0.25, 4.0
"""Beyond that a report is a mistake, or counts something else."""

_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
"""Han, Kana and Hangul: about a token each."""


def estimate(text: str) -> int:
    """Tokens of a text, rather too many than too few. UTF-8, for letters beyond ASCII take more of them.

    >>> estimate(""), estimate("Why is the sky blue?"), estimate("天空为什么是蓝色的"), estimate("a" * 400)
    (0, 8, 10, 111)
    """
    narrow = _WIDE.sub("", text)
    wide = len(text) - len(narrow)
    spread = max(len(narrow.encode("utf-8", "replace")) / BYTES_PER_TOKEN, TOKENS_PER_WORD * len(narrow.split()))
    return math.ceil(MARGIN * (wide + spread))


class Estimator:
    """Estimates for each model, which the reports of its server correct. One for each worker process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ratios: dict[str, float] = {}

    def tokens(self, text: str, *, model: str) -> int:
        """Of a text, for this model."""
        return math.ceil(estimate(text) * self._ratios.get(model, 1.0))

    def learn(self, model: str, *, estimated: int, reported: int) -> None:
        """A prompt that was estimated so, by `estimate`, was this much by the server's count."""
        if estimated <= 0 or reported <= 0:
            return
        seen = min(HIGHEST, max(LOWEST, reported / estimated))
        with self._lock:
            before = self._ratios.get(model, 1.0)
            self._ratios[model] = before + WEIGHT * (seen - before)

r"""Speakers: the name that a model likes to write before what it says, as if it wrote the minutes.

It has read lines of several people and goes on in that manner: ``AI: Sure.``, or
worse, ``Anna: I agree.`` A message shows who said it, so the name is taken off.

What is told while the model still speaks must be the beginning of what is stored
in the end. So nothing is told until it is certain whether a name comes first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from tasks.llm.answers import clean_so_far

OWN = ("AI", "Assistant")
_AROUND = 12
"""Letters that a name may have around it: blanks, brackets, stars, the colon."""


def without_name(text: str, names: Sequence[str]) -> str:
    """``text`` without a name of these before it; as it is, if it is nothing else.

    >>> without_name("**AI:** Sure.", ["AI", "Anna"]), without_name("Anna: I agree.", ["AI", "Anna"])
    ('Sure.', 'I agree.')
    >>> without_name("Air: mostly nitrogen.", ["AI"]), without_name("AI:", ["AI"])
    ('Air: mostly nitrogen.', 'AI:')
    """
    found = _before(tuple(names)).match(text) if names else None
    return text[found.end() :] or text if found else text


def without_name_so_far(text: str, names: Sequence[str]) -> str:
    """The beginning of what `without_name` will make of it, while the model goes on.

    >>> [without_name_so_far(text, ["AI"]) for text in ("A", "AI: S", "AI: Sure, I will do that.")]
    ['', '', 'Sure, I will do that.']
    """
    if names and len(text) < max(map(len, names)) + _AROUND:
        return ""
    told = without_name(text, names)
    return "" if told == text and names and _before(tuple(names)).match(text) else told


def told(parts: Sequence[str], names: Sequence[str], *, max_bytes: int) -> bytes:
    """UTF-8 of what a model has said so far, as it may be shown: the beginning of what will be stored."""
    said = clean_so_far(parts, max_bytes=max_bytes)
    return without_name_so_far(said.decode(), names).encode() if names else said


@lru_cache(maxsize=1000)
def _before(names: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"\s{{0,2}}(?:\*\*|\[)?(?:{either})\]?(?:\*\*)?\s?:(?:\*\*)?\s*", re.IGNORECASE)

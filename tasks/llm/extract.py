"""Extract: the sentences of a text that say most about the rest of it, and its most frequent words.

TextRank over tf-idf vectors. A sentence is as important as the sentences that
share its rare words; the usual matrix of similarities is never built, because
its product with the ranks is a product of two thin ones. So the work grows with
the number of words: 32,000 characters take some 50 ms.
Source: Rada Mihalcea and Paul Tarau, "TextRank: Bringing Order into Texts" (2004).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

MAX_SENTENCES = 400
"""In a text of more, neighbours count as one sentence."""
MAX_SENTENCE_CHARACTERS = 400
"""What has no full stop for longer is cut, between words if it has any."""
DAMPING = 0.85
ROUNDS = 30

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Kana and Han."""
_STOPS = ".!?\u2026\u061f\u0964\u06d4"
"""Full stops that need a space after them, those of Arabic, Hindi and Urdu included."""
_WIDE_STOPS = "\u3002\uff01\uff1f\uff61"
"""Those of Chinese and Japanese, which need none."""
_CLOSING = "\"'\u201d\u2019\u00bb)\\]"
_WIDE_CLOSING = "\u300d\u300f\u201d\u2019\uff09"

_PARAGRAPH = re.compile(r"\n\s*\n")
# Begun only at the first of several stops and never taken back: "....." is no trap.
_END = re.compile(
    rf"(?<![{_STOPS}])[{_STOPS}]++[{_CLOSING}]*+ (?=[^a-z])|(?<![{_WIDE_STOPS}])[{_WIDE_STOPS}]++[{_WIDE_CLOSING}]*+"
)
_PIECE = re.compile(rf".{{1,{MAX_SENTENCE_CHARACTERS}}}(?: |$)|.{{{MAX_SENTENCE_CHARACTERS}}}")
_WORD = re.compile(rf"([{_SPACELESS}]+)|[^\W_{_SPACELESS}]+(?:['\u2019-][^\W_{_SPACELESS}]+)*")
_COMMON = """
a about an and any are as at be been but by can could did do does for from had has have he her his how i if in into is
it its just may me more most my no not of on or our please she should so some such than that the their them then there
these they this those to us was we were what when where which who why will with would you your
"""
_STOP = frozenset(_COMMON.split())


def main_sentences(text: str, *, count: int) -> list[str]:
    """The ``count`` most telling sentences of ``text``, word for word and in its order; all if there are no more."""
    found = sentences(text)
    if len(found) <= count:
        return found
    ranks = _ranks([Counter(words(sentence)) for sentence in found])
    best = sorted(range(len(found)), key=lambda number: (-ranks[number], number))[:count]
    return [found[number] for number in sorted(best)]


def keywords(text: str, *, count: int) -> list[str]:
    """The most frequent words of ``text`` that carry meaning, in lower case; the earlier one first if equal."""
    return [word for word, _ in Counter(words(text)).most_common(count)]


def sentences(text: str) -> list[str]:
    r"""The sentences of ``text`` in any script, their white space made even; at most `MAX_SENTENCES`.

    >>> sentences("It cost $3.50, e.g. in Rome. Why?  Nobody\nknows.")
    ['It cost $3.50, e.g. in Rome.', 'Why?', 'Nobody knows.']
    """
    found = [piece.strip() for sentence in _split(text) for piece in _PIECE.findall(sentence)]
    size = -(-len(found) // MAX_SENTENCES) or 1
    return [" ".join(found[start : start + size]) for start in range(0, len(found), size)]


def words(text: str) -> Iterator[str]:
    """The words of ``text`` in lower case, but for the commonest English ones.

    Where a script does not mark words, every pair of letters stands for one.
    """
    for match in _WORD.finditer(text.lower()):
        word = match[0]
        if match[1]:
            yield from (word[start : start + 2] for start in range(max(1, len(word) - 1)))
        elif len(word) > 1 and word not in _STOP:
            yield word


def _split(text: str) -> Iterator[str]:
    for paragraph in _PARAGRAPH.split(text):
        line = " ".join(paragraph.split())
        start = 0
        for end in _END.finditer(line):
            yield line[start : end.end()].strip()
            start = end.end()
        if start < len(line):
            yield line[start:]


def _ranks(counts: list[Counter[str]]) -> list[float]:
    vectors = _vectors(counts)
    total = _mixed(vectors, [1.0] * len(vectors))
    shared = [max(_dot(vector, total) - 1.0, 1e-9) if vector else 1.0 for vector in vectors]
    ranks = [1.0 / len(vectors)] * len(vectors)
    for _ in range(ROUNDS):
        weights = [rank / degree for rank, degree in zip(ranks, shared, strict=True)]
        mixed = _mixed(vectors, weights)
        # Less its own weight: a sentence does not recommend itself.
        ranks = [
            (1 - DAMPING) / len(vectors) + DAMPING * max(0.0, _dot(vector, mixed) - weight if vector else 0.0)
            for vector, weight in zip(vectors, weights, strict=True)
        ]
    return ranks


def _vectors(counts: list[Counter[str]]) -> list[dict[str, float]]:
    """Each sentence as a tf-idf vector of length 1, or empty."""
    holding = Counter(word for count in counts for word in count)
    rarity = {word: math.log((len(counts) + 1) / (number + 0.5)) for word, number in holding.items()}
    vectors = []
    for count in counts:
        weights = {word: times * rarity[word] for word, times in count.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        vectors.append({word: weight / length for word, weight in weights.items()} if length else {})
    return vectors


def _mixed(vectors: list[dict[str, float]], weights: list[float]) -> dict[str, float]:
    mixed: defaultdict[str, float] = defaultdict(float)
    for vector, weight in zip(vectors, weights, strict=True):
        for word, value in vector.items():
            mixed[word] += weight * value
    return mixed


def _dot(vector: dict[str, float], other: dict[str, float]) -> float:
    return sum(value * other[word] for word, value in vector.items())

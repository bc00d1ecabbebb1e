"""Transcripts: what people have said, put into a prompt as data.

Whoever is in a chat writes into the prompts that are made of it. So what they wrote stands between two marks, one
JSON object a line. The marks have a name that is drawn for this prompt and does not occur in what they
enclose: nobody can close them from inside, nor know them beforehand. JSON leaves no line end in a text, so
nobody can add a line, either, that would look like somebody else's.

Source: Keegan Hines and others, "Defending Against Indirect Prompt Injection Attacks With Spotlighting" (2024).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LINE_ENDS = str.maketrans({"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""Those that JSON leaves as they are."""


@dataclass(frozen=True)
class Transcript:
    """Some lines between marks."""

    mark: str
    """Its name; what the words around it refer to."""
    text: str


def fenced(rows: Iterable[Mapping[str, Any]]) -> Transcript:
    r"""Put each row on a line of its own, all between marks.

    >>> transcript = fenced([{"seq": 1, "text": "One\nline </data>"}])
    >>> transcript.text.replace(transcript.mark, "data-…").splitlines()
    ['<data-…>', '{"seq": 1, "text": "One\\nline </data>"}', '</data-…>']
    """
    body = "\n".join(json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS) for row in rows)
    mark = _mark()
    while mark in body:
        mark = _mark()
    return Transcript(mark, f"<{mark}>\n{body}\n</{mark}>")


def rows_in(prompt: str) -> list[dict[str, Any]]:
    """The rows that a prompt holds, for a program that reads it in a model's place."""
    return [json.loads(line) for line in prompt.split("\n") if line.startswith("{")]


def _mark() -> str:
    return f"data-{secrets.token_hex(8)}"

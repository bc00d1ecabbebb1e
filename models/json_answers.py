"""JSON answers: the one object that a model was asked for, taken out of what it has said."""

from __future__ import annotations

import json
import re
from typing import Any

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)
"""Many models put JSON into one, whatever they are told."""


def the_object(answer: str) -> dict[str, Any]:
    r"""The object that ``answer`` is, in a fence or not.

    >>> the_object('{"title": "Tea"}') == the_object('```json\n{"title": "Tea"}\n```')
    True

    Raises:
        ValueError: it is none; the message says why, and quotes nothing of it.
    """
    fenced = _FENCE.fullmatch(answer.strip())
    try:
        said = json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(said, dict):
        raise ValueError("it is no object")  # noqa: TRY004  a model's mistake, not a caller's
    return said

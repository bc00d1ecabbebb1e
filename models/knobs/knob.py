"""One knob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any


def knob(  # noqa: PLR0913
    env: str, parse: Callable[[str], Any], *, default: Any, example: str, meaning: str, secret: bool = False
) -> Any:
    """A field of a frozen dataclass, with what it takes to read it from the environment and to document it."""
    return field(
        default=default,
        repr=not secret,
        metadata={"env": env, "parse": parse, "example": example, "meaning": meaning, "secret": secret},
    )

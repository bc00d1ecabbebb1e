"""Flags: what only some people have of a change that is risky, until it has proved good; or of one that has not.

``FLAGS=gateway=10`` gives it to a tenth of the owners there are, always the same ones: an owner's place from 0 to 99 is
a hash of who it is and of the flag. A greater number takes others in and nobody out; one flag's tenth is not another's.
The flags that there are stand here and nowhere else, and one goes when nobody needs to turn it back any more.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from functools import cache

WHOLE = 100


class Flag(enum.StrEnum):
    """What can be given to some."""

    GATEWAY = "gateway"
    """Being told of the WebSocket gateway. Pages of the others ask now and then."""
    REPLY_CACHE = "reply_cache"
    """Being given an answer again that the very same prompt has got before."""


BY_ITSELF: Mapping[Flag, int] = {Flag.GATEWAY: WHOLE, Flag.REPLY_CACHE: WHOLE}
"""How many in a hundred have it where ``FLAGS`` does not say. What is new begins at 0."""


def shares(raw: str) -> str:
    """For a setting: flags and how many in a hundred have each.

    >>> shares("gateway = 10,reply_cache=0")
    'gateway=10,reply_cache=0'

    Raises:
        ValueError: it names a flag that there is not, or twice, or no whole number from 0 to 100.
    """
    said: dict[str, int] = {}
    for each in raw.split(","):
        name, _, percent = (part.strip() for part in each.partition("="))
        if name not in set(Flag):
            raise ValueError(f"names no flag that there is ({', '.join(Flag)})")
        if name in said:
            raise ValueError(f"names {name} twice")
        if not (percent.isascii() and percent.isdigit() and int(percent) <= WHOLE):
            raise ValueError(f"gives {name} no whole number from 0 to {WHOLE}")
        said[name] = int(percent)
    return ",".join(f"{name}={percent}" for name, percent in said.items())


@cache
def _said(raw: str) -> Mapping[Flag, int]:
    pairs = (each.partition("=") for each in raw.split(",") if each)
    return {**BY_ITSELF, **{Flag(name): int(percent) for name, _, percent in pairs}}


def is_for_all(raw: str, flag: Flag) -> bool:
    """Whether nobody has to be asked for.

    Args:
        raw: what ``FLAGS`` says, as `shares` has answered it.
    """
    return _said(raw)[flag] == WHOLE


def is_for(raw: str, flag: Flag, owner: str) -> bool:
    """Whether this owner has it; the same answer in each process, and after each start.

    >>> [is_for(f"gateway={percent}", Flag.GATEWAY, "user:5f0c") for percent in (0, 66, 67, 100)]
    [False, False, True, True]
    """
    return place(flag, owner) < _said(raw)[flag]


def place(flag: Flag, owner: str) -> int:
    """Where this owner stands, from 0 to 99: the lower, the earlier it has the flag."""
    return int.from_bytes(hashlib.sha256(f"{flag}:{owner}".encode()).digest()[:8]) % WHOLE

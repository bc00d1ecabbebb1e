"""Passwords: how they are kept, and which are too easy to guess.

argon2id with the parameters of OWASP's Password Storage Cheat Sheet. Both halves of
this module take long enough (some 40 ms and 20 ms of a core) that a server must not
run them where it answers everybody else: see `api.hashing`.

A password is taken as it came: nothing is trimmed, folded or cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import argon2
import zxcvbn
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 128
JUDGED_CHARACTERS = 40
"""zxcvbn looks at so many: its work grows with the square, and what is strong that far is strong."""
LEAST_SCORE = 3
"""Of zxcvbn's 0 to 4: at least 10**8 guesses."""
MEMORY_KIB, TIME_COST, PARALLELISM = 19 * 1024, 2, 1


class Passwords:
    """Hashes and compares, with one set of parameters.

    Args:
        hasher: another set; tests use a cheap one.
    """

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM
        )

    def hashed(self, password: str) -> str:
        """What is kept of it, with parameters and salt inside."""
        return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether it is the one; takes as long where none is kept, so that the time does not tell."""
        try:
            return self._hasher.verify(kept or self._nobodys, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with other parameters than ours."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self.hashed("no password has fewer characters than this")


def weakness(password: str, *, known: Sequence[str]) -> str | None:
    """Why it is too easy to guess, as a sentence; None if it is not.

    Args:
        known: what a guesser would try first: the user's names.
    """
    # Long names would cost as much as long passwords.
    judged = zxcvbn.zxcvbn(password[:JUDGED_CHARACTERS], [name[:JUDGED_CHARACTERS] for name in (*known, "parley")])
    if judged["score"] >= LEAST_SCORE:
        return None
    return str(judged["feedback"]["warning"] or "It is too easy to guess.")

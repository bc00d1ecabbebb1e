"""Saved items: which lines of a whole conversation that a client posts are new, beside those that are stored.

Lines are compared by position and content. First the two are walked along side by side, from the beginning, or from
where the client's window begins; what then is left of the client's is looked for in what is left of the stored, each of
which stands for one line. So nothing is new in a conversation from which lines were removed, or in which they have
other places, and a text that is said once more is new. A line that was edited since is known by what it said before;
one that was deleted, by its place between two others, or by its mark.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

USER, ASSISTANT = "user", "assistant"
_MARK = "saved:"
_OTHER = {USER: ASSISTANT, ASSISTANT: USER}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A line of the client's."""

    content: str
    role: str | None = None
    """Who says it; None: whoever has not said the line before, the user first."""
    client_msg_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A line that is stored."""

    role: str
    texts: Sequence[str] = ()
    """What it says, and what it said before; nothing once deleted."""
    client_msg_id: str | None = None
    """Null: somebody else's."""

    @property
    def is_deleted(self) -> bool:
        """Whether only its place is left."""
        return not self.texts


@dataclass
class Compared:
    """What came of it."""

    new: list[Item] = field(default_factory=list)
    """Lines of the user that are not stored, in their order."""
    ignored: int = 0
    """Lines of the AI that are not stored: nobody but the AI may say what it has said."""


def mark(content: str, *, place: int, key: str) -> str:
    """A ``client_msg_id`` for a line without one: a deleted line is known again by it, its text does not follow."""
    return f"{_MARK}{place}:{_digest(content, key)}"


def _digest(content: str, key: str) -> str:
    return hmac.digest(key.encode(), b"parley line " + content.encode(), hashlib.sha256).hex()[:32]


class Comparison:
    """Of one conversation.

    Args:
        window: how many lines a client is handed of a long conversation; it may post those and what follows.
        key: for `mark`.
    """

    def __init__(self, stored: Sequence[Stored], posted: Sequence[Item], *, window: int, key: str) -> None:
        self._posted, self._key = posted, key
        self._stored = stored[self._beginning(stored, window) :]
        self._speaker = ASSISTANT
        """Who has said the line before."""

    def result(self) -> Compared:
        """Which are new."""
        here, there = self._side_by_side()
        left = _Left(self._stored[there:])
        compared = Compared()
        for item in self._posted[here:]:
            known = left.take(item, self)
            self._speaker = known.role if known else item.role or _OTHER[self._speaker]
            if known is None and self._speaker == USER:
                compared.new.append(item)
            elif known is None:
                compared.ignored += 1
        return compared

    def _beginning(self, stored: Sequence[Stored], window: int) -> int:
        """Where the client's lines begin: at the first, unless they are a window further down."""
        shown = [place for place, line in enumerate(stored) if not line.is_deleted]
        for first in range(len(shown) - window + 1 if len(self._posted) >= window else 0):
            seen = (stored[place] for place in shown[first : first + window])
            if all(map(self.says, self._posted, seen)):
                return shown[first] if first else 0
        return 0

    def _side_by_side(self) -> tuple[int, int]:
        """How far both say the same."""
        here = there = 0
        while here < len(self._posted) and there < len(self._stored):
            line = self._stored[there]
            if not self.says(self._posted[here], line):
                following = self._following(there)
                gap = following - there
                if gap == 0 or following == len(self._stored):
                    break
                if self._says_at(here + gap, following):
                    here += gap  # the client does not know that they are deleted
                elif not self._says_at(here, following):
                    break
                there, line = following, self._stored[following]
            self._speaker = line.role
            here, there = here + 1, there + 1
        return here, there

    def _following(self, place: int) -> int:
        """The first line from there on that is not deleted."""
        while place < len(self._stored) and self._stored[place].is_deleted:
            place += 1
        return place

    def _says_at(self, here: int, there: int) -> bool:
        return here < len(self._posted) and self.says(self._posted[here], self._stored[there])

    def says(self, item: Item, line: Stored) -> bool:
        """Whether the one is the other."""
        if item.role not in (None, line.role):
            return False
        own = line.client_msg_id or ""
        is_marked = own.startswith(_MARK)
        if item.client_msg_id and own and not is_marked:
            return item.client_msg_id == own
        if line.is_deleted:
            return is_marked and own.rpartition(":")[2] == self.digest(item)
        return item.content in line.texts

    def digest(self, item: Item) -> str:
        """What is left of it once it is deleted."""
        return _digest(item.content, self._key)


class _Left:
    """Stored lines that stand for no line of the client's yet."""

    def __init__(self, lines: Sequence[Stored]) -> None:
        self._lines = dict(enumerate(lines))
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        for place, line in self._lines.items():
            for word in {*line.texts, line.client_msg_id or "", (line.client_msg_id or "").rpartition(":")[2]}:
                self._places[word].append(place)

    def take(self, item: Item, comparison: Comparison) -> Stored | None:
        """One that stands for this line; the earliest."""
        words = filter(None, (item.client_msg_id, item.content, comparison.digest(item)))
        for place in sorted({place for word in words for place in self._places.get(word, ())}):
            line = self._lines.get(place)
            if line is not None and comparison.says(item, line):
                return self._lines.pop(place)
        return None

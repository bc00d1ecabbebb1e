"""A load set: as many messages as one likes, in chats of very different length, the same each time.

Ids, texts and times follow from a number alone, so two sets of one size are equal, row for row. Rows are made while
PostgreSQL takes them (COPY), a slice of chats in a transaction: memory does not grow with the set. Nobody can sign in
as one of its people.
"""

from __future__ import annotations

import datetime as dt
import io
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models import chats

BEGUN_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
STEP = dt.timedelta(seconds=30)
"""Between two messages of a chat."""
LONGEST_SHARE, LONGEST = 5, 20_000
"""The first chat holds a fifth of all messages, but not more than this many."""
MEMBERS = 4
SLICE_CHATS = 500
RARE_WORD = "quinquereme"
"""In every thousandth message of a chat, for who searches."""
_SAID = """
    about after again answer any before better build change check could deploy done draft early every
    first friday good green group have idea index later list look maybe meeting message minute monday
    more move need never next note nothing number often open order page plan please point queue quick
    read ready release reply report review room same send small soon start still summary table team test
    thanks there today tomorrow update wait week when where which without work write yesterday
"""
_WORDS = _SAID.split()

Row = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class LoadSet:
    """Of one size."""

    messages: int
    chats: int
    busy: int = 500
    """Chats that have the first person among their members: the first, and every other one up to so many."""

    @property
    def people(self) -> int:
        """How many talk: as many as there are chats, and `MEMBERS` at least."""
        return max(MEMBERS, self.chats)

    def length(self, number: int) -> int:
        """Messages of a chat: the first has most, the others have as many as are left to each."""
        longest = min(LONGEST, self.messages // LONGEST_SHARE) if self.chats > 1 else self.messages
        if number == 0:
            return longest
        each, more = divmod(self.messages - longest, self.chats - 1)
        return each + (number <= more)

    def members(self, number: int) -> list[int]:
        """Who is in a chat, by number."""
        first = number * (MEMBERS - 1) % (self.people - 1)
        others = [1 + (first + each) % (self.people - 1) for each in range(MEMBERS - 1)]
        return [0, *others] if number % 2 == 0 and number < 2 * self.busy else others


def chat_id(number: int) -> str:
    """
    >>> chat_id(255)
    '01970000-0000-7000-8000-0000000000ff'
    """
    return f"01970000-0000-7000-8000-{number:012x}"


def person_id(number: int) -> str:
    """
    >>> person_id(255)
    '01970000-0000-7000-9000-0000000000ff'
    """
    return f"01970000-0000-7000-9000-{number:012x}"


def is_there(connection: Any) -> bool:
    """Whether a load set has been filled in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM users WHERE id = %s)", [person_id(0)])
        return bool(cursor.fetchone()[0])


def fill(connection: Any, size: LoadSet, *, key: str, told: Callable[[int], None] = lambda _: None) -> None:
    """Store it, and let the planner know what it is.

    Args:
        connection: psycopg2's own, of a process without a wait callback (which knows no COPY).
        key: for `models.chats.room_hash`.
        told: how many chats are stored, now and then.
    """
    _copy(connection, _PEOPLE, map(_person, range(size.people)))
    connection.commit()
    for first in range(0, size.chats, SLICE_CHATS):
        numbers = range(first, min(size.chats, first + SLICE_CHATS))
        _copy(connection, _CHATS, (_chat(size, number, key) for number in numbers))
        _copy(connection, _MEMBERS, (row for each in numbers for row in _members(size, each)))
        _copy(connection, _MESSAGES, (row for each in numbers for row in _messages(size, each)))
        connection.commit()
        told(numbers.stop)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) users, chats, chat_members, messages")
    connection.autocommit = False


_PEOPLE = "COPY users (id, username, display_name) FROM STDIN"
_CHATS = """
    COPY chats (id, room_hash, type, title, title_source, ai_mode, created_by, last_seq, last_change_seq,
                last_message_at, last_message_preview, created_at) FROM STDIN
"""
_MEMBERS = "COPY chat_members (user_id, chat_id, role, last_read_seq, joined_at) FROM STDIN"
_MESSAGES = "COPY messages (chat_id, seq, sender_id, client_msg_id, content, created_at, change_seq) FROM STDIN"


def _person(number: int) -> Row:
    return person_id(number), f"load-{number:06}", f"Person {number}"


def _chat(size: LoadSet, number: int, key: str) -> Row:
    length, id_ = size.length(number), chat_id(number)
    preview = _said(number, length) if length else None
    admin = person_id(size.members(number)[0])
    facts = (id_, chats.room_hash(id_, key=key), "group", f"Load {number}", "user", "off", admin, length, length)
    return *facts, _at(number, length), preview and preview[: chats.PREVIEW_CHARACTERS], _at(number, 0)


def _members(size: LoadSet, number: int) -> Iterator[Row]:
    length = size.length(number)
    for place, person in enumerate(size.members(number)):
        role = "member" if place else "admin"
        yield person_id(person), chat_id(number), role, max(0, length - 7 * place - number % 5), _at(number, 0)


def _messages(size: LoadSet, number: int) -> Iterator[Row]:
    talking, id_ = [person_id(each) for each in size.members(number)], chat_id(number)
    for seq in range(1, size.length(number) + 1):
        said = _said(number, seq)
        yield id_, seq, talking[seq % len(talking)], f"load:{seq}", said, _at(number, seq), seq


def _said(number: int, seq: int) -> str:
    # Made-up words, the same each time: nothing that has to be secret.
    chosen = random.Random(number << 32 | seq)  # nosec B311
    words = chosen.choices(_WORDS, k=chosen.randint(3, 20))
    return " ".join([*words, RARE_WORD] if seq % 1000 == 0 else words)


def _at(number: int, seq: int) -> str:
    return (BEGUN_AT + dt.timedelta(seconds=number) + seq * STEP).isoformat()


def _copy(connection: Any, statement: str, rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.copy_expert(statement, _Lines(rows))


class _Lines(io.TextIOBase):
    """Rows as COPY reads them, made when they are asked for. (No value has a tab, a line feed or a backslash.)"""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._lines = ("\t".join("\\N" if value is None else str(value) for value in row) + "\n" for row in rows)

    def read(self, size: int | None = -1, /) -> str:
        """About so much; nothing at the end."""
        taken: list[str] = []
        length = 0
        for line in self._lines:
            taken.append(line)
            length += len(line)
            if size is not None and 0 <= size <= length:
                break
        return "".join(taken)

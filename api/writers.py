"""Writers: who changes what is said in a chat, one after the other in each process.

A chat's row is locked by whoever writes into it, and the next waits. Who waits for it in PostgreSQL holds a connection
meanwhile, so forty who write into one group would take all there are from everybody else, and give up one by one
with a connection that has to be made anew. Here they stand in line before they ask for one: of each process one writer
of a chat is at the database, and the others hold nothing but their place.

    came first ──▶ writes, commits, hands on ──▶ the next in line, who did not have to wake and find it taken again

A wait here counts as one for the database: both together are no longer than an answer may take. There is an entry only
for a chat that somebody writes into now.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session as OrmSession

from api.chats import known_chat
from api.jobs import known_form
from models import waiting
from models.base import Session
from models.chats import ROOM_HASH
from models.errors import ChatBusy, ChatNotFound

SHARE = 0.75
"""Of an answer's time that may be spent in line. Who comes to the front at its end still has time to write."""


class Writers:
    """Those of one process.

    Args:
        answer_seconds: how long an answer may wait for the database, all in all.
    """

    def __init__(self, *, answer_seconds: float) -> None:
        self._patience_seconds = SHARE * answer_seconds
        # Nothing that is done under it lets another greenlet run. So none can be ended there, with its turn in hand.
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Any]] = {}
        """Of chats that somebody writes into: who waits for them to be done, the first first."""

    @property
    def lines(self) -> Mapping[str, int]:
        """The chats that somebody writes into, and how many wait for that to be over."""
        with self._lock:
            return {chat: len(line) for chat, line in self._lines.items()}

    @contextlib.contextmanager
    def one_by_one(self, chat: str) -> Iterator[None]:
        """Be the only one here who writes into it.

        Raises:
            ChatBusy: too many came before.
        """
        seconds = self._come_to_the_front(chat)
        try:
            with waiting.having_waited(seconds):
                yield
        finally:
            self._hand_on(chat)

    def _come_to_the_front(self, chat: str) -> float:
        """How many seconds it took."""
        place = threading.Lock()
        place.acquire()
        with self._lock:
            line = self._lines.get(chat)
            if line is None:
                self._lines[chat] = deque()
                return 0.0
            line.append(place)
        begun = time.monotonic()
        is_first = False
        try:
            is_first = place.acquire(timeout=self._patience_seconds)
        finally:
            if not is_first:
                self._go(chat, place)
        if not is_first:
            raise ChatBusy
        return time.monotonic() - begun

    def _go(self, chat: str, place: Any) -> None:
        """Leave the line, or hand on what came at the very moment."""
        with self._lock:
            line = self._lines[chat]
            was_waiting = place in line
            if was_waiting:
                line.remove(place)
        if not was_waiting:
            self._hand_on(chat)

    def _hand_on(self, chat: str) -> None:
        with self._lock:
            line = self._lines[chat]
            if line:
                line.popleft().release()
            else:
                del self._lines[chat]


@contextlib.contextmanager
def writing(named: str) -> Iterator[tuple[OrmSession, str]]:
    """A transaction that changes what is said in a chat, and the id of that.

    Args:
        named: by its id or its room hash.

    Raises:
        ChatNotFound: nothing can have such a name, or nothing has.
        ChatBusy: too many write into it.
    """
    writers: Writers = current_app.extensions["parley"]["writers"]
    # In one spelling: there would be a line for each.
    chat = named if ROOM_HASH.fullmatch(named) else known_form(named, refusal=ChatNotFound)
    with writers.one_by_one(chat), Session.begin() as session:
        yield session, known_chat(session, chat)

"""Lines: who writes into one chat by the sockets of this process waits here, and not in one of its few threads.

The application has a line for each chat (`api.writers`), but whoever stands in that one holds a thread, and all that
the others on this gateway ask for needs one, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus

from api.gateway.frames import RefusedFrame
from models.errors import ChatBusy

AT_ONCE = 2
"""Of one chat in threads: one at the database, and the next, who is then ready for it."""


@dataclass
class _Line:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    people: int = 0
    """Those at work among them."""


class Lines:
    """Those of one process; of chats that nobody writes into, there is none.

    Args:
        seconds: how long somebody may wait in one.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lines: dict[str, _Line] = {}

    def people(self, chat: str) -> int:
        """How many write into it, or wait to."""
        return self._lines[chat].people if chat in self._lines else 0

    @contextlib.asynccontextmanager
    async def turn(self, chat: str) -> AsyncIterator[None]:
        """Write when one's turn has come, in the order in which they came.

        Raises:
            RefusedFrame: it did not come in time.
        """
        line = self._lines.setdefault(chat, _Line())
        line.people += 1
        try:
            await self._wait(line)
            try:
                yield
            finally:
                line.turns.release()
        finally:
            line.people -= 1
            if not line.people:
                del self._lines[chat]

    async def _wait(self, line: _Line) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await line.turns.acquire()
        except TimeoutError:
            busy, title = ChatBusy(), HTTPStatus.SERVICE_UNAVAILABLE.phrase
            raise RefusedFrame(busy.code, str(busy), title=title, retry_seconds=busy.retry_seconds) from None

"""Sockets: one connection each, with who is behind it and what still has to be sent.

A frame is written at once while the connection takes it. If it does not, frames queue up: from half of `QUEUED` on what
is ephemeral is left out, and when the queue is full all of it is dropped for one `resync`, which tells the page to read
anew. Whoever is still stuck `BLOCKED_SECONDS` later is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Iterable
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from api.callers import Caller
from api.gateway import counts, frames
from api.gateway.frames import Bucket

QUEUED = 256
BUFFER_BYTES = 16 * 1024
"""Of a connection, beyond what the kernel takes."""
BLOCKED_SECONDS = 10.0
CLOSE_SECONDS = 5.0
"""For the other side to answer a close."""
RESYNC = "resync"
_NO_REQUEST = Request("/", Headers())
"""Not none at all: without one the library would wait for a handshake."""


class Socket:
    """One connection."""

    __slots__ = (
        *("_blocked_at", "_closing", "_draining", "_queue", "address", "bucket", "caller", "connection", "cookie"),
        *("dropped", "forwarded", "heard_at", "id", "is_live", "jobs", "opened", "timer", "token", "typing"),
    )

    def __init__(self, connection: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.id = secrets.token_hex(8)
        headers = connection.request.headers if connection.request else {}
        self.address = str((connection.remote_address or [""])[0])
        self.cookie, self.forwarded = headers.get("Cookie", ""), ", ".join(_all(headers, "X-Forwarded-For"))
        self.caller: Caller | None = None
        self.token: str | None = None
        self.bucket = Bucket(loop.time())
        self.heard_at = loop.time()
        self.is_live = False
        """Whether it has been greeted: events are sent from then on."""
        # An empty set is 216 bytes, an empty deque 600: most sockets need neither.
        self.opened: frozenset[str] = frozenset()
        """Chats that it shows: presence, typing and what the AI says are sent of these."""
        self.typing: frozenset[str] = frozenset()
        """Chats in which it has said that its user writes."""
        self.jobs: frozenset[str] = frozenset()
        """Of which it is told how they move."""
        self.dropped = 0
        self.timer: asyncio.TimerHandle | None = None
        """That ends it with its token."""
        self._queue: deque[bytes] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._blocked_at: float | None = None
        self._closing: asyncio.Task[None] | None = None

    def forget_handshake(self) -> None:
        """Let go of what only the handshake needed: some kilobytes of headers."""
        if self.connection.request is not None:
            self.connection.request.headers.clear()  # the library's parser holds on to the request itself
        self.connection.request, self.connection.response = _NO_REQUEST, None

    @property
    def user_id(self) -> str | None:
        """Of whoever is behind it; a guest has none."""
        return None if self.caller is None else self.caller.user_id

    @property
    def is_stuck(self) -> bool:
        """Whether it takes nothing at the moment."""
        return bool(self._queue) or not self._takes()

    def send(self, frame: bytes, *, is_ephemeral: bool = False) -> None:
        """Have a frame sent. Never waits."""
        if self._closing is not None:
            return
        if not self._queue and self._draining is None and self._takes():
            broadcast((self.connection,), frame, text=True)
        else:
            self._enqueue(frame, is_ephemeral=is_ephemeral)

    def _takes(self) -> bool:
        return self.connection.transport.get_write_buffer_size() < BUFFER_BYTES

    def _enqueue(self, frame: bytes, *, is_ephemeral: bool) -> None:
        if self._queue is None:
            self._queue = deque()
        if is_ephemeral and len(self._queue) >= QUEUED // 2:
            self._drop(1)
            return
        if len(self._queue) >= QUEUED:
            self._drop(len(self._queue) + 1)
            self._queue.clear()
            counts.RESYNCS.labels("overflow").inc()
            frame = frames.encoded(RESYNC, {"reason": "overflow"})
            if self._blocked_at is None:
                loop = asyncio.get_running_loop()
                self._blocked_at = loop.time()
                loop.call_later(BLOCKED_SECONDS, self._give_up)
        self._queue.append(frame)
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    def _drop(self, number: int) -> None:
        self.dropped += number
        counts.DROPPED.inc(number)

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self.connection.send(self._queue.popleft(), text=True)  # waits while the connection is full
                self._blocked_at = None
        except ConnectionClosed:
            pass
        finally:
            self._queue = self._draining = None

    def _give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._blocked_at is not None and now - self._blocked_at > BLOCKED_SECONDS - 1:  # not of a later time
            self.close(frames.TOO_SLOW, "too slow")

    def close(self, code: int, reason: str) -> None:
        """Have it closed. Never waits; whoever does not answer is cut off."""
        if self._closing is None:
            if self._queue is not None:
                self._queue.clear()
            self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.connection.close(code, reason)
        except TimeoutError:
            self.connection.transport.abort()

    async def ended(self) -> None:
        """Wait until what this socket has begun is over; it is closed."""
        if self.timer is not None:
            self.timer.cancel()
        if self._closing is not None:
            await self._closing
        if self._draining is not None:
            self._draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._draining


def deliver(sockets: Iterable[Socket], frame: bytes, *, is_ephemeral: bool = False) -> None:
    """The same frame, made once, for all of them that have been greeted."""
    live = [socket for socket in sockets if socket.is_live]
    counts.DELIVERED.inc(len(live))
    for socket in live:
        socket.send(frame, is_ephemeral=is_ephemeral)


def _all(headers: Any, name: str) -> list[str]:
    return headers.get_all(name) if hasattr(headers, "get_all") else []

"""The fault proxy: stands between the product and a server, and goes bad when a test says so.

An asyncio loop in a thread of its own forwards bytes. Its modes are the ways a
network or a server fails:

- ``pass``: nothing is wrong; what was frozen moves on.
- ``delay``: every answer of the server comes ``delay_ms`` later.
- ``freeze``: connections, old and new, stay open and nothing moves.
- ``half_open``: the old connections are dead without either end being told, for good; new ones work.
- ``reset``: every connection, old and new, is broken with an RST.
- ``refuse``: nobody listens, and the old connections are broken with an RST.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self

from local import ports

Mode = Literal["pass", "delay", "freeze", "half_open", "reset", "refuse"]
CHUNK_BYTES = 65_536
CONTROL_SECONDS = 5.0
"""Longest `FaultProxy.switch` or `FaultProxy.stop` may take."""
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.moves = asyncio.Event()
        self.is_dead = False
        """Half-open: it never moves again."""
        self.task = asyncio.current_task()

    def reset(self) -> None:
        """End it as a crashed machine would: no goodbye, only an RST."""
        for writer in self.writers:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            writer.transport.abort()
        # Not itself: a task that ends while a cancel of its own is pending counts as cancelled, which asyncio logs.
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


class FaultProxy:
    """``with FaultProxy(6379) as proxy``: listens on ``proxy.port`` until the block ends; begins with ``pass``."""

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1") -> None:
        self.port = ports.free_port()
        self.mode: Mode = "pass"
        self._target = (target_host, target_port)
        self._delay_seconds = 0.0
        self._links: set[_Link] = set()
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self.switch("pass")

    def stop(self) -> None:
        """Break every connection and end, whatever the mode was. A second time does nothing."""
        if not self._thread.is_alive():
            return
        self.switch("refuse")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONTROL_SECONDS)
        assert not self._thread.is_alive(), "the fault proxy does not end"

    def switch(self, mode: Mode, *, delay_ms: float = 0) -> None:
        """Behave so from now on; returns when it does.

        Args:
            delay_ms: of ``delay``.
        """
        done = asyncio.run_coroutine_threadsafe(self._switch(mode, delay_ms / 1000), self._loop)
        done.result(CONTROL_SECONDS)

    def behind(self, url: str) -> str:
        """This URL of the server, by way of the proxy."""
        there = f"{self._target[0]}:{self._target[1]}"
        assert there in url, f"{there} is not in the URL"
        return url.replace(there, f"127.0.0.1:{self.port}")

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _switch(self, mode: Mode, delay_seconds: float) -> None:
        self.mode, self._delay_seconds = mode, delay_seconds
        if mode in {"reset", "refuse"}:
            await self._reset_all()
        for link in self._links:
            link.is_dead = link.is_dead or mode == "half_open"
            self._set(link)
        if (mode == "refuse") != (self._listening is None):
            await self._listen(wanted=mode != "refuse")

    async def _listen(self, *, wanted: bool) -> None:
        if wanted:
            self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        elif self._listening is not None:
            # Of a connection that was taken a moment ago and whose task has not begun, `close` would lose the socket.
            for listener in self._listening.sockets:
                self._loop.remove_reader(listener.fileno())
            await asyncio.sleep(0)
            self._listening.close()
            await self._listening.wait_closed()
            self._listening = None

    async def _reset_all(self) -> None:
        tasks = [link.task for link in self._links if link.task is not None]
        for link in self._links:
            link.reset()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _set(self, link: _Link) -> None:
        if self.mode == "freeze" or link.is_dead:
            link.moves.clear()
        else:
            link.moves.set()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        link = _Link(client)
        self._links.add(link)
        self._set(link)
        try:
            await self._forward(link, reader, client)
        except (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            self._links.discard(link)

    async def _forward(self, link: _Link, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Until either side has closed."""
        if self.mode in {"reset", "refuse"}:
            raise ConnectionResetError
        await link.moves.wait()
        answers, server = await asyncio.open_connection(*self._target)
        link.writers.append(server)
        ways = [
            asyncio.ensure_future(self._pump(link, reader, server, is_answer=False)),
            asyncio.ensure_future(self._pump(link, answers, client, is_answer=True)),
        ]
        try:
            ended, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ended:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for writer in link.writers:
            writer.close()

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        while data := await source.read(CHUNK_BYTES):
            await self._hold(link, is_answer=is_answer)
            sink.write(data)
            await sink.drain()
        await self._hold(link, is_answer=False)

    async def _hold(self, link: _Link, *, is_answer: bool) -> None:
        if is_answer and self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        await link.moves.wait()

"""The bus: what other processes say, heard over one subscription to Redis.

Whoever listens to a channel is told when Redis has confirmed it; what is published from then on is heard. A message to
ourselves every `PING_SECONDS` proves that the way there and back is open. When it is not, the subscription is made anew
with all its channels, and whoever relies on it is told that something may have been missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from models import logs
from models.live import client
from models.settings import Settings

PING_SECONDS = 5.0
SILENT_SECONDS = 2 * PING_SECONDS + 2
"""Without a word, not even our own: nothing gets through."""
CONFIRM_SECONDS = 2.0
"""Longest wait for Redis to confirm a channel."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 2.0
ASKED_AT_ONCE = 500
"""Channels in one command."""

log = logs.logger()


class Bus:
    """One for each process.

    Args:
        heard: takes the channel and what was said on it. Must not wait.
        lost: called when the subscription is gone. Must not wait.
        found: called when it stands again, or for the first time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        heard: Callable[[str, bytes], None],
        lost: Callable[[], None] = lambda: None,
        found: Callable[[], None] = lambda: None,
    ) -> None:
        self._heard, self._lost, self._found = heard, lost, found
        self._redis: Any = redis.asyncio.Redis.from_url(
            settings.redis_url,
            socket_connect_timeout=client.CONNECT_SECONDS,
            socket_timeout=client.READ_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._own = client.name(settings, "gateway", secrets.token_hex(8))
        self._wanted: Counter[str] = Counter({self._own: 1})
        self._asked: Counter[str] = Counter()
        """Commands under way, by channel."""
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._commands: asyncio.Queue[tuple[str, list[str]]] = asyncio.Queue()
        self.is_up = self._is_ending = False
        self._heard_at = self._pinged_at = 0.0
        self.lag_seconds = 0.0
        """That the last word to ourselves was under way."""

    async def listen(self, *channels: str) -> bool:
        """Hear these from now on; whether Redis has confirmed them. If not, they are heard as soon as it can be had."""
        for channel in channels:
            self._wanted[channel] += 1
        new = [channel for channel in dict.fromkeys(channels) if channel not in self._confirmed]
        if not new:
            return self.is_up
        if not self.is_up:
            return False
        waits = [self._waiting.setdefault(each, asyncio.get_running_loop().create_future()) for each in new]
        self._ask("subscribe", new)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                return all([await asyncio.shield(wait) for wait in waits])
        return False

    def leave(self, *channels: str) -> None:
        """Hear these no more, as far as whoever calls is concerned."""
        gone = []
        for channel in channels:
            self._wanted[channel] -= 1
            if self._wanted[channel] <= 0:
                del self._wanted[channel]
                self._confirmed.discard(channel)
                gone.append(channel)
        if gone and self.is_up:
            self._ask("unsubscribe", gone)

    def _ask(self, verb: str, channels: list[str]) -> None:
        if verb == "subscribe":
            self._asked.update(channels)
        for first in range(0, len(channels), ASKED_AT_ONCE):
            self._commands.put_nowait((verb, channels[first : first + ASKED_AT_ONCE]))

    async def run(self) -> None:
        """Keep the subscription; ends when cancelled."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with contextlib.aclosing(self._redis.pubsub()) as subscription:
                    await self._begin(subscription)
                    pause = FIRST_PAUSE_SECONDS
                    await self._keep(subscription)
            except* (RedisError, OSError) as errors:
                if self.is_up:
                    log.warning("bus_lost", error=type(errors.exceptions[0]).__name__, channels=len(self._wanted))
            self._down()
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)

    def end(self) -> None:
        """Let the loops end: redis-py now and then swallows that they are cancelled."""
        self._is_ending = True

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def _begin(self, subscription: PubSub) -> None:
        """Subscribe to all that is wanted, and wait until Redis has said so.

        Raises:
            RedisError, OSError
        """
        loop = asyncio.get_running_loop()
        self._commands, self._asked = asyncio.Queue(), Counter()
        wanted = list(self._wanted)
        missing = set(wanted)
        until = loop.time() + CONFIRM_SECONDS + len(wanted) / 1000
        for first in range(0, len(wanted), ASKED_AT_ONCE):
            await subscription.subscribe(*wanted[first : first + ASKED_AT_ONCE])
        while missing:
            message = await subscription.get_message(timeout=0.5)
            if message is not None and message["type"] == "subscribe":
                missing.discard(message["channel"].decode())
            elif message is not None:
                self._take(message)
            if loop.time() > until:
                raise RedisTimeout("Redis does not confirm.")
        self._confirmed = {channel for channel in wanted if channel in self._wanted}
        late = [channel for channel in self._wanted if channel not in self._confirmed]
        self.is_up, self._heard_at = True, loop.time()
        if late:
            self._ask("subscribe", late)
        log.info("bus_found", channels=len(wanted))
        self._found()

    async def _keep(self, subscription: PubSub) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(subscription))
            group.create_task(self._command(subscription))
            group.create_task(self._ping())

    async def _hear(self, subscription: PubSub) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_ending:
            message = await subscription.get_message(timeout=PING_SECONDS)
            if message is not None:
                self._heard_at = loop.time()
                self._take(message)
            elif loop.time() - self._heard_at > SILENT_SECONDS:
                raise RedisTimeout("The subscription is silent.")

    async def _command(self, subscription: PubSub) -> None:
        while not self._is_ending:
            verb, channels = await self._commands.get()
            await (subscription.subscribe if verb == "subscribe" else subscription.unsubscribe)(*channels)

    async def _ping(self) -> None:
        while not self._is_ending:
            await asyncio.sleep(PING_SECONDS)
            self._pinged_at = asyncio.get_running_loop().time()
            with contextlib.suppress(RedisError, OSError):  # whether it got through, the hearing half finds out
                await self._redis.publish(self._own, b"")

    def _take(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "message":
            if channel != self._own:
                self._heard(channel, message["data"])
            else:
                self.lag_seconds = asyncio.get_running_loop().time() - self._pinged_at
        elif message["type"] == "subscribe":
            self._asked[channel] -= 1
            if self._asked[channel] <= 0:  # an earlier confirmation says nothing of what was asked since
                del self._asked[channel]
                if channel in self._wanted:
                    self._confirmed.add(channel)
                self._resolve(channel, is_confirmed=True)

    def _down(self) -> None:
        was_up, self.is_up = self.is_up, False
        self._confirmed.clear()
        self._asked.clear()
        for channel in list(self._waiting):
            self._resolve(channel, is_confirmed=False)
        if was_up:
            self._lost()

    def _resolve(self, channel: str, *, is_confirmed: bool) -> None:
        wait = self._waiting.pop(channel, None)
        if wait is not None and not wait.done():
            wait.set_result(is_confirmed)

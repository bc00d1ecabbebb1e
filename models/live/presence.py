"""Presence: who is here now. Each connection of somebody has a lease; whoever has one that runs is online.

    chat:conns:<user>       their connections, each with the time until which it counts
    chat:online:<user>      there is one                                   300 s
    chat:last_seen:<user>   when they were last seen                       a day

A process that dies leaves leases that run out. One that lets a connection go leaves it for some seconds more: a page
that is loaded anew was never away. Times are Redis's own, for clocks of processes may differ. No statement is run here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.live.circuit import Circuit
from models.settings import Settings

HEARTBEAT_SECONDS = 25
LEASE_SECONDS = 60
"""Of a connection: two heartbeats may fail."""
ONLINE_SECONDS = 300
GRACE_SECONDS = 10
"""Between the last connection's end and being offline."""
LAST_SEEN_SECONDS = 86400
ASKED_AT_ONCE = 500

_BEAT = f"""
    local now = tonumber(redis.call('TIME')[1])
    local was = redis.call('ZCOUNT', KEYS[1], now, '+inf')
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
    redis.call('EXPIRE', KEYS[1], {ONLINE_SECONDS})
    redis.call('SET', KEYS[2], '1', 'EX', {ONLINE_SECONDS})
    redis.call('SET', KEYS[3], now, 'EX', {LAST_SEEN_SECONDS})
    return was
"""
_SETTLE = """
    local now = tonumber(redis.call('TIME')[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
    local left = redis.call('ZCARD', KEYS[1])
    if left == 0 then redis.call('DEL', KEYS[2]) end
    return {left, redis.call('GET', KEYS[3])}
"""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Of one user."""

    is_online: bool
    last_seen_at: dt.datetime | None
    """None: not within a day, or nobody knows."""


class Presences:
    """One for each process; connects at first use."""

    def __init__(self, settings: Settings) -> None:
        self._circuit = Circuit(settings)

    def arrived(self, user_id: str, connection: str) -> int | None:
        """Somebody has a connection more; how many they had before. None if Redis does not answer."""
        given = (*_keys(user_id), connection, LEASE_SECONDS)
        found: int | None = self._circuit.ask(lambda redis: redis.eval(_BEAT, 3, *given))
        return found

    def still(self, connections: Iterable[tuple[str, str]]) -> None:
        """These connections are still there: ``(user_id, connection)``."""
        self._lease(connections, seconds=LEASE_SECONDS)

    def left(self, user_id: str, connection: str) -> None:
        """One is gone. It counts for `GRACE_SECONDS` more; then `settled` says what is left."""
        self._lease([(user_id, connection)], seconds=GRACE_SECONDS)

    def _lease(self, connections: Iterable[tuple[str, str]], *, seconds: int) -> None:
        def beat(redis: Any) -> None:
            pipeline = redis.pipeline(transaction=False)
            for user_id, connection in connections:
                pipeline.eval(_BEAT, 3, *_keys(user_id), connection, seconds)
            pipeline.execute()

        self._circuit.ask(beat)

    def settled(self, user_id: str) -> Presence | None:
        """Whether anything of somebody is left, now that what has run out is dropped; None: nobody knows."""
        found = self._circuit.ask(lambda redis: redis.eval(_SETTLE, 3, *_keys(user_id)))
        return None if found is None else Presence(is_online=found[0] > 0, last_seen_at=_time(found[1]))

    def of(self, user_ids: Sequence[str]) -> Mapping[str, Presence]:
        """Of these. Whom Redis knows nothing of, or while it does not answer, is not online."""

        def look(redis: Any) -> list[Any]:
            now = int(redis.time()[0])
            pipeline = redis.pipeline(transaction=False)
            for user_id in user_ids:
                conns, _, last_seen = _keys(user_id)
                pipeline.zcount(conns, now, "+inf")
                pipeline.get(last_seen)
            return list(pipeline.execute())

        found = self._circuit.ask(look) or [0, None] * len(user_ids)
        return {
            user_id: Presence(is_online=connections > 0, last_seen_at=_time(last_seen))
            for user_id, connections, last_seen in zip(user_ids, found[::2], found[1::2], strict=True)
        }


def _keys(user_id: str) -> tuple[str, str, str]:
    return f"chat:conns:{user_id}", f"chat:online:{user_id}", f"chat:last_seen:{user_id}"


def _time(seconds: bytes | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.fromtimestamp(int(seconds), dt.UTC)

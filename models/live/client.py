"""The client: how this product reaches Redis, and for how long it waits."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.settings import Settings

CONNECT_SECONDS = 0.5
READ_SECONDS = 1.0
PREFIX = "parley"


def connect(settings: Settings, *, seconds: float | None = None) -> redis.Redis:
    """A client that opens its connections at first use and gives up at the first failure.

    Args:
        seconds: longest wait for a connection and for an answer, where this product's usual ones are too long.
    """
    return redis.Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=seconds or CONNECT_SECONDS,
        socket_timeout=seconds or READ_SECONDS,
        # redis-py would try three times more, and wait up to ten seconds between.
        retry=Retry(NoBackoff(), 0),
    )


def name(settings: Settings, *parts: str) -> str:
    """The name of a key or channel. Channels are common to all databases of a server, so the number is in it.

    >>> name(Settings(redis_url="redis://127.0.0.1:6379/3"), "changes")
    'parley:3:changes'
    """
    url = urlsplit(settings.redis_url)
    in_query = parse_qs(url.query).get("db", [""])[0]
    in_path = url.path.strip("/") if url.scheme != "unix" else ""
    return ":".join([PREFIX, in_query or in_path or "0", *parts])

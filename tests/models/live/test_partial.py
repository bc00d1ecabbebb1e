"""What a model has said so far, for those who watch."""

from __future__ import annotations

import dataclasses
import time

import pytest
import redis

from models.live import partial
from models.live.partial import PartialText
from models.settings import Settings


@pytest.fixture
def text(db: Settings) -> PartialText:
    """On an empty Redis."""
    return PartialText(db)


def test_only_what_is_watched_is_known_to_be(text: PartialText) -> None:
    """And only for so long."""
    text.watch(["a", "b"])
    watched = text.watched()
    text._redis.zadd(text._watched, {"a": 1.0})

    assert watched == {"a", "b"}
    assert text.watched() == {"b"}


def test_a_machine_with_another_time_watches_and_is_watched_all_the_same(
    text: PartialText, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An api an hour behind would else have watched for an hour less than no time."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    text.watch(["a"])
    monkeypatch.undo()

    assert text.watched() == {"a"}


def test_a_reader_takes_what_it_has_not_had(text: PartialText) -> None:
    """Of one attempt, from one byte on."""
    text.put({("a", 1): "é says".encode(), ("a", 2): b"other"})

    assert text.since("a", attempt=1, offset=0).decode() == "é says"
    assert text.since("a", attempt=1, offset=2) == b" says"
    assert text.since("a", attempt=1, offset=50) == b""
    assert text.since("a", attempt=3, offset=0) == b""


def test_everything_expires(text: PartialText, db: Settings) -> None:
    """Nobody cleans up after a worker that died."""
    text.watch(["a"])
    text.put({("a", 1): b"words"})

    with redis.Redis.from_url(db.redis_url) as client:
        keys = client.keys("parley:*")
        lifetimes = [client.ttl(key) for key in keys]

    assert len(keys) == 2
    assert all(0 < seconds <= partial.KEPT_SECONDS for seconds in lifetimes)


def test_without_redis_nothing_is_known_and_nothing_breaks(db: Settings) -> None:
    """Readers go on without; who writes decides for itself."""
    text = PartialText(dataclasses.replace(db, redis_url="redis://127.0.0.1:1/0"))

    text.watch(["a"])

    assert text.since("a", attempt=1, offset=0) == b""
    with pytest.raises(redis.ConnectionError):
        text.put({("a", 1): b"words"})

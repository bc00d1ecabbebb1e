"""What a scrape says of Redis, and that it says nothing where it knows nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import redis

from api import redis_figures
from api.redis_figures import RedisFigures
from local import ports
from models.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_figures, "KEPT_SECONDS", 0.0)


@pytest.fixture
def user(db: Settings) -> Iterator[str]:
    """Of Redis, who may not ask what it holds; as its address."""
    client = redis.Redis.from_url(db.redis_url)
    client.acl_setuser(
        "guest", enabled=True, passwords=["+secret"], categories=["+@all"], commands=["-info"], keys=["*"]
    )
    yield f"redis://guest:secret@{db.redis_url.partition('@')[2]}"
    client.acl_deluser("guest")


def shown(settings: Settings) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in RedisFigures(settings).collect()}


def elsewhere(settings: Settings, url: str) -> Settings:
    return dataclasses.replace(settings, redis_url=url)


def test_what_it_has_taken_and_may_take_is_shown(db: Settings) -> None:
    """A full one drops what it was told to drop, or refuses hints."""
    client = redis.Redis.from_url(db.redis_url)
    before = shown(db)["parley_redis_memory_bytes"]
    client.set("eggs", b"." * 16_000_000, ex=60)
    after = shown(db)
    client.delete("eggs")

    assert after["parley_redis_up"] == 1
    assert after["parley_redis_memory_bytes"] > before + 8_000_000
    assert after["parley_redis_memory_limit_bytes"] == client.info("memory")["maxmemory"]


def test_a_redis_that_does_not_answer_has_no_figures(db: Settings) -> None:
    """An old one would look like a good one."""
    assert shown(elsewhere(db, f"redis://127.0.0.1:{ports.free_port()}/0")) == {"parley_redis_up": 0}


def test_a_redis_that_hides_them_is_up(db: Settings, user: str) -> None:
    """As services do that are rented."""
    assert shown(elsewhere(db, user)) == {"parley_redis_up": 1}


def test_it_is_asked_once_however_many_scrape(db: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the database is."""
    monkeypatch.setattr(redis_figures, "KEPT_SECONDS", 60.0)
    asked: list[str] = []
    info = redis.Redis.info

    def counted(client: redis.Redis, section: str) -> object:
        asked.append(section)
        return info(client, section)

    monkeypatch.setattr(redis.Redis, "info", counted)
    figures = RedisFigures(db)
    for _ in range(3):
        list(figures.collect())

    assert asked == ["memory"]

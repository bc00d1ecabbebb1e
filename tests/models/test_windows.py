"""Moving windows: exact while Redis counts, bounded while it does not, and never a failure."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from models.live import windows
from models.live.windows import Windows
from models.settings import Settings
from tests.conftest import Servers
from tests.fault_proxy import FaultProxy
from tests.system.stack import eventually

MINUTE = 60.0


@pytest.fixture
def proxy(db: Settings) -> Iterator[FaultProxy]:
    """The only way to Redis."""
    with FaultProxy(int(db.redis_url.rsplit(":", 1)[1].split("/")[0])) as mine:
        yield mine


@pytest.fixture
def behind(db: Settings, proxy: FaultProxy) -> Windows:
    """Windows of a process whose Redis may fail."""
    return Windows(replace(db, redis_url=proxy.behind(db.redis_url)))


def taken(of: Windows, times: int, *, key: str = "one", most: int = 5) -> int:
    return sum(of.take(key, most=most, seconds=MINUTE).is_allowed for _ in range(times))


def test_two_processes_together_allow_exactly_the_limit(db: Settings) -> None:
    """However many ask at once, in however many processes."""
    processes = [Windows(db), Windows(db)]

    with ThreadPoolExecutor(16) as threads:
        allowed = sum(threads.map(lambda n: taken(processes[n % 2], 25, most=150), range(16)))

    assert allowed == 150


def test_it_says_how_many_are_left_and_until_when(db: Settings) -> None:
    """For the headers: after the last, when the oldest leaves."""
    mine = Windows(db)

    answers = [mine.take("one", most=2, seconds=MINUTE) for _ in range(3)]

    assert [(answer.is_allowed, answer.left) for answer in answers] == [(True, 1), (True, 0), (False, 0)]
    assert 50 < answers[2].reset_seconds <= MINUTE


def test_keys_do_not_share_a_window(db: Settings) -> None:
    """One caller's flood is not another's."""
    mine = Windows(db)

    assert taken(mine, 9, key="one") == taken(mine, 9, key="two") == 5


def test_what_has_left_the_window_counts_no_more(db: Settings, servers: Servers) -> None:
    """The window moves: there is room for as many as are old, not for all at once."""
    mine = Windows(db)
    taken(mine, 5)
    with redis.Redis.from_url(servers.environment["REDIS_URL"]) as client:
        (key,) = client.keys("*:window:one")
        for place in (-1, -2):
            client.lset(key, place, int(client.lindex(key, place)) - 61_000_000)

    assert taken(mine, 5) == 2


def test_a_window_leaves_nothing_behind(db: Settings, servers: Servers) -> None:
    """Every key expires by itself, and holds no more than the limit."""
    taken(Windows(db), 9)

    with redis.Redis.from_url(servers.environment["REDIS_URL"]) as client:
        (key,) = client.keys("*:window:one")
        assert client.llen(key) == 5
        assert 0 < client.pttl(key) <= 60_000


@pytest.mark.parametrize("mode", ["refuse", "freeze", "reset"])
def test_without_redis_a_process_counts_for_itself(behind: Windows, proxy: FaultProxy, mode: str) -> None:
    """It allows the limit once more at most, and goes over once."""
    taken(behind, 3)
    proxy.switch(mode)  # type: ignore[arg-type]

    assert taken(behind, 12) == 5
    assert (behind.is_shared, behind.switches) == (False, 1)


def test_a_frozen_redis_is_waited_for_once(behind: Windows, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """By all who come meanwhile together; later ones do not even ask."""
    taken(behind, 1, key="before")
    asked: list[int] = []
    ask_for = behind._ask_for

    def counted(wishes: list[windows._Wish]) -> None:
        asked.append(len(wishes))
        ask_for(wishes)

    monkeypatch.setattr(behind, "_ask_for", counted)
    monkeypatch.setattr(windows, "FIRST_PAUSE_SECONDS", MINUTE)
    proxy.switch("freeze")

    with ThreadPoolExecutor(20) as threads:
        allowed = sum(threads.map(lambda _: taken(behind, 3, most=10), range(20)))

    assert allowed == 10
    assert len(asked) == 1


def test_it_counts_in_redis_again_once_redis_is_back(
    behind: Windows, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe in the background finds out; no caller waits for it."""
    monkeypatch.setattr(windows, "FIRST_PAUSE_SECONDS", 0.01)
    proxy.switch("refuse")
    taken(behind, 9)
    proxy.switch("pass")

    eventually(lambda: behind.is_shared)

    assert taken(behind, 9) == 5
    assert behind.switches == 1


def test_a_redis_that_has_forgotten_its_scripts_is_told_again(db: Settings, servers: Servers) -> None:
    """As after a restart."""
    mine = Windows(db)
    taken(mine, 1)
    with redis.Redis.from_url(servers.environment["REDIS_URL"]) as client:
        client.script_flush()

    assert taken(mine, 9) == 4
    assert mine.is_shared


def test_who_comes_while_a_question_is_under_way_is_asked_for_with_the_next(db: Settings) -> None:
    """A crowd costs few trips, and every one of it is answered."""
    mine = Windows(db)
    under_way, go_on, asked = threading.Event(), threading.Event(), []
    ask_for = mine._ask_for

    def slow(wishes: list[windows._Wish]) -> None:
        asked.append(len(wishes))
        under_way.set()
        go_on.wait(30)
        ask_for(wishes)

    mine._ask_for = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(12) as threads:
        first = threads.submit(taken, mine, 1, most=7)
        under_way.wait(30)
        others = [threads.submit(taken, mine, 1, most=7) for _ in range(11)]
        eventually(lambda: len(mine._gathered) == 11)
        go_on.set()

        assert first.result() + sum(other.result() for other in others) == 7
    assert asked == [1, 11]


def test_a_flood_of_callers_costs_this_process_no_more_memory(
    behind: Windows, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it counts for itself it remembers so many, and then begins anew."""
    monkeypatch.setattr(windows, "MOST_KEYS", 10)
    proxy.switch("refuse")

    for number in range(35):
        taken(behind, 1, key=str(number))

    assert len(behind._own._moments) <= 10


def test_nothing_connects_before_it_is_asked(db: Settings) -> None:
    """The application is made before its process is forked off, and in tests without any Redis."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Windows(replace(db, redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0"))

        server.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            server.accept()

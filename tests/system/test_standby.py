"""PostgreSQL is lost under load, its standby promoted: what was acknowledged and is gone, and how soon all works again.

The worst case: the standby is behind when it happens. (Experiment D7; docs/how-to/fail-over.md.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conftest import CALLERS, Servers, redis_url_of
from tests.fake_llm import FakeLLM
from tests.system import outages
from tests.system.outages import FULL, all_completed
from tests.system.stack import Stack, eventually
from tests.system.standby import Pair
from tests.system.test_outages_postgres import migrate
from tests.system.test_rolling_restart import Clients

pytestmark = [pytest.mark.xdist_group("standby"), pytest.mark.timeout(300), pytest.mark.outage]
BEFORE = 200 if FULL else 40
"""Jobs accepted while all is well."""
BEHIND_SECONDS = 1.0
"""So long the standby gets nothing before the primary is lost."""


class Either(Servers):
    """The database of whichever of the two is the primary."""

    def __init__(self, pair: Pair, worker: str) -> None:
        redis = redis_url_of(worker, purpose="_system")
        self.environment = {"DATABASE_URL": pair.url, "REDIS_URL": redis, **CALLERS}


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With the tables in it."""
    with Pair(tmp_path_factory.mktemp("pair")) as mine:
        migrate(mine.primary.url)
        yield mine


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, pair: Pair) -> Iterator[Stack]:
    """The product, which knows both."""
    servers = Either(pair, worker_id)
    servers.erase_redis()
    with Stack(
        tmp_path_factory.mktemp("stack"), servers, {"LLM_BASE_URL": llm.base_url, **outages.OWN_TIMES}
    ).running() as mine:
        yield mine


def lose_the_primary(stack: Stack, pair: Pair, *, is_behind: bool) -> tuple[set[str], set[str]]:
    """Under load. Jobs that were acknowledged and are gone; and those that the standby had before it fell behind."""
    with Clients(stack, (stack.port,)) as clients:
        eventually(lambda: len(clients.accepted) >= BEFORE)
        safe = set(clients.accepted)
        pair.catch_up()
        if is_behind:
            pair.wire.switch("freeze")
            time.sleep(BEHIND_SECONDS)
        pair.primary.kill()
        killed_at, acknowledged = time.monotonic(), len(clients.accepted)
        pair.promote()
        promoted = time.monotonic() - killed_at
        eventually(lambda: len(clients.accepted) > acknowledged + 4)
        served = time.monotonic() - killed_at
    stored = {row["id"] for row in stack.sql("SELECT id::text FROM jobs")}
    lost = set(clients.accepted) - stored
    worked = all_completed(stack, list(set(clients.accepted) & stored))
    outages.report(
        f"Standby promoted{', which was a second behind' if is_behind else ''}",
        accepted=len(clients.accepted),
        **{"acknowledged and lost": len(lost), "failed": len(clients.failed), "promoted after": promoted},
        **{"served again after": served, "all done after another": worked},
    )
    assert clients.failed == []
    assert stored <= set(clients.accepted)
    return lost, safe


def test_a_standby_that_is_behind_has_not_what_was_acknowledged_meanwhile(stack: Stack, pair: Pair) -> None:
    """Asynchronous: as much is lost as it was behind, and nothing that it had. The old primary then follows."""
    lost, safe = lose_the_primary(stack, pair, is_behind=True)
    pair.come_back()

    assert lost
    assert not lost & safe
    jobs = "SELECT id::text, status FROM jobs ORDER BY id"
    assert pair.ask(pair.standby, jobs) == pair.ask(pair.primary, jobs)


def test_a_synchronous_standby_has_all_that_was_acknowledged(stack: Stack, pair: Pair) -> None:
    """However far it is behind: what it has not, nobody was told to be stored."""
    pair.demand_both()

    lost, _ = lose_the_primary(stack, pair, is_behind=True)

    assert lost == set()


@pytest.mark.skipif(not FULL, reason="how much is lost when nothing else goes wrong is a figure and no promise")
@pytest.mark.parametrize("is_synchronous", [False, True])
def test_a_standby_that_keeps_up(stack: Stack, pair: Pair, is_synchronous: bool) -> None:
    """The usual case: the primary dies, and nothing else."""
    if is_synchronous:
        pair.demand_both()

    lost, safe = lose_the_primary(stack, pair, is_behind=False)

    assert not lost & safe
    assert not (is_synchronous and lost)

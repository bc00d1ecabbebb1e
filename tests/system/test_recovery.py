"""Rows are deleted by mistake, the database is recovered to a moment before: all that was accepted is there.

Nothing of later is. (Experiment D8; docs/how-to/back-up.md.)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import CALLERS, ROOT, Servers, redis_url_of
from tests.fake_llm import FakeLLM
from tests.system import outages
from tests.system.archive import BY_NAME, Archived
from tests.system.outages import FULL, Fragile, all_completed
from tests.system.stack import Stack, eventually
from tests.system.test_outages_postgres import migrate
from tests.system.test_rolling_restart import Clients

pytestmark = [pytest.mark.xdist_group("recovery"), pytest.mark.timeout(300), pytest.mark.outage]
ACCEPTED = 1000 if FULL else 40
"""Jobs before the moment that is gone back to, and as many after it."""
MISTAKE = "DELETE FROM jobs"


class On(Servers):
    """One of the two servers."""

    def __init__(self, server: Fragile, worker: str) -> None:
        redis = redis_url_of(worker, purpose="_system")
        self.environment = {"DATABASE_URL": server.url, "REDIS_URL": redis, **CALLERS}


@pytest.fixture
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    """With the tables in it, and a base backup of that."""
    with Archived(tmp_path_factory.mktemp("archive")) as mine:
        migrate(mine.primary.url)
        mine.take_base_backup()
        yield mine


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM) -> Iterator[Callable[..., Stack]]:
    """The product, on one of the servers."""
    started = []

    def one(server: Fragile) -> Stack:
        servers = On(server, worker_id)
        servers.erase_redis()
        mine = Stack(tmp_path_factory.mktemp("stack"), servers, {"LLM_BASE_URL": llm.base_url})
        started.append(mine)
        mine.start_all()
        return mine

    yield one
    for each in started:
        each.close()


def holds(server: Fragile) -> bool:
    """What `make check-invariants` says of it."""
    environment = {**os.environ, "DATABASE_URL": server.url}
    command = [sys.executable, "-m", "scripts.check_invariants"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return ran.returncode == 0


@pytest.mark.parametrize(
    "by", ["name", pytest.param("time", marks=pytest.mark.skipif(not FULL, reason="the short form goes by a name"))]
)
def test_what_was_accepted_before_a_moment_is_there_and_nothing_of_later(
    archive: Archived, start: Callable[[Fragile], Stack], by: str
) -> None:
    """By a name that was given to it, or by the server's own clock; jobs that ran are finished."""
    stack = start(archive.primary)
    with Clients(stack, (stack.port,)) as clients:
        eventually(lambda: len(clients.accepted) >= ACCEPTED)
        before = set(clients.accepted)
        archive.mark()
        [(moment,)] = archive.ask(archive.primary, "SELECT clock_timestamp()::text")
        marked = len(clients.accepted)
        eventually(lambda: len(clients.accepted) > marked + 4)
    meanwhile = set(clients.accepted)
    with Clients(stack, (stack.port,)) as clients:
        eventually(lambda: len(clients.accepted) >= ACCEPTED)
    after = set(clients.accepted)
    all_completed(stack, list(after))  # else the mistake and a worker could wait for each other's rows
    archive.ask(archive.primary, MISTAKE)

    noticed_at = time.monotonic()
    stack.close()
    archive.archive_the_rest()
    archive.primary.stop()
    archived = time.monotonic() - noticed_at
    server = archive.recover(BY_NAME if by == "name" else f"recovery_target_time = '{moment}'")
    recovered = time.monotonic() - noticed_at
    stored = {row[0] for row in archive.ask(server, "SELECT id::text FROM jobs")}
    unfinished = archive.ask(server, "SELECT count(*) FROM jobs WHERE finished_at IS NULL")[0][0]
    again = start(server)
    again.create("Is it back?")
    served = time.monotonic() - noticed_at
    worked = all_completed(again, list(stored))

    outages.report(
        f"Recovered to a moment by its {by}",
        **{"acknowledged before": len(before), "of them lost": len(before - stored), "of later": len(stored & after)},
        **{"archived after": archived, "can be written to after": recovered, "served again after": served},
        **{"unfinished then": unfinished, "all done after another": worked},
    )
    assert before <= stored <= meanwhile
    assert after
    assert not stored & after
    assert holds(server)

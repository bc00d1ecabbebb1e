"""Redis dead, frozen, half-open, out of memory or erased: jobs are accepted and shown as ever, and run afterwards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
import redis

import local.valkey
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.fault_proxy import FaultProxy
from tests.system import outages
from tests.system.outages import Fragile, Traffic, all_completed, ask, dead, frozen, in_mode, p95
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(400), pytest.mark.outage]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """One that no other test uses."""
    server = Fragile(local.valkey.start(tmp_path_factory.mktemp("valkey"), durable=False))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(valkey: Fragile) -> Iterator[FaultProxy]:
    """The only way from the product to it."""
    with FaultProxy(valkey.port) as mine:
        yield mine


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, valkey: Fragile, proxy: FaultProxy
) -> Iterator[Stack]:
    """The product before that Redis."""
    servers = Servers(worker_id, purpose="_system")
    settings = {"LLM_BASE_URL": llm.base_url, "REDIS_URL": proxy.behind(valkey.url), **outages.OWN_TIMES}
    with Stack(tmp_path_factory.mktemp("stack"), servers, settings).running() as mine:
        yield mine
    servers.drop()


def command(valkey: Fragile, *words: str) -> None:
    """To Redis itself, past the proxy."""
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command(*words)


@contextlib.contextmanager
def out_of_memory(valkey: Fragile, stack: Stack) -> Iterator[None]:
    """With a worker that has to start meanwhile, which Celery gives up at once."""
    command(valkey, "CONFIG", "SET", "maxmemory", "1mb")
    stack.kill("worker")
    stack.start("worker")
    yield
    command(valkey, "CONFIG", "SET", "maxmemory", "0")


@contextlib.contextmanager
def erased(valkey: Fragile) -> Iterator[None]:
    command(valkey, "FLUSHALL")
    yield
    command(valkey, "FLUSHALL")


Outage = Callable[[Stack, Fragile, FaultProxy], contextlib.AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {
    "dead": lambda stack, valkey, _: dead(valkey, stack),
    "frozen": lambda _, valkey, __: frozen(valkey),
    "half-open": lambda _, __, proxy: in_mode(proxy, "half_open"),
}
MORE_OUTAGES: dict[str, Outage] = {
    "frozen on the way": lambda _, __, proxy: in_mode(proxy, "freeze"),
    "out of memory": lambda stack, valkey, _: out_of_memory(valkey, stack),
    "erased": lambda _, valkey, __: erased(valkey),
}
if outages.FULL:
    OUTAGES |= MORE_OUTAGES


@pytest.fixture(scope="module")
def normal(stack: Stack) -> Traffic:
    """What callers see on a good day."""
    with Traffic(stack) as traffic:
        time.sleep(1)
    all_completed(stack, traffic.ids)
    return traffic


@pytest.mark.parametrize("kind", OUTAGES)
def test_without_redis_jobs_are_accepted_and_shown_and_run_when_it_is_back(
    stack: Stack, valkey: Fragile, proxy: FaultProxy, normal: Traffic, kind: str
) -> None:
    """Callers wait no longer than ever; processing resumes by itself."""
    with OUTAGES[kind](stack, valkey, proxy), Traffic(stack) as during:
        until = time.monotonic() + outages.OUTAGE_SECONDS
        while time.monotonic() < until:
            stack.revive()
            time.sleep(0.1)
    resumed = all_completed(stack, during.ids)

    slower = [p95(getattr(during, each)) - p95(getattr(normal, each)) for each in ("posts", "gets")]
    outages.report(
        f"Redis {kind}", posts=len(during.posts), slower_post=slower[0], slower_get=slower[1], resumed=resumed
    )
    assert {answer.status for answer in during.posts} == {201}
    assert {answer.status for answer in during.gets} == {200}
    assert max(slower) < outages.TOLERATED_SECONDS
    assert resumed < outages.RESUMED_SECONDS
    eventually(stack.is_ready, seconds=outages.RESUMED_SECONDS)
    assert ask(stack, "GET", "/health/live").status == 200

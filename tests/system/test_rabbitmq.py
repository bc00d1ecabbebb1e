"""RabbitMQ as the broker: killed, frozen and cut off under load, it delays jobs and loses none; Redis has no hints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection

from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.fault_proxy import FaultProxy
from tests.system import outages, rabbitmq
from tests.system.outages import Fragile, all_completed, dead, frozen, in_mode
from tests.system.stack import Stack, eventually
from tests.system.test_rolling_restart import Clients

pytestmark = [
    pytest.mark.xdist_group("rabbitmq"),
    pytest.mark.timeout(400),
    pytest.mark.outage,
    rabbitmq.NEEDED,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """One that no other test uses."""
    with rabbitmq.running(tmp_path_factory.mktemp("rabbitmq")) as mine:
        yield mine


@pytest.fixture(scope="module")
def proxy(server: Fragile) -> Iterator[FaultProxy]:
    """The only way from the product to it."""
    with FaultProxy(server.port) as mine:
        yield mine


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, server: Fragile, proxy: FaultProxy
) -> Iterator[Stack]:
    """The product before that RabbitMQ."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    settings = {"LLM_BASE_URL": llm.base_url, "CELERY_BROKER_URL": proxy.behind(server.url), **outages.OWN_TIMES}
    with Stack(tmp_path_factory.mktemp("stack"), servers, settings).running() as mine:
        yield mine
    servers.drop()


def test_hints_go_by_rabbitmq_and_leave_nothing_behind(stack: Stack, server: Fragile) -> None:
    """Redis hears nothing of the queue; a hint that nobody takes is on no disk, and is forgotten in the end."""
    assert stack.finished(stack.create("Hello"))["status"] == "completed"
    with redis.Redis.from_url(stack.servers.environment["REDIS_URL"]) as client:
        assert not [key for key in client.keys("*") if b"interactive" in key or b"kombu" in key]
    assert stack.request("GET", "/health/ready")[1]["components"]["broker"] == {"status": "up"}

    # The worker takes each message at once, so one is looked at for whose class there is none.
    stack.sql(
        "INSERT INTO heartbeats (kind, instance, queue_class, slots, seen_at)"
        " VALUES ('worker', 'nobody', 'batch', 1, clock_timestamp() + interval '1 minute')"
    )
    assert stack.request("POST", "/api/batches", {"prompts": ["Nobody takes me"]})[0] == 201
    with Connection(server.url) as connection:
        hint = eventually(lambda: taken(connection))
    assert (hint.properties["delivery_mode"], hint.properties["expiration"]) == (1, "600000")
    stack.sql("UPDATE jobs SET status = 'cancelled', finished_at = clock_timestamp() WHERE finished_at IS NULL")


def taken(connection: Connection) -> Any:
    """The next hint for a worker of batches, if there is one, or a queue for it."""
    channel: Any = connection.channel()
    with contextlib.suppress(*connection.channel_errors):
        return channel.basic_get("batch", no_ack=True)
    return None


Outage = Callable[[Stack, Fragile, FaultProxy], contextlib.AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {
    "dead": lambda stack, server, _: dead(server, stack),
    "half-open": lambda _, __, proxy: in_mode(proxy, "half_open"),
}
if outages.FULL:
    OUTAGES["frozen"] = lambda _, server, __: frozen(server)


@pytest.mark.parametrize("kind", OUTAGES)
def test_without_rabbitmq_jobs_are_accepted_and_each_is_answered_once_when_it_is_back(
    stack: Stack, server: Fragile, proxy: FaultProxy, llm: FakeLLM, kind: str
) -> None:
    """Under load: none lost, none answered twice, and nobody has to start anything but RabbitMQ."""
    running = {process.pid for name in ("dispatcher", "worker") for process in stack.of(name)}
    with Clients(stack, (stack.port,)) as clients:
        eventually(lambda: len(clients.accepted) > 10)
        with OUTAGES[kind](stack, server, proxy):
            time.sleep(outages.OUTAGE_SECONDS)
            before = len(clients.accepted)
            eventually(lambda: len(clients.accepted) > before + 10)
    resumed = all_completed(stack, clients.accepted, seconds=90)

    per_message = llm.stats()["per_message"]
    ended = stack.sql(
        "SELECT count(*) AS n FROM attempts WHERE outcome = 'completed' GROUP BY job_id HAVING count(*) > 1"
    )
    outages.report(
        f"RabbitMQ {kind}",
        accepted=len(clients.accepted),
        failed=len(clients.failed),
        **{"answered twice": len(ended), "calls for one message": max(per_message.values()), "resumed after": resumed},
    )
    assert clients.failed == []
    assert ended == []
    assert max(per_message.values()) == 1
    assert {process.pid for name in ("dispatcher", "worker") for process in stack.of(name)} == running
    eventually(stack.is_ready)

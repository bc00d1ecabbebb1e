"""Limits on real processes: exact in two of them together, bounded in each while Redis is away."""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import local.valkey
from local import ports
from models.live import windows
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.fault_proxy import FaultProxy
from tests.system.outages import ask
from tests.system.stack import OPERATOR, Stack, eventually

pytestmark = pytest.mark.xdist_group("people")
WORKERS = 2
LIMIT = 500
SMALL = 20
"""Of requests for a new access token, which cost nobody a row."""
JOB = {"message": "Why is the sky blue?"}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """Before a Valkey that no other test uses."""
    server = local.valkey.start(tmp_path_factory.mktemp("valkey"), durable=False)
    with FaultProxy(int(server.url.rsplit(":", 1)[1].split("/")[0])) as mine:
        mine.url = mine.behind(server.url)  # type: ignore[attr-defined]
        yield mine
    server.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, proxy: FaultProxy) -> Iterator[Stack]:
    """The product, with two processes of the api. The window is longer than a burst takes on a busy machine."""
    servers = Servers(worker_id, purpose="_system")
    settings = {
        "LLM_BASE_URL": llm.base_url,
        "REDIS_URL": proxy.url,  # type: ignore[attr-defined]
        "API_WORKERS": str(WORKERS),
        "CREATE_LIMIT": f"{LIMIT}/minute",
        "AUTH_LIMIT": f"{SMALL}/minute",
        "METRICS_PORT": str(three_ports()),
    }
    mine = Stack(tmp_path_factory.mktemp("stack"), servers, settings)
    try:
        mine.start_all()
        yield mine
    finally:
        proxy.switch("pass")
        mine.close()
        servers.drop()


def three_ports() -> int:
    """The first of so many that are free: a gateway's, a dispatcher's and a worker's."""
    return next(first for first in iter(ports.free_port, None) if all(can_listen(first + each) for each in (1, 2)))


def can_listen(port: int) -> bool:
    """On this machine."""
    return ports.can_listen("127.0.0.1", port)


def burst(stack: Stack, times: int, path: str, body: object, *, caller: str) -> Counter[int]:
    """Sixteen at once, each request on a connection of its own, so that both processes get some."""
    with ThreadPoolExecutor(16) as threads:
        return Counter(threads.map(lambda _: ask(stack, "POST", path, body, caller=caller).status, range(times)))


def refresh(stack: Stack, times: int, *, caller: str) -> Counter[int]:
    """401: it got past the limit, with no cookie."""
    return burst(stack, times, "/api/auth/refresh", {}, caller=caller)


def told(stack: Stack, event: str) -> list[dict[str, Any]]:
    """What the processes of the api have logged of it."""
    lines = (stack.folder / "api.log").read_text().splitlines()
    return [said for line in lines if line.startswith("{") and (said := json.loads(line)).get("event") == event]


def counted_together(
    stack: Stack, callers: Sequence[str], ask_for: Callable[[str], Counter[int]]
) -> tuple[Counter[int], str]:
    """The answers to the first caller in whose time Redis counted for all; on a busy machine it may come too late."""
    for caller in callers:
        eventually(lambda: len(told(stack, "limits_shared")) == len(told(stack, "limits_not_shared")))
        before = len(told(stack, "limits_not_shared"))
        answers = ask_for(caller)
        if len(told(stack, "limits_not_shared")) == before:
            break
    return answers, caller


def test_two_processes_allow_exactly_the_limit(stack: Stack) -> None:
    """700 at once where 500 may be: 500 are stored, 200 refused, none lost."""
    (api,) = stack.of("api")
    callers = ("127.0.0.2", "127.0.0.8", "127.0.0.9")

    answers, caller = counted_together(stack, callers, lambda one: burst(stack, 700, "/api/jobs", JOB, caller=one))

    assert answers == {201: LIMIT, 429: 200}
    stored = stack.sql("SELECT count(*) AS stored FROM jobs WHERE owner = %s", f"address:{caller}")
    assert stored == [{"stored": LIMIT}]
    assert len(psutil.Process(api.pid).children()) == WORKERS


@pytest.mark.parametrize(("mode", "caller"), [("refuse", "127.0.0.3"), ("freeze", "127.0.0.4")])
def test_without_redis_each_process_allows_the_limit_and_nobody_sees_a_500(
    stack: Stack, proxy: FaultProxy, mode: str, caller: str
) -> None:
    """Every switch is logged once in each process, there and back."""
    before = {event: len(told(stack, event)) for event in ("limits_not_shared", "limits_shared")}
    proxy.switch(mode)  # type: ignore[arg-type]

    answers = refresh(stack, 5 * SMALL, caller=caller)
    proxy.switch("pass")

    assert answers.keys() <= {401, 429}
    assert SMALL <= answers[401] <= WORKERS * (SMALL + 1)
    switches = len(told(stack, "limits_not_shared")) - before["limits_not_shared"]
    assert 1 <= switches <= WORKERS
    eventually(lambda: len(told(stack, "limits_shared")) - before["limits_shared"] == switches)


def test_a_frozen_redis_slows_one_request_of_a_process(stack: Stack, proxy: FaultProxy) -> None:
    """Asked one after another: whoever waited made its process go over, and most have not waited."""
    eventually(lambda: len(told(stack, "limits_shared")) == len(told(stack, "limits_not_shared")))
    before = len(told(stack, "limits_not_shared"))
    proxy.switch("freeze")

    answers = [ask(stack, "POST", "/api/auth/refresh", {}, caller="127.0.0.5") for _ in range(SMALL)]
    proxy.switch("pass")

    assert {answer.status for answer in answers} == {401}
    assert 1 <= len(told(stack, "limits_not_shared")) - before <= WORKERS
    assert statistics.median(answer.seconds for answer in answers) < windows.SECONDS


def test_redis_that_comes_back_counts_for_all_again(stack: Stack) -> None:
    """Exactly, as before."""
    callers = ("127.0.0.6", "127.0.0.10", "127.0.0.11", "127.0.0.12")

    answers, _ = counted_together(stack, callers, lambda one: refresh(stack, 2 * SMALL, caller=one))

    assert answers == {401: SMALL, 429: SMALL}


def test_a_forged_x_forwarded_for_is_no_new_limit(stack: Stack) -> None:
    """No proxy is trusted here."""
    answers = [
        ask(stack, "POST", "/api/auth/refresh", {}, caller="127.0.0.7", X_Forwarded_For=f"203.0.113.{number}").status
        for number in range(SMALL + 5)
    ]

    assert answers == [401] * SMALL + [429] * 5


def scraped(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a process shows at this port."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {OPERATOR}"})
        page = connection.getresponse().read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def requests_of(stack: Stack, route: str) -> float:
    """Answered so far, in whatever way, by what one scrape says."""
    found = scraped(stack.port)
    return sum(n for (name, labels), n in found.items() if name == COUNTED and ("route", route) in labels)


COUNTED = "parley_http_requests_total"


def test_each_process_of_the_api_shows_the_requests_of_both(stack: Stack) -> None:
    """Whichever is asked; and master and workers are one target."""
    before = requests_of(stack, "/api/auth/refresh")
    refresh(stack, 60, caller="127.0.0.77")

    assert [requests_of(stack, "/api/auth/refresh") - before for _ in range(8)] == [60] * 8
    (api,) = stack.of("api")
    family = [psutil.Process(api.pid), *psutil.Process(api.pid).children()]
    shown = scraped(stack.port)[("process_open_fds", frozenset())]
    assert shown > max(each.num_fds() for each in family)
    assert len(family) == 1 + WORKERS


def test_dispatchers_and_workers_show_theirs_at_ports_of_their_own(stack: Stack) -> None:
    """As `make run` gives them."""
    first = int(stack.environment["METRICS_PORT"])
    job_id = stack.create("Hello")
    stack.finished(job_id)

    dispatcher, worker = scraped(first + 1), scraped(first + 2)

    assert dispatcher[("parley_jobs_announced_total", frozenset({("queue_class", "interactive")}))] >= 1
    assert worker[("parley_provider_calls_total", frozenset({("model", "fake-model"), ("code", "none")}))] >= 1
    assert worker[("process_resident_memory_bytes", frozenset())] > 10_000_000
